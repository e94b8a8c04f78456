# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.readiness import judge
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.selection import (
    LABEL,
    Selection,
    Services,
    sources,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Change

from ..cluster_fixtures import FIXTURES, items, objects
from ..services_fixtures import PLURALS, named, things

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SOURCES = dict(zip(PLURALS.values(), ("service", "deployments", "replica_sets", "pods", "routes"), strict=True))


def kept(thing: dict[str, Any], selection: Selection) -> Any:
    return sources(selection)[SOURCES[thing["kind"]]].keep(thing)


def test_sources_are_limited_to_the_services_and_their_namespace() -> None:
    found = sources(Selection("models", ("iris",)))
    assert found["service"].path == "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
    assert found["service"].query == {"fieldSelector": "metadata.name=iris"}
    assert found["pods"].path == "/api/v1/namespaces/models/pods"
    assert found["pods"].query == {"labelSelector": "serving.kserve.io/inferenceservice=iris"}
    assert [name for name, source in found.items() if source.optional] == ["routes"]


@pytest.mark.parametrize("thing", things(), ids=lambda thing: thing["kind"])
def test_objects_of_other_services_are_dropped(thing: dict[str, Any]) -> None:
    assert kept(thing, Selection("models", ("iris", "rose"))) is not None
    assert kept(thing, Selection("models")) is not None
    assert kept(thing, Selection("models", ("lily", "rose"))) is None


@pytest.mark.parametrize("thing", things(), ids=lambda thing: thing["kind"])
def test_unused_fields_are_dropped(thing: dict[str, Any]) -> None:
    fields = {"f:spec": {"f:predictor": {"f:PLANTED": {}}}}
    managed = [{"manager": "m", "time": "2026-11-20T10:00:00Z", "fieldsV1": fields}]
    metadata = {**thing["metadata"], "managedFields": managed, "annotations": {LAST_APPLIED: "PLANTED", "a": "b"}}
    slim = kept({**thing, "metadata": metadata}, Selection("models"))
    assert "PLANTED" not in json.dumps(slim)
    assert slim["metadata"]["annotations"] == {"a": "b"}
    # The time of the last change of the spec is read from a service.
    managed_fields = slim["metadata"].get("managedFields")
    assert managed_fields == (
        [{**managed[0], "fieldsV1": {"f:spec": {}}}] if thing["kind"] == "InferenceService" else None
    )


def test_returned_pods_are_complete() -> None:
    (pod,) = (thing for thing in things() if thing["kind"] == "Pod")
    pod = {**pod, "spec": {"nodeName": "worker", "containers": [{"name": "kserve-container"}]}}
    assert kept(pod, Selection("models", whole_pods=True))["spec"] == pod["spec"]
    assert kept(pod, Selection("models"))["spec"] == {"nodeName": "worker"}


RECORDED = sorted(path.stem for path in (FIXTURES / "recorded").glob("*.yaml"))


@pytest.mark.parametrize("name", RECORDED)
def test_a_verdict_on_reduced_objects_is_the_same(name: str) -> None:
    whole = objects(f"recorded/{name}")
    assert whole.service is not None
    slim = Services()
    for thing in items(f"recorded/{name}"):
        thing = {**thing, "metadata": {**thing["metadata"]}}
        if thing["kind"] != "InferenceService":
            # The API server selects by this label, which a recording may lack.
            label = {LABEL: whole.service["metadata"]["name"]}
            thing["metadata"]["labels"] = {**(thing["metadata"].get("labels") or {}), **label}
        slim.apply(Change(SOURCES[thing["kind"]], present=kept(thing, Selection("models"))))
    assert judge(slim.get(whole.service["metadata"]["name"])) == judge(whole)


def present(*found: dict[str, Any]) -> list[Change]:
    return [Change(SOURCES[thing["kind"]], present=thing) for thing in found]


def test_a_change_belongs_to_the_service_of_its_object() -> None:
    services = Services()
    assert not services.complete
    for source in SOURCES.values():
        assert services.apply(Change(source, listed={})) == set()
    assert services.complete
    for name in ("iris", "rose"):
        for change in present(*named(name, things())):
            assert services.apply(change) == {name}
    assert services.names() == ["iris", "rose"]
    rose = services.get("rose")
    assert rose.service is not None and rose.service["metadata"]["name"] == "rose"
    assert {len(rose.deployments), len(rose.pods)} <= {1, 2} and len(rose.routes) == len(services.get("iris").routes)


def test_deleted_objects_are_dropped() -> None:
    services = Services()
    for change in present(*things()):
        services.apply(change)
    pods = {thing["metadata"]["uid"]: thing for thing in things() if thing["kind"] == "Pod"}
    assert len(services.get("iris").pods) == len(pods)
    for pod in pods.values():
        assert services.apply(Change("pods", absent=pod)) == {"iris"}
        assert services.apply(Change("pods", absent=pod)) == set()
    assert services.get("iris").pods == []
    # A new list replaces everything.
    assert services.apply(Change("service", listed={})) == {"iris"}
    assert services.names() == [] and services.get("iris").service is None
    assert services.get("never").service is None


def test_an_object_without_a_service_belongs_to_none() -> None:
    stray = {"metadata": {"uid": "1", "name": "stray"}}
    assert Services().apply(Change("pods", present=stray)) == set()


def test_a_failed_follower_is_an_error() -> None:
    with pytest.raises(ApiError):
        Services().apply(Change("pods", error=ApiError("forbidden", 403)))


@pytest.mark.parametrize(
    ("options", "selection"),
    [
        ({"name": "a"}, Selection("n", ("a",))),
        ({"names": ["b", "a", "b"]}, Selection("n", ("b", "a"))),
        ({"names": []}, Selection("n", ())),
        ({"label_selectors": ["a=b"]}, Selection("n", None, ("a=b",))),
        ({}, Selection("n")),
    ],
)
def test_how_services_are_chosen(options: dict[str, Any], selection: Selection) -> None:
    unset = {"name": None, "names": None, "label_selectors": None, "namespace": "n"}
    assert Selection.of({**unset, **options}) == selection
