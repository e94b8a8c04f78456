# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.modules import inference_service_info, inference_service_ready

from ..module_utils.cluster_fixtures import load
from ..module_utils.services_fixtures import CRASHING, PLURALS, Api, named, things

ARGUMENTS = {"name": "iris", "namespace": "models", "api_key": "PLANTED-KEY", "timeout": 30, "grace_period": 0}


def without(key: str, *keys: str) -> dict[str, Any]:
    return {name: value for name, value in ARGUMENTS.items() if name not in (key, *keys)}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("chosen", [{"name": "iris"}, {"names": ["iris", "iris"]}, {"label_selectors": ["a=b", "c"]}])
def test_success(run_module, serve, check_mode: bool, chosen: dict[str, Any]) -> None:
    serve(Api())
    result = run_module(inference_service_ready.main, {**without("name"), **chosen}, check_mode=check_mode)
    assert result["changed"] is False and "skipped" not in result
    assert result["url"] == "http://iris-models.example.com"
    assert result["address"] == "http://iris-predictor.models.svc.cluster.local"
    assert (result["model_ready"], result["generation"], result["verdict"]) == (True, 2, "serving")
    assert 0 <= result["waited_seconds"] < 30
    (service,) = result["services"]
    assert service["name"] == "iris"
    assert {key: result[key] for key in service if key not in ("name", "waited_seconds")} == {
        key: value for key, value in service.items() if key not in ("name", "waited_seconds")
    }


def test_the_queries_for_each_selection(run_module, serve) -> None:
    def queries(chosen: dict[str, Any]) -> list[tuple[str | None, str | None]]:
        api = Api()
        serve(api)
        run_module(inference_service_ready.main, {**without("name"), **chosen})
        listed = {path.rsplit("/", 1)[1]: query for path, query in api.listed}
        assert listed.keys() - {"events"} == PLURALS.keys()
        services, pods = listed["inferenceservices"], listed["pods"]
        return [(services.get("fieldSelector"), services.get("labelSelector")), (None, pods.get("labelSelector"))]

    label = "serving.kserve.io/inferenceservice"
    assert queries({"name": "iris"}) == [("metadata.name=iris", None), (None, f"{label}=iris")]
    assert queries({"names": ["iris", "rose"]}) == [(None, None), (None, f"{label} in (iris,rose)")]
    assert queries({"label_selectors": ["a=b", "c"]}) == [(None, "a=b,c"), (None, label)]
    assert queries({"names": [f"a-long-name-{n}" for n in range(200)]})[1] == (None, label)


@pytest.mark.parametrize("chosen", [{}, {"name": "iris", "names": ["rose"]}, {"name": "a", "label_selectors": ["b"]}])
def test_exactly_one_kind_of_selection_is_required(run_module, chosen: dict[str, Any]) -> None:
    result = run_module(inference_service_ready.main, {**without("name"), **chosen})
    assert result["failed"] is True
    assert "name, names, label_selectors" in result["msg"] or "name|names|label_selectors" in result["msg"]


def test_an_empty_list_of_names_waits_for_nothing(run_module, serve) -> None:
    api = Api()
    serve(api)
    result = run_module(inference_service_ready.main, {**without("name"), "names": []})
    assert (result["services"], api.listed) == ([], [])


def test_the_model_is_not_queried_if_disabled(run_module, serve) -> None:
    api = Api()
    serve(api)
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "model_ready_path": ""})
    assert result["model_ready"] is None and api.queries == []
    assert result["message"].endswith("The model was not queried, since model_ready_path is empty.")


def test_a_knative_service_scaled_to_zero_serves_and_is_not_queried(run_module, serve) -> None:
    api = Api(*load("recorded/knative-scaled-to-zero")["items"])
    serve(api)
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "name": "idle"})
    assert (result["verdict"], result["model_ready"], api.queries) == ("serving", None, [])
    assert "since it is scaled to zero" in result["message"]


