# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a pod, as a verdict.

Field shapes: Kubernetes API reference, Pod v1 core. This file is private to the collection and
may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .verdict import Verdict, degraded, failed, worst

Json = Mapping[str, Any]

# pkg/constants/constants.go of KServe v0.20.0
STORAGE_INITIALIZER = "storage-initializer"

_PULLING = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError")
# The kubelet's reasons for a container it cannot start; each comes with a message that names the cause.
_STARTING = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError")
# Secrets come late where an operator brings them (External Secrets, cert-manager), and the kubelet tries again.
_MISSING = re.compile(r'(secret|configmap) ".*" not found')
# How S3, its gateways and boto3 say that it is the keys: as HTTP status, error code, or before any request.
_REFUSED = re.compile(
    r"\b(401|403)\b|Forbidden|Access ?Denied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|[Cc]redentials"
)


def pod_problem(pods: list[Json]) -> Verdict | None:
    """Return the worst that is wrong with any of the pods, or None when they are starting."""
    return worst(verdict for pod in pods for verdict in _problems(pod))


def is_ready(pod: Json) -> bool:
    """Say whether the pod's Ready condition is True."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def _problems(pod: Json) -> Iterator[Verdict]:
    if pod["metadata"].get("deletionTimestamp"):
        return
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield degraded(
                "Unschedulable",
                f"No node takes pod {name}: {_clause(condition.get('message'))}; "
                "make room, or change the requested resources, node selector or tolerations.",
            )
    for container in status.get("initContainerStatuses", ()):
        yield from _container(name, container, "init container")
    for container in status.get("containerStatuses", ()):
        yield from _container(name, container, "container")
    if status.get("phase") == "Failed":
        reason = status.get("reason") or "PodFailed"
        yield degraded(reason, f"Pod {name} has failed: {_clause(status.get('message')) or reason}; see the events.")


def _container(pod: str, status: Json, kind: str) -> Iterator[Verdict]:
    if status.get("ready"):
        return
    where = f"{kind} {status['name']} of pod {pod}"
    state: Json = status.get("state", {})
    waiting: Json = state.get("waiting", {})
    reason = waiting.get("reason", "")
    if reason == "InvalidImageName":
        yield failed(reason, f"The image name {status.get('image')!r} of {where} is not valid; correct it.")
    elif reason in _PULLING:
        yield degraded(
            "ImagePullBackOff",
            f"The image of {where} cannot be pulled: {_clause(waiting.get('message')) or reason}; "
            "check the image's name, the registry and imagePullSecrets.",
        )
    elif reason in _STARTING:
        message = _clause(waiting.get("message")) or reason
        missing = _MISSING.match(message)
        yield degraded(
            f"{missing[1].capitalize()}Missing" if missing else reason,
            f"The {where} cannot be started: {message}; "
            f"{'create it, or correct the reference to it' if missing else 'correct the container'}.",
        )
    else:
        yield from _crashed(where, status, reason)


def _crashed(where: str, status: Json, waiting: str) -> Iterator[Verdict]:
    # Between two crashes a container runs for a while; it has recovered only when it is ready.
    ended: Json = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated") or {}
    if not ended.get("exitCode") and waiting != "CrashLoopBackOff":
        return
    code, why = ended.get("exitCode", "unknown"), ended.get("reason", "Error")
    lines = (ended.get("message") or "").strip().splitlines()
    # The message is the end of the log, and a log ends with the error itself.
    message = _clause(lines[-1]) if lines else ""
    if why == "OOMKilled":
        reason, todo = why, "raise its memory limit"
    elif status["name"] == STORAGE_INITIALIZER:
        reason = "StorageInitializerFailed"
        todo = (
            "check the keys in the ServiceAccount's secret and what they may read"
            if _REFUSED.search(message)
            else "check storageUri and what the ServiceAccount's secret says about the store"
        )
    elif why in ("StartError", "ContainerCannotRun"):
        reason, todo = "RunContainerError", "correct its command, or take an image that has it"
    else:
        reason, todo = "CrashLoopBackOff", "see its logs"
    yield degraded(
        reason,
        f"The {where} has ended with exit code {code} ({why}){f': {message}' if message else ''}; {todo}.",
    )


def _clause(text: str | None) -> str:
    # What another's sentence becomes in the middle of one.
    return short(text).rstrip(". ")
