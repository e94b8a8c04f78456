# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.pods import namespace, namespaces

READY = [{"type": "Ready", "status": "True"}]
CRASHED = {
    "name": "manager",
    "ready": False,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 2, "reason": "Error", "message": "panic: no config"}},
}
BACK_OFF = {
    "name": "manager",
    "ready": False,
    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
}
STARTING = {"name": "manager", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
UNREADY = {"name": "manager", "ready": False, "state": {"running": {}}}
NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}


def pod(name: str = "manager-a", owner: str = "ReplicaSet", ready: bool = False, **status: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {"app": "manager"}}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner, "name": "x", "uid": "1"}]
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": READY if ready else [], **status}}


def workload(name: str = "manager", available: int = 1, conditions: Any = (), app: str = "manager") -> dict[str, Any]:
    numbers = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), available)
    return {
        "metadata": {"name": name, "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": app}}},
        "status": {"observedGeneration": 1, "conditions": list(conditions), **numbers},
    }


def judged(*pods: dict[str, Any], **kinds: list[dict[str, Any]]) -> dict[str, Any]:
    return namespace("kserve", {"Pod": pods, **kinds})


def test_pods_that_run() -> None:
    found = judged(pod(ready=True), pod("other", ready=True), Deployment=[workload()])
    assert found == {"name": "kserve", "pods": 2, "ready": 2, "problems": []}
    assert judged() == {"name": "kserve", "pods": 0, "ready": 0, "problems": []}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"containerStatuses": [CRASHED]}, "has ended with exit code 2 (Error): panic: no config; see its logs."),
        ({"containerStatuses": [BACK_OFF]}, "cannot be pulled: not found; check the image's name"),
        ({"containerStatuses": [STARTING]}, "its container manager is not ready; see its events and logs."),
        ({"containerStatuses": [UNREADY]}, "its container manager is not ready; see its events and logs."),
        ({"phase": "Pending", "conditions": [NO_NODE]}, "No node takes pod manager-a: 0/1 nodes are available; make"),
        ({}, "it is not ready; see its events and logs."),
    ],
    ids=["crashed", "no image", "starting", "not ready", "no node", "unknown"],
)
def test_a_pod_that_does_not_run(status: dict[str, Any], says: str) -> None:
    found = judged(pod(**status), pod("other", ready=True), Deployment=[workload(available=0)])
    # Its Deployment would only repeat it.
    (problem,) = found["problems"]
    assert problem.startswith("Pod kserve/manager-a does not run: ") and says in problem
    assert (found["pods"], found["ready"]) == (2, 1)


@pytest.mark.parametrize(
    "done",
    [
        pod(phase="Succeeded", owner="Job"),
        pod(phase="Failed", owner="Job"),
        pod(owner="Job", containerStatuses=[STARTING]),
        pod(phase="Succeeded", owner=""),
        pod(phase="Failed", reason="Evicted"),
        {**pod(), "metadata": {"name": "a", "deletionTimestamp": "2026-11-29T10:00:00Z"}},
    ],
    ids=["Job complete", "Job failed", "Job running", "complete", "evicted and replaced", "being deleted"],
)
def test_pods_that_need_not_run(done: dict[str, Any]) -> None:
    assert judged(done, pod("other", ready=True)) == {"name": "kserve", "pods": 1, "ready": 1, "problems": []}


def test_a_failed_pod_that_nobody_replaces() -> None:
    (problem,) = judged(pod(owner="", phase="Failed", reason="Evicted", message="low on memory"))["problems"]
    assert "Pod manager-a has failed: low on memory" in problem


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_workload_without_any_pod(kind: str) -> None:
    (problem,) = judged(**{kind: [workload(available=0)]})["problems"]
    assert problem.startswith(f"{kind} kserve/manager does not run: 0 of 1 replicas are available")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_workload_that_is_scaled_to_zero(kind: str) -> None:
    asleep = workload(available=0)
    asleep["spec"]["replicas"] = 0
    assert judged(**{kind: [asleep]})["problems"] == [
        f"{kind} kserve/manager does not run: it is scaled to zero; scale it up."
    ]


def test_a_workload_whose_pods_are_refused() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": 'pods "m" is forbidden: exceeded quota: models'}
    (problem,) = judged(Deployment=[workload(available=0, conditions=[refused])])["problems"]
    assert problem == (
        'Deployment kserve/manager does not run: pods "m" is forbidden: exceeded quota: models; see its events.'
    )


def test_another_workload_is_not_hidden_by_a_pod() -> None:
    broken = pod(containerStatuses=[CRASHED])
    found = judged(broken, Deployment=[workload(available=0), workload("webhook", available=0, app="webhook")])
    assert [text.split()[:2] for text in found["problems"]] == [
        ["Pod", "kserve/manager-a"],
        ["Deployment", "kserve/webhook"],
    ]


class Api:
    """Lists by path."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def get(self, path: str, **_query: Any) -> Any:
        self.paths.append(path)
        if "forbidden" in path:
            raise ApiError("The credentials lack a permission.", 403)
        return {"items": [pod(ready=True)] if path == "/api/v1/namespaces/kserve/pods" else []}


def test_each_kind_is_listed_once_for_each_namespace() -> None:
    api = Api()
    found = namespaces(api, ["kserve", "cert-manager", "kserve"])
    assert [(entry["name"], entry["pods"]) for entry in found] == [("kserve", 1), ("cert-manager", 0)]
    assert len(api.paths) == len(set(api.paths)) == 8
    assert namespaces(api, []) == []


def test_a_namespace_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ApiError):
        namespaces(Api(), ["forbidden"])
