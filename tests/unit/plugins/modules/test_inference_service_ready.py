# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _kube
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import ApiError
from ansible_collections.hashfoundry.kserve.plugins.modules import inference_service_ready

from ..module_utils.cluster_fixtures import items

ARGUMENTS = {"name": "iris", "namespace": "models", "api_key": "PLANTED-KEY", "timeout": 30, "grace_period": 0}
PLURALS = {
    "inferenceservices": "InferenceService",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "pods": "Pod",
    "httproutes": "HTTPRoute",
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


class Api:
    """An API server with fixed objects, that sends no events on watches."""

    def __init__(self, base: str = "standard_serving", changes: dict[str, Any] | None = None) -> None:
        self.items = items(base, changes)
        self.missing: tuple[str, ...] = ()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.model: str | ApiError = '{"name": "iris", "ready": true}'

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        plural = path.rsplit("/", 1)[1]
        if plural in self.missing:
            raise ApiError("404 page not found", 404)
        if plural == "events":
            return {"items": [OTHERS_EVENT, EVENT]}
        found = [thing for thing in self.items if thing["kind"] == PLURALS[plural]]
        return {"metadata": {"resourceVersion": "1"}, "items": found}

    def text(self, path: str, **query: Any) -> str:
        self.asked.append((path, query))
        if path.endswith("/log"):
            return "".join(f"line {n}\n" for n in range(30)) + "aws_secret_access_key = PLANTED-SECRET\n"
        if isinstance(self.model, ApiError):
            raise self.model
        return self.model

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        return iter(())


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Api], None]:
    def use(api: Api) -> None:
        monkeypatch.setattr(_kube, "connect", lambda _get_client: api)

    return use


@pytest.mark.parametrize("check_mode", [False, True])
def test_success(run_module, serve, check_mode: bool) -> None:
    serve(Api())
    result = run_module(inference_service_ready.main, ARGUMENTS, check_mode=check_mode)
    assert result["changed"] is False and "skipped" not in result
    assert result["url"] == "http://iris-models.example.com"
    assert result["address"] == "http://iris-predictor.models.svc.cluster.local"
    assert (result["model_ready"], result["generation"], result["verdict"]) == (True, 2, "serving")
    assert 0 <= result["waited_seconds"] < 30


def test_the_model_is_not_asked_when_told_so(run_module, serve) -> None:
    api = Api()
    serve(api)
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "model_ready_path": ""})
    assert result["model_ready"] is None and api.asked == []


def test_without_gateway_api(run_module, serve) -> None:
    api = Api()
    api.missing = ("httproutes",)
    serve(api)
    assert run_module(inference_service_ready.main, ARGUMENTS)["verdict"] == "serving"


def test_a_model_that_is_not_there(run_module, serve) -> None:
    api = Api()
    api.model = ApiError("not found", 404)
    serve(api)
    result = run_module(inference_service_ready.main, ARGUMENTS)
    assert (result["failed"], result["verdict"], result["reason"]) == (True, "hopeless", "ModelNotFound")
    assert result["model_ready"] is False
    assert result["msg"].startswith("InferenceService iris in namespace models does not serve: The model server runs")


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


def test_a_failure_explains_itself_and_keeps_secrets(run_module, serve) -> None:
    api = Api(changes=CRASHING)
    serve(api)
    result = run_module(inference_service_ready.main, ARGUMENTS)
    assert (result["failed"], result["verdict"], result["reason"]) == (True, "hopeless", "CrashLoopBackOff")
    assert "check storageUri" in result["message"] and result["message"] in result["msg"]
    assert {"type": "Ready", "status": "True", "message": ""} in result["conditions"]
    assert [event["reason"] for event in result["events"]] == ["BackOff"]
    assert result["events"][0]["object"] == "Pod/iris-predictor-new-a"
    assert result["events"][0]["time"] == "2026-11-20T10:06:00Z"
    (lines,) = result["logs"].values()
    assert list(result["logs"]) == ["iris-predictor-new-a/storage-initializer"]
    assert len(lines) == 20 and lines[-2] == "line 29"
    # It waits to be started again, so the log is that of its life before.
    assert api.asked[-1][1] == {"container": "storage-initializer", "tailLines": 20, "previous": "true"}
    assert "PLANTED" not in json.dumps(result)


def test_the_end_of_time_is_a_failure_with_the_last_verdict(run_module, serve) -> None:
    serve(Api(changes={"HTTPRoute/iris": {"status": {"parents": []}}}))
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "timeout": 0})
    assert (result["failed"], result["verdict"], result["reason"]) == (True, "progressing", "RouteNotAccepted")
    assert "does not serve after 0 seconds: No gateway has taken" in result["msg"]


@pytest.mark.parametrize("crd", [True, False])
@pytest.mark.parametrize("check_mode", [True, False])
def test_what_is_not_there_is_skipped_in_check_mode_only(run_module, serve, crd: bool, check_mode: bool) -> None:
    api = Api(changes={"InferenceService/iris": None})
    api.missing = () if crd else ("inferenceservices",)
    serve(api)
    result = run_module(inference_service_ready.main, ARGUMENTS, check_mode=check_mode)
    says = "InferenceService iris in namespace models is not there" if crd else "KServe is not installed"
    assert result["msg"].startswith(says)
    assert (result.get("failed", False), result.get("skipped", False)) == (not check_mode, check_mode)


def test_no_kubeconfig(run_module, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv("K8S_AUTH_HOST", raising=False)
    arguments = {"name": "iris", "namespace": "models", "kubeconfig": str(tmp_path / "none")}
    result = run_module(inference_service_ready.main, arguments)
    assert result["failed"] is True
    assert result["msg"].startswith("There is no usable Kubernetes configuration")
    assert "Traceback" not in json.dumps(result)
