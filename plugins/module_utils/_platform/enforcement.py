# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the network enforces NetworkPolicies, by a Job whose pod tries connections that they deny.

The Job of the role namespace_security completes if two connections were denied, one only as egress of a pod and one
only as ingress of the other, while a third, which the policies allow, was open. If a denied one was open, its pod exits
with CONNECTED, which the Job's podFailurePolicy turns into its failure. Other failures say nothing of the network.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Retry
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

Json = Mapping[str, Any]

# The exit code of a pod whose connection was open.
CONNECTED = 42
LABEL = "app.kubernetes.io/name=network-policy-probe"


class Enforcement(StrEnum):
    """What a probe says of a network."""

    ENFORCED = "enforced"
    NOT_ENFORCED = "not_enforced"
    PENDING = "pending"
    UNKNOWN = "unknown"


_REASONS = {
    Enforcement.NOT_ENFORCED: "NetworkPoliciesNotEnforced",
    Enforcement.UNKNOWN: "NetworkPoliciesNotTested",
    Enforcement.PENDING: "NetworkPoliciesNotTested",
}


class Reader(Protocol):
    """What reads objects; raises ApiError."""

    def get(self, path: str) -> Any:
        """Return the object at a path."""


def enforcement(api: Reader, job: str, retry: Retry) -> Enforcement | None:
    """Return what the Job namespace/name says, or None if it is missing.

    :param retry: how long to wait for the Job to finish.
    :raises KServeError: the Job cannot be read.
    """
    while (found := _read(api, job)) is Enforcement.PENDING and retry.pause():
        pass
    return found


def _read(api: Reader, job: str) -> Enforcement | None:
    namespace, _slash, name = job.partition("/")
    try:
        return verdict(api.get(f"/apis/batch/v1/namespaces/{quote(namespace, safe='')}/jobs/{quote(name, safe='')}"))
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def verdict(job: Json) -> Enforcement:
    """Return what a Job says of the network."""
    conditions = {
        entry["type"]: entry for entry in job.get("status", {}).get("conditions") or () if entry["status"] == "True"
    }
    if "Complete" in conditions:
        return Enforcement.ENFORCED
    if "Failed" in conditions:
        connected = conditions["Failed"].get("reason") == "PodFailurePolicy"
        return Enforcement.NOT_ENFORCED if connected else Enforcement.UNKNOWN
    return Enforcement.PENDING


def warning(found: Enforcement | None, job: str) -> str:
    """Return what a user must know, in one sentence with its reason, or an empty string."""
    if found not in _REASONS:
        return ""
    namespace = job.partition("/")[0]
    text = (
        "The cluster's network does not enforce NetworkPolicies, or only for one direction: the pod of Job "
        f"{job} could open a connection that the NetworkPolicy {namespace}/default-deny denies. Its log names the "
        "direction. Install a network plugin that enforces both, such as Calico or Cilium"
        if found is Enforcement.NOT_ENFORCED
        else f"Whether the cluster's network enforces NetworkPolicies was not tested, because Job {job} did not "
        f"complete. Read its log and events, as with `kubectl describe job,pod -n {namespace} -l {LABEL}`"
    )
    return f"{text}, then run this playbook again ({_REASONS[found]})."