def test_without_gateway_api(run_module, serve) -> None:
    api = Api()
    api.missing = ("httproutes",)
    serve(api)
    assert run_module(inference_service_ready.main, ARGUMENTS)["verdict"] == "serving"


def test_a_field_that_kserve_ignores_is_a_warning(run_module, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
    items = load("standard_serving")["items"]
    next(item for item in items if item["kind"] == "InferenceService")["spec"]["predictor"]["canaryTrafficPercent"] = 10
    serve(Api(*items))
    result = run_module(inference_service_ready.main, ARGUMENTS)
    assert result["verdict"] == "serving"
    (sentence,) = result["ignored"]
    assert "canaryTrafficPercent is 10, which KServe ignores in Standard mode" in sentence
    assert warnings == [f"InferenceService iris: {sentence}"]


def test_a_missing_model(run_module, serve) -> None:
    api = Api()
    api.model = ApiError("not found", 404)
    serve(api)
    result = run_module(inference_service_ready.main, ARGUMENTS)
    assert (result["failed"], result["verdict"], result["reason"]) == (True, "failed", "ModelNotFound")
    assert result["model_ready"] is False
    assert result["msg"].startswith("InferenceService iris in namespace models does not serve: The model server runs")


PREDICTION = {"instances": [[1, 2], [3, 4]], "expected": [0, 2]}


def test_a_prediction_request_replaces_the_readiness_query(run_module, serve) -> None:
    api = Api()
    api.model = json.dumps({"predictions": [0, 2]})
    serve(api)
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "prediction": PREDICTION})
    assert (result["reason"], result["model_ready"], api.queries) == ("ModelPredicts", True, [])
    (path, body), *_more = api.posted
    assert path == "/api/v1/namespaces/models/services/http:iris-predictor:80/proxy/v1/models/iris:predict"
    assert body == {"instances": [[1, 2], [3, 4]]}
    api.model = json.dumps({"predictions": [0, 1]})
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "prediction": PREDICTION})
    assert (result["failed"], result["reason"]) == (True, "PredictionWrong")


@pytest.mark.parametrize(
    ("prediction", "says"),
    [
        ({}, "instances"),
        ({"instances": [[1]], "body": {}}, "mutually exclusive"),
        ({"body": {}, "expected": [1]}, "mutually exclusive"),
        ({"instances": [[1]], "expected": [1, 2]}, "one value for each"),
        ({"instances": ["x"], "protocol": "v2"}, "not a list of numbers"),
    ],
)
def test_an_invalid_prediction_request(run_module, prediction: dict[str, Any], says: str) -> None:
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "prediction": prediction})
    assert result["failed"] is True and says in result["msg"]


def test_a_failure_is_explained_without_secrets(run_module, serve) -> None:
    api = Api(changes=CRASHING)
    serve(api)
    result = run_module(inference_service_ready.main, ARGUMENTS)
    assert (result["failed"], result["verdict"]) == (True, "failed")
    assert "storageUri" in result["message"] and result["message"] in result["msg"]
    assert result["msg"].endswith(" Its log ends with: aws_secret_access_key = ********.")
    assert {"type": "Ready", "status": "True", "message": ""} in result["conditions"]
    assert [event["reason"] for event in result["events"]] == ["BackOff"]
    assert result["events"][0]["object"] == "Pod/iris-predictor-new-a"
    assert result["events"][0]["time"] == "2026-11-20T10:06:00Z"
    (lines,) = result["logs"].values()
    assert list(result["logs"]) == ["iris-predictor-new-a/storage-initializer"]
    assert len(lines) == 20 and lines[-2] == "line 29"
    # It waits for its restart, so the log is that of the previous run.
    assert api.queries[-1][1] == {"container": "storage-initializer", "tailLines": 20, "previous": "true"}
    assert "PLANTED" not in json.dumps(result)


def test_a_timeout_fails_with_the_last_verdict(run_module, serve) -> None:
    serve(Api(changes={"HTTPRoute/iris": {"status": {"parents": []}}}))
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "timeout": 0})
    assert (result["failed"], result["verdict"], result["reason"]) == (True, "progressing", "RouteNotAccepted")
    assert "does not serve after 0 seconds: " in result["msg"]


