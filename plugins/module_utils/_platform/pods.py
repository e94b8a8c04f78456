# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the pods of the platform's namespaces run, and why not.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.pod import is_ready, pod_problem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.workloads import readiness_problem

Json = Mapping[str, Any]

_PATHS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
}


class Reader(Protocol):
    """What lists objects; raises KServeError."""

    def get(self, path: str, **query: Any) -> Any:
        """Return what is at a path."""


def namespaces(api: Reader, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each namespace how many pods are ready of how many, and what does not run.

    :raises KServeError: the cluster cannot be read.
    """
    wanted = list(dict.fromkeys(names))
    paths = [template.format(quote(name, safe="")) for name in wanted for template in _PATHS.values()]
    lists = [answer["items"] for answer in concurrently(api.get, paths)]
    width = len(_PATHS)
    return [
        namespace(name, dict(zip(_PATHS, lists[number * width : (number + 1) * width], strict=True)))
        for number, name in enumerate(wanted)
    ]


def namespace(name: str, objects: Mapping[str, Sequence[Json]]) -> dict[str, Any]:
    """Return the same of one namespace, by its objects of each kind."""
    pods = [pod for pod in objects["Pod"] if _counts(pod)]
    unready = [pod for pod in pods if not is_ready(pod)]
    problems = [_pod(name, pod) for pod in unready]
    # What a workload says of itself only repeats its pods, unless it has none of its own that is not ready.
    explained = [labels for pod in unready if (labels := pod["metadata"].get("labels") or {})]
    for kind, things in objects.items():
        if kind != "Pod":
            problems += _workloads(name, kind, [thing for thing in things if not _selects(thing, explained)])
    return {"name": name, "pods": len(pods), "ready": len(pods) - len(unready), "problems": problems}


def _counts(pod: Json) -> bool:
    """Say whether a pod must run: not one that is on its way out, that has done its work, or that was replaced."""
    phase = pod.get("status", {}).get("phase")
    owners = {str(owner.get("kind")) for owner in pod["metadata"].get("ownerReferences") or ()}
    if pod["metadata"].get("deletionTimestamp") or phase == "Succeeded" or "Job" in owners:
        return False
    # An evicted pod remains as it is, and its controller has long created another one.
    return not (phase == "Failed" and owners)


def _pod(name: str, pod: Json) -> str:
    where = f"{name}/{pod['metadata']['name']}"
    if verdict := pod_problem([pod]):
        return f"Pod {where} does not run: {verdict.message}"
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    waiting = [status["name"] for status in statuses if not status.get("ready")]
    what = f"its container {', '.join(waiting)} is not ready" if waiting else "it is not ready"
    return f"Pod {where} does not run: {what}; see its events and logs."


def _workloads(name: str, kind: str, things: Sequence[Json]) -> Iterator[str]:
    for thing in things:
        what = f"{kind} {name}/{thing['metadata']['name']}"
        if thing["spec"].get("replicas", 1) == 0:
            yield f"{what} does not run: it is scaled to zero; scale it up."
        elif verdict := readiness_problem("apps", kind, thing):
            conditions: Sequence[Json] = (thing.get("status") or {}).get("conditions") or ()
            refused = [entry for entry in conditions if entry["type"] == "ReplicaFailure" and entry["status"] == "True"]
            why = short(refused[0].get("message")) if refused else verdict.message
            yield f"{what} does not run: {why.rstrip('. ')}; see its events."


def _selects(workload: Json, pods: Sequence[Json]) -> bool:
    labels: Json = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    return any(labels.items() <= pod.items() for pod in pods) if labels else False
