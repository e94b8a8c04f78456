# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether Kubernetes refuses to create the pods of a workload, such as for a quota.

Its controller tries again for as long as the workload exists, and the status of a Job, StatefulSet or DaemonSet does
not say so: the events do.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.admission import refusal
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import Verdict
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Target

Json = Mapping[str, Any]

# The reason of the events, in pkg/controller/controller_utils.go of Kubernetes v1.35.
_REASON = "FailedCreate"


def refused_pods(api: KubeApi, target: Target, thing: Json) -> Verdict | None:
    """Return why the pods of a workload are refused, or None if they are not, or if it cannot be read."""
    kind, status = target.manifest.kind, thing.get("status") or {}
    if kind == "Deployment":
        # Its condition is that of its current state.
        conditions = [one for one in status.get("conditions") or () if one["type"] == "ReplicaFailure"]
        message = next((one.get("message", "") for one in conditions if one.get("status") == "True"), "")
    elif _has_pods(kind, status):
        message = ""
    else:
        message = _event(api, target)
    return refusal(_REASON, f"Kubernetes refuses the pods of {target}", message) if message else None


def _has_pods(kind: str, status: Json) -> bool:
    counts = {
        "Job": ("active", "succeeded", "failed"),
        "StatefulSet": ("replicas",),
        "DaemonSet": ("currentNumberScheduled",),
    }
    return kind not in counts or any(status.get(count) for count in counts[kind])


def _event(api: KubeApi, target: Target) -> str:
    """Return what the last event about a refused pod of a workload says."""
    selector = f"reason={_REASON},involvedObject.kind={target.manifest.kind},involvedObject.name={target.manifest.name}"
    try:
        events = api.get(f"/api/v1/namespaces/{target.manifest.namespace}/events", fieldSelector=selector)["items"]
    except KServeError:
        return ""
    own = [
        entry
        for entry in events
        if entry.get("reason") == _REASON and entry["involvedObject"].get("name") == target.manifest.name
    ]
    latest: Json = max(own, key=_when, default={})
    return str(latest.get("message", ""))


def _when(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))