def test_a_route_that_a_later_task_corrects_does_not_count(run_module, serve) -> None:
    serve(Api(changes={"HTTPRoute/iris": {"status": {"parents": []}}}))
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "timeout": 0, "routes": False})
    assert (result.get("failed", False), result["verdict"]) == (False, "serving")


def test_a_timeout_reports_the_latest_warning_about_the_service(run_module, serve) -> None:
    api = Api(changes={"HTTPRoute/iris": {"status": {"parents": []}}})
    service = next(thing for thing in api.items if thing["kind"] == "InferenceService")
    about = {"kind": "InferenceService", "name": "iris", "uid": service["metadata"]["uid"]}
    warning = {"type": "Warning", "reason": "InternalError", "involvedObject": about, "metadata": {}}
    api.events = [
        {**warning, "message": "older", "lastTimestamp": "2026-11-20T10:00:00Z"},
        {**warning, "message": "unknown storage ftp://", "lastTimestamp": "2026-11-20T10:01:00Z"},
    ]
    serve(api)
    result = run_module(inference_service_ready.main, {**ARGUMENTS, "timeout": 0})
    assert result["msg"].endswith(" The latest warning about it: unknown storage ftp://.")
    assert "warning" not in result["message"]


STATES = {
    "serves": ({}, "serving", "ModelReady"),
    "differs": (
        {"InferenceService/iris": {"spec": {"predictor": {"model": {"storageUri": "s3://models/iris/v9"}}}}},
        "progressing",
        "SpecNotObserved",
    ),
    "rolls out": ({"Deployment/iris-predictor": {"status": {"availableReplicas": 1}}}, "progressing", "RollingOut"),
    "crashes": (CRASHING, "degraded", None),
    "is stopped": (
        {"InferenceService/iris": {"metadata": {"annotations": {"serving.kserve.io/stop": "true"}}}},
        "failed",
        "Stopped",
    ),
}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("module", [inference_service_ready, inference_service_info], ids=["ready", "info"])
def test_every_state_in_both_modules_and_modes(run_module, serve, module: Any, state: str, check_mode: bool) -> None:
    changes, verdict, reason = STATES[state]
    serve(Api(changes=changes))
    arguments = {"name": "iris", "namespace": "models"}
    waits = {"timeout": 0} if module is inference_service_ready else {}
    result = run_module(module.main, {**arguments, **waits}, check_mode=check_mode)
    (service,) = result["services"]
    assert (service["verdict"], service["reason"]) == (verdict, reason or service["reason"])
    assert not result.get("changed") and "skipped" not in result
    assert result.get("failed", False) is (verdict != "serving" and module is inference_service_ready)


@pytest.mark.parametrize("crd", [True, False])
@pytest.mark.parametrize("check_mode", [True, False])
def test_a_missing_service_is_skipped_in_check_mode_only(run_module, serve, crd: bool, check_mode: bool) -> None:
    api = Api(changes={"InferenceService/iris": None})
    api.missing = () if crd else ("inferenceservices",)
    serve(api)
    result = run_module(inference_service_ready.main, ARGUMENTS, check_mode=check_mode)
    says = "InferenceService iris in namespace models does not exist" if crd else "KServe is not installed"
    assert result["msg"].startswith(says)
    assert (result.get("failed", False), result.get("skipped", False)) == (not check_mode, check_mode)


@pytest.mark.parametrize("check_mode", [True, False])
def test_labels_without_a_match(run_module, serve, check_mode: bool) -> None:
    serve(Api(changes={"InferenceService/iris": None}))
    arguments = {**without("name"), "label_selectors": ["team=a"]}
    result = run_module(inference_service_ready.main, arguments, check_mode=check_mode)
    assert result["msg"].startswith("No InferenceServices in namespace models have the labels team=a")
    assert (result.get("failed", False), result.get("skipped", False)) == (not check_mode, check_mode)


