# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.modules import inference_service_info

from ..module_utils.services_fixtures import CRASHING, Api, named, things

ARGUMENTS = {"namespace": "models", "api_key": "PLANTED-KEY"}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["iris", "rose"]),
        ({"label_selectors": ["team=a"]}, ["iris", "rose"]),
        ({"name": "rose"}, ["rose"]),
        ({"names": ["rose", "iris"]}, ["rose", "iris"]),
        ({"names": []}, []),
    ],
)
def test_the_selected_services_are_returned(
    run_module,
    serve,
    check_mode: bool,
    chosen: dict[str, Any],
    names: list[str],
) -> None:
    serve(Api(*things(), *named("rose", things())))
    result = run_module(inference_service_info.main, {**ARGUMENTS, **chosen}, check_mode=check_mode)
    assert [entry["name"] for entry in result["services"]] == names
    assert {entry["verdict"] for entry in result["services"]} <= {"serving"}
    assert result["changed"] is False


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_service_that_does_not_serve_is_explained_without_failure(run_module, serve, check_mode: bool) -> None:
    api = Api(*named("rose", things(changes=CRASHING)), *things())
    serve(api)
    arguments = {**ARGUMENTS, "names": ["iris", "rose", "lily"]}
    result = run_module(inference_service_info.main, arguments, check_mode=check_mode)
    iris, rose, lily = result["services"]
    assert (iris["verdict"], iris["model_ready"], "logs" in iris) == ("serving", True, False)
    assert (rose["verdict"], rose["model_ready"]) == ("degraded", None)
    assert rose["logs"] and rose["conditions"] and "storageUri" in rose["message"]
    assert (lily["verdict"], lily["reason"]) == ("failed", "NotFound")
    assert "failed" not in result and "PLANTED" not in json.dumps(result)
    # Without waiting: one list of each resource, and one of events.
    assert len(api.listed) == 6


def test_the_routes_that_kserve_has_created_are_told_from_others(run_module, serve) -> None:
    items = things()
    (service,) = (item for item in items if item["kind"] == "InferenceService")
    (first,) = (item for item in items if item["kind"] == "HTTPRoute")
    owner = {"kind": "InferenceService", "name": "iris", "uid": service["metadata"]["uid"], "apiVersion": "v1"}
    other = {**owner, "uid": "of-a-service-before", "controller": True}

    def route(name: str, *owners: dict[str, Any]) -> dict[str, Any]:
        return {**first, "metadata": {**first["metadata"], "name": name, "uid": name, "ownerReferences": list(owners)}}

    serve(Api(*items, route("iris-top", {**owner, "controller": True}), route("own", owner), route("left", other)))
    (iris, lily) = run_module(inference_service_info.main, {**ARGUMENTS, "names": ["iris", "lily"]})["services"]
    assert iris["http_routes"] == sorted(["iris-top", first["metadata"]["name"]])
    assert lily["http_routes"] == []


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_cluster_without_kserve_has_no_services(run_module, serve, check_mode: bool) -> None:
    api = Api()
    api.missing = ("inferenceservices",)
    serve(api)
    result = run_module(inference_service_info.main, ARGUMENTS, check_mode=check_mode)
    assert result["services"] == [] and "KServe is not installed" in result["msg"]


def test_a_model_that_is_not_ready_is_queried_once(run_module, serve) -> None:
    api = Api()
    api.model = ApiError("busy", 503)
    serve(api)
    (service,) = run_module(inference_service_info.main, {**ARGUMENTS, "name": "iris"})["services"]
    assert (service["verdict"], service["reason"], service["model_ready"]) == ("degraded", "ModelNotReady", False)
    assert len([path for path, _query in api.queries if path.endswith("/ready")]) == 1


def test_an_unreadable_cluster_is_a_failure(run_module, serve) -> None:
    api = Api()
    serve(api)

    def refuse(path: str, **query: Any) -> Any:
        raise Unreachable("The cluster's API server cannot be reached (refused).")

    api.get = refuse  # type: ignore[method-assign]
    result = run_module(inference_service_info.main, ARGUMENTS)
    assert (result["failed"], result["reason"]) == (True, "APIServerUnreachable")
