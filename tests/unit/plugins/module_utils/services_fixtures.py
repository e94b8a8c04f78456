# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of an InferenceService with KServe's labels, also under other names, and an API server with them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

from .cluster_fixtures import items

PLURALS = {
    "inferenceservices": "InferenceService",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "pods": "Pod",
    "httproutes": "HTTPRoute",
}
RUNTIMES: dict[str, list[dict[str, Any]]] = {
    "clusterservingruntimes": [
        {
            "metadata": {"name": "kserve-sklearnserver"},
            "spec": {"supportedModelFormats": [{"name": "sklearn", "version": "1"}, {"name": "sklearn"}]},
        },
        {"metadata": {"name": "kserve-old"}, "spec": {"disabled": True, "supportedModelFormats": [{"name": "old"}]}},
    ],
    "servingruntimes": [
        {"metadata": {"name": "own"}, "spec": {"supportedModelFormats": [{"name": "onnx"}, {"name": "own"}]}}
    ],
}
EVENT = {
    "metadata": {"creationTimestamp": "2026-11-20T10:05:00Z"},
    "type": "Warning",
    "reason": "BackOff",
    "message": "Back-off restarting; url https://x/y?X-Amz-Signature=PLANTED-SIGNATURE",
    "count": 4,
    "lastTimestamp": "2026-11-20T10:06:00Z",
    "involvedObject": {"kind": "Pod", "name": "iris-predictor-new-a", "uid": "0a6b-pod-a"},
}
OTHERS_EVENT = {**EVENT, "involvedObject": {"kind": "Pod", "name": "other", "uid": "other"}, "reason": "Other"}

CRASHING = {
    "Deployment/iris-predictor": {"status": {"availableReplicas": 1}},
    "Pod/iris-predictor-new-a": {
        "status": {
            "conditions": [{"type": "Ready", "status": "False"}],
            "initContainerStatuses": [
                {
                    "name": "storage-initializer",
                    "restartCount": 2,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 1, "message": "Authorization: Bearer PLANTED-BEARER"}},
                }
            ],
            "containerStatuses": [
                {"name": "kserve-container", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
            ],
        }
    },
}


def things(base: str = "standard_serving", changes: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the objects of service iris, without those of others."""
    label = {"serving.kserve.io/inferenceservice": "iris"}
    found = [thing for thing in items(base, changes) if "unrelated" not in thing["metadata"]["name"]]
    for thing in found:
        if thing["kind"] != "InferenceService":
            thing["metadata"]["labels"] = {**(thing["metadata"].get("labels") or {}), **label}
    return found


def named(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects, renamed to those of another service."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [renamed(entry) for entry in value]
        return value.replace("iris", name) if isinstance(value, str) else value

    copied: list[dict[str, Any]] = renamed(copy.deepcopy(found))
    for thing in copied:
        thing["metadata"]["uid"] += name
        for owner in thing["metadata"].get("ownerReferences", ()):
            owner["uid"] += name
    return copied


class Api:
    """An API server with fixed objects, whose watches have no events."""

    def __init__(self, *found: dict[str, Any], **changes: Any) -> None:
        self.items = [*found] or things(**changes)
        self.missing: tuple[str, ...] = ()
        self.queries: list[tuple[str, dict[str, Any]]] = []
        self.posted: list[tuple[str, Any]] = []
        self.listed: list[tuple[str, dict[str, Any]]] = []
        self.events = [OTHERS_EVENT, EVENT]
        self.model: str | ApiError = '{"name": "iris", "ready": true}'

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        self.listed.append((path, query))
        plural = path.rsplit("/", 1)[1]
        if plural in self.missing:
            raise ApiError("404 page not found", 404)
        if plural in RUNTIMES:
            return {"metadata": {}, "items": RUNTIMES[plural]}
        if plural == "events":
            return {"metadata": {}, "items": self.events}
        found = [thing for thing in self.items if thing["kind"] == PLURALS[plural]]
        return {"metadata": {"resourceVersion": "1"}, "items": found}

    def text(self, path: str, **query: Any) -> str:
        self.queries.append((path, query))
        if path.endswith("/log"):
            return "".join(f"line {n}\n" for n in range(30)) + "aws_secret_access_key = PLANTED-SECRET\n"
        return _answered(self.model)

    def post(self, path: str, body: Any) -> str:
        self.posted.append((path, body))
        return _answered(self.model)

    def end_watches(self) -> None:
        pass

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        return iter(())


def _answered(model: str | ApiError) -> str:
    if isinstance(model, ApiError):
        raise model
    return model