@pytest.mark.parametrize("check_mode", [True, False])
def test_one_missing_service_of_several(run_module, serve, check_mode: bool) -> None:
    serve(Api())
    arguments = {**without("name"), "names": ["iris", "rose"], "fail_fast": False}
    result = run_module(inference_service_ready.main, arguments, check_mode=check_mode)
    assert [entry["reason"] for entry in result["services"]] == ["ModelReady", "NotFound"]
    assert result.get("failed", False) is not check_mode
    if not check_mode:
        assert result["msg"] == (
            "1 of 2 InferenceServices in namespace models do not serve: rose: The InferenceService does not exist; "
            "create it, or check name and namespace."
        )


def test_services_whose_wait_was_stopped_are_counted(run_module, serve) -> None:
    rolling = things(changes={"Deployment/iris-predictor": {"status": {"availableReplicas": 1}}})
    serve(Api(*named("rose", things(changes=CRASHING)), *named("lily", rolling)))
    result = run_module(inference_service_ready.main, {**without("name"), "names": ["rose", "lily"]})
    assert result["msg"].startswith("1 of 2 InferenceServices in namespace models do not serve: rose: ")
    assert result["msg"].endswith("The other 1 were not waited for, since fail_fast is true.")
    assert [entry["verdict"] for entry in result["services"]] == ["failed", "progressing"]


def test_the_message_about_many_failures_is_bounded(run_module, serve) -> None:
    names = [f"m{n:03}" for n in range(40)]
    crashing = things(changes=CRASHING)
    found = [thing for name in names for thing in named(name, crashing)]
    api = Api(*found, *things())
    serve(api)
    result = run_module(
        inference_service_ready.main, {**without("name"), "names": [*names, "iris", "none"], "fail_fast": False}
    )
    assert result["msg"].startswith("41 of 42 InferenceServices in namespace models do not serve: m000: ")
    assert result["msg"].endswith("The other 38 are in services.")
    entries = result["services"]
    assert [entry["name"] for entry in entries] == [*names, "iris", "none"]
    assert all("message" in entry for entry in entries)
    # The one with another reason is among the explained ones.
    assert [entry["name"] for entry in entries if "logs" in entry] == [*names[:9], "none"]
    assert len([path for path, _query in api.listed if path.endswith("/events")]) == 1
    assert [name for name in names if "conditions" not in entries[names.index(name)]] == []
    assert "PLANTED" not in json.dumps(result)


def test_no_kubeconfig(run_module, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv("K8S_AUTH_HOST", raising=False)
    arguments = {"name": "iris", "namespace": "models", "kubeconfig": str(tmp_path / "none")}
    result = run_module(inference_service_ready.main, arguments)
    assert (result["failed"], result["reason"]) == (True, "InvalidKubeconfig")
    assert "Traceback" not in json.dumps(result)


UNKNOWN = {
    "InferenceService/iris": {
        "metadata": {"generation": 1},
        "status": {
            "modelStatus": {
                "transitionStatus": "InvalidSpec",
                "lastFailureInfo": {"reason": "RuntimeNotRecognized", "message": "Waiting for runtime"},
            }
        },
    }
}


def test_a_wrong_runtime_lists_the_existing_ones(run_module, serve) -> None:
    serve(Api(changes=UNKNOWN))
    result = run_module(inference_service_ready.main, ARGUMENTS)
    assert result["reason"] == "RuntimeNotRecognized"
    assert result["msg"].endswith(
        "or name another. The runtimes with their model formats are kserve-sklearnserver (sklearn), own (onnx, own)."
    )


@pytest.mark.parametrize("plural", ["clusterservingruntimes", "servingruntimes"])
def test_runtimes_that_cannot_be_read_hide_no_error(run_module, serve, plural: str) -> None:
    api = Api(changes=UNKNOWN)
    api.missing = (plural,)
    serve(api)
    assert run_module(inference_service_ready.main, ARGUMENTS)["msg"].endswith("or name another.")
