# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import (
    Options,
    apply_manifests,
    unvalidated_warnings,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.delete import delete_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.helm import Rendered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import AWAY, Server, Time, crd, listed, thing

ROLES = "rbac.authorization.k8s.io/v1"
CONFIG = thing("ConfigMap", "c", data={"a": "1"})
CHANGED = thing("ConfigMap", "c", data={"a": "2"})
DEPLOYMENT = thing(
    "Deployment", "web", api="apps/v1", spec={"replicas": 1, "selector": {"matchLabels": {"app": "web"}}}
)
WEB = "/apis/apps/v1/namespaces/models/deployments/web"
FOO = thing("Foo", "f", api="example.com/v1", spec={"a": 1})
UNAVAILABLE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}
AVAILABLE = {**UNAVAILABLE, "availableReplicas": 1}


def run(server: Server, definitions: list[dict[str, Any]], time: Time | None = None, **options: Any) -> dict[str, Any]:
    """Apply with a simulated clock."""
    time = time or Time()
    return apply_manifests(server, load(definitions, []), Options(**options), time.timing)


def fails(server: Server, definitions: list[dict[str, Any]], time: Time | None = None, **options: Any) -> KServeError:
    with pytest.raises(KServeError) as caught:
        run(server, definitions, time, **options)
    return caught.value


def deployment(status: dict[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(DEPLOYMENT)
    body["metadata"]["generation"] = 1
    return {**body, "status": status}


def waiting_server(status: dict[str, Any]) -> Server:
    """Return a server with the applied Deployment and a status."""
    server = Server(DEPLOYMENT)
    server.objects[WEB]["status"] = status
    server.objects[WEB]["metadata"]["generation"] = 1
    return server


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("live", "desired", "action"),
    [(None, CONFIG, "created"), (CONFIG, CONFIG, "unchanged"), (CONFIG, CHANGED, "configured")],
)
def test_state_by_difference_by_check_mode(
    live: dict[str, Any] | None, desired: dict[str, Any], action: str, check_mode: bool
) -> None:
    server = Server(*([live] if live else []))
    before = copy.deepcopy(server.objects)
    result = run(server, [desired], check_mode=check_mode, diff=True)
    assert result["changed"] is (action != "unchanged")
    assert result["objects"] == [
        {"api_version": "v1", "kind": "ConfigMap", "namespace": "models", "name": "c", "action": action}
    ]
    assert result["counts"] == {"created": 0, "configured": 0, "unchanged": 0, "unvalidated": 0, action: 1}
    assert result["requests"] == server.requests == (1 if action == "unchanged" else 2)
    assert (server.objects == before) is (check_mode or action == "unchanged")
    query = {"fieldManager": "hashfoundry.kserve", "force": "false", **({"dryRun": "All"} if check_mode else {})}
    assert server.sent == ([] if action == "unchanged" else [("/api/v1/namespaces/models/configmaps/c", query)])
    if action == "configured":
        assert [(entry["before"]["data"], entry["after"]["data"]) for entry in result["diff"]] == [
            ({"a": "1"}, {"a": "2"})
        ]
        assert result["diff"][0]["before_header"] == "ConfigMap models/c"
    elif action == "created":
        assert result["diff"][0]["before"] == {} and result["diff"][0]["after"] == desired
    else:
        assert result["diff"] == []


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_apply_that_changes_nothing_is_no_change(check_mode: bool) -> None:
    server = Server(CONFIG)
    live = server.objects["/api/v1/namespaces/models/configmaps/c"]
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]["f:gone"] = {}

    def nothing(path: str, body: Any, **query: Any) -> dict[str, Any]:
        server.sent.append((path, query))
        after = copy.deepcopy(live)
        after["metadata"]["managedFields"][0]["time"] = "2026-11-21T00:00:00Z"
        return after

    server.apply = nothing  # type: ignore[method-assign]
    result = run(server, [CONFIG], check_mode=check_mode, diff=True)
    assert len(server.sent) == 1 and result["changed"] is False and result["diff"] == []


def test_the_default_namespace_and_objects_of_the_whole_cluster() -> None:
    server = Server()
    nameless = thing("ConfigMap", "c", None, data={})
    result = run(server, [nameless, thing("Namespace", "other", "nonsense")], namespace="other")
    assert "diff" not in result
    assert [(entry["kind"], entry["namespace"]) for entry in result["objects"]] == [
        ("Namespace", None),
        ("ConfigMap", "other"),
    ]
    assert "namespace" not in server.objects["/api/v1/namespaces/other"]["metadata"]
    assert "ConfigMap c has no namespace" in str(fails(server, [nameless]))


def test_a_conflict_names_the_object_the_other_manager_and_the_option() -> None:
    server = Server()
    text = 'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.a'
    server.errors["/c"] = [ApiError("409", 409, text)]
    message = str(fails(server, [CONFIG]))
    assert "ConfigMap models/c" in message and "(kubectl)" in message and ".data.a" in message
    assert "force_conflicts" in message
    run(server, [CONFIG], force_conflicts=True)
    assert server.sent[-1][1]["force"] == "true"


def test_a_webhook_that_becomes_ready_in_time_is_waited_for() -> None:
    server, time = Server(), Time()
    server.errors["/c"] = [AWAY] * 6
    assert run(server, [CONFIG], time, webhook_timeout=20)["counts"]["created"] == 1
    assert len(server.sent) == 7 and time.passed <= 20


@pytest.mark.parametrize(
    "text",
    [
        AWAY.text,
        'failed calling webhook "x": no endpoints available for service "x"',
        'failed calling webhook "x": tls: failed to verify certificate: x509: certificate signed by unknown authority',
        'failed calling webhook "x": Post "https://x": EOF',
        'conversion webhook for example.com/v1, Kind=Foo failed: Post "https://x": context deadline exceeded',
    ],
)
def test_a_webhook_that_does_not_become_ready_fails(text: str) -> None:
    server, time = Server(), Time()
    server.errors["/c"] = [ApiError("500", 500, text)] * 100
    message = str(fails(server, [CONFIG], time, webhook_timeout=20))
    assert "ConfigMap models/c is not applied, since a webhook has not answered within 20 seconds" in message
    assert time.passed == 20


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ApiError("x", 400, 'admission webhook "v" denied the request: EOF'), "is not valid: admission webhook"),
        (ApiError("x", 422, 'ConfigMap "c" is invalid: data[a b]: bad key'), "data[a b]: bad key; correct it in def"),
        (
            ApiError(
                "x", 500, "failed to create typed patch object (models/c; /v1, Kind=ConfigMap): .data.a: expected"
            ),
            "is not valid: failed to create typed patch object",
        ),
        (ApiError("x", 500, "etcdserver: request timed out"), "answers 500: etcdserver"),
        (ApiError("Check the kubeconfig.", 401, "Unauthorized"), "Check the kubeconfig."),
        (
            ApiError("x", 403, 'configmaps "c" is forbidden: User "u" cannot patch resource "configmaps"'),
            'User "u" cannot patch resource "configmaps"; an administrator of the cluster can grant',
        ),
        (ApiError("x", 403, "exceeded quota"), "answers 403: exceeded quota"),
        (ApiError("x", 404, 'namespaces "models" not found'), "its namespace does not exist"),
        (Unreachable("No answer from the API server."), "No answer from the API server."),
    ],
)
def test_every_other_error_fails_at_once(error: KServeError, says: str) -> None:
    server, time = Server(), Time()
    server.errors["/c"] = [error]  # type: ignore[list-item]
    failure = fails(server, [thing("ConfigMap", "a", data={}), CONFIG], time)
    assert says in str(failure)
    assert time.passed == 0 and len(server.sent) == 2
    # The changes until then are reported.
    assert failure.result["changed"] is True and failure.result["counts"]["created"] == 1


def test_a_read_error_is_reported() -> None:
    server = Server()
    text = 'configmaps "c" is forbidden: User "u" cannot get resource "configmaps"'
    server.read_errors["/api/v1/namespaces/models/configmaps/c"] = ApiError("x", 403, text)
    assert 'cannot get resource "configmaps"; an administrator' in str(fails(server, [CONFIG]))
    server.read_errors["/api/v1/namespaces/models/configmaps/c"] = AWAY
    time = Time()
    message = str(fails(server, [CONFIG], time, webhook_timeout=20))
    assert "a webhook has not answered within 20 seconds" in message and time.passed == 20
    server.read_errors["/apis/example.com/v1"] = ApiError("The cluster says no.", 503, "no")
    assert str(fails(server, [thing("Foo", "f", api="example.com/v1")])) == "The cluster says no."


def test_a_crd_and_its_object_in_one_call() -> None:
    server, definition = Server(), crd()
    server.established = False
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.example.com"
    status = {"conditions": [{"type": name, "status": "True"} for name in ("NamesAccepted", "Established")]}
    sent_before: list[list[str]] = []

    def next_change(timeout: float) -> list[Any]:
        sent_before.append([sent for sent, _body in server.sent])
        return [listed(path, {**definition, "status": status})]

    time = Time()
    time.next = next_change  # type: ignore[method-assign]
    server.errors["/foos/f"] = [ApiError("404", 404, "404 page not found")]
    result = run(server, [FOO, {**FOO, "metadata": {**FOO["metadata"], "name": "g"}}, definition], time)
    assert [entry["action"] for entry in result["objects"]] == ["created"] * 3
    # Waited for once, before the first object of the CRD is sent.
    assert sent_before == [[path]]
    assert time.sources[path].query == {"fieldSelector": "metadata.name=foos.example.com"}
    # The API server did not know the resource at first, and the object was sent again.
    assert [path.rpartition("/")[2] for path, _body in server.sent] == ["foos.example.com", "f", "f", "g"]


def test_a_controller_is_applied_once_its_crds_are_discoverable() -> None:
    server, time = Server(), Time()
    server.late = 3
    discoveries: list[int] = []
    discovery = server.discovery
    server.discovery = lambda path="/apis": discoveries.append(len(server.sent)) or discovery(path)  # type: ignore
    result = run(server, [crd(), DEPLOYMENT], time, wait=False)
    assert [entry["action"] for entry in result["objects"]] == ["created"] * 2
    # Only the CRD had been sent while discovery did not list it.
    assert discoveries == [1, 1, 1, 1] and 0 < time.passed < 5
    # An unchanged CRD needs no discovery.
    assert run(server, [crd(), CONFIG], wait=False)["counts"]["created"] == 1 and len(discoveries) == 4


def test_a_crd_that_never_becomes_discoverable_fails() -> None:
    server, time = Server(), Time()
    server.late = 1000
    message = str(fails(server, [crd(), DEPLOYMENT], time, wait_timeout=30))
    assert "does not serve Foo in example.com/v1 after 30 seconds" in message and len(server.sent) == 1
    # An older API server has no aggregated discovery, and is not waited for.
    server.discovery = lambda path="/apis": {"kind": "APIGroupList"}  # type: ignore[method-assign]
    server.objects.clear()
    assert run(server, [crd(), CONFIG], Time())["counts"]["created"] == 2


def test_a_crd_that_is_never_served_fails() -> None:
    server, time = Server(), Time()
    server.errors["/foos/f"] = [ApiError("404", 404, "404 page not found")] * 100
    assert "does not serve the kind of Foo models/f" in str(fails(server, [crd(), FOO], time, webhook_timeout=3))
    assert time.passed == 3


def test_an_existing_object_is_compared_after_its_crd_has_changed() -> None:
    server = Server(crd(), FOO)
    wider = crd()
    wider["spec"]["versions"].append({"name": "v2", "served": True, "storage": False})
    result = run(server, [wider, FOO])
    assert [entry["action"] for entry in result["objects"]] == ["configured", "unchanged"]


def test_an_unknown_kind_fails_before_anything_is_applied() -> None:
    server = Server()
    assert "does not serve the kind of Foo models/f in example.com/v1" in str(fails(server, [CONFIG, FOO]))
    assert server.sent == []


def test_check_mode_lists_what_it_cannot_check() -> None:
    server = Server()
    other = thing("Bar", "b", api="example.org/v1")
    inside = thing("ConfigMap", "c", "new", data={"a": "1"})
    result = run(server, [FOO, crd(), inside, thing("Namespace", "new", None), other], check_mode=True)
    assert result["unvalidated"] == [
        {
            "api_version": "v1",
            "kind": "ConfigMap",
            "namespace": "new",
            "name": "c",
            "reason": "The cluster does not know the namespace yet.",
        },
        {
            "api_version": "example.com/v1",
            "kind": "Foo",
            "namespace": "models",
            "name": "f",
            "reason": "The cluster does not know the kind yet.",
        },
        {
            "api_version": "example.org/v1",
            "kind": "Bar",
            "namespace": "models",
            "name": "b",
            "reason": "The cluster does not know the kind yet.",
        },
    ]
    assert result["changed"] is True
    assert result["counts"] == {"created": 2, "configured": 0, "unchanged": 0, "unvalidated": 3}
    assert server.objects == {}
    assert unvalidated_warnings(result["unvalidated"]) == [
        "The cluster does not know the namespace yet. Check mode could not validate ConfigMap new/c.",
        "The cluster does not know the kind yet. Check mode could not validate Foo models/f; Bar models/b.",
    ]
    only = run(server, [other], check_mode=True)
    assert only["changed"] is True and only["counts"]["unvalidated"] == 1


def test_an_unchanged_ready_workload_is_not_waited_for() -> None:
    server, time = waiting_server(AVAILABLE), Time()
    result = run(server, [DEPLOYMENT], time)
    assert (result["requests"], result["waited_seconds"], time.sources) == (1, 0.0, {})


def test_an_unchanged_workload_that_is_not_ready_is_waited_for() -> None:
    server = waiting_server(UNAVAILABLE)
    time = Time([listed(WEB, deployment(UNAVAILABLE))], [listed(WEB, deployment(AVAILABLE))])
    result = run(server, [DEPLOYMENT], time)
    assert (result["changed"], result["waited_seconds"], time.stopped) == (False, 2.0, 1)


@pytest.mark.parametrize("options", [{"wait": False}, {"check_mode": True}])
def test_nothing_is_waited_for_if_disabled(options: dict[str, Any]) -> None:
    assert run(waiting_server(UNAVAILABLE), [DEPLOYMENT], **options)["waited_seconds"] == 0


def test_a_timeout_is_reported_with_pods_and_events() -> None:
    server = waiting_server(UNAVAILABLE)
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = {"metadata": {"name": "web-1"}, "status": {"containerStatuses": [{"name": "web", "state": pull}]}}
    server.objects["/api/v1/namespaces/models/pods"] = {"items": [pod]}
    server.objects["/api/v1/namespaces/models/events"] = {
        "items": [
            {
                "metadata": {},
                "involvedObject": {"name": name},
                "reason": name,
                "message": "m",
                "lastTimestamp": f"2026-11-21T00:00:0{second}Z",
            }
            for second, name in enumerate(["web-1", "website", "web", "web-2", "web-3", "web-4", "web-5"])
        ]
    }
    time = Time([listed(WEB, deployment(UNAVAILABLE))])
    failure = fails(server, [DEPLOYMENT], time, wait_timeout=30)
    message = str(failure)
    assert message.startswith("Deployment models/web is not ready after 30 seconds: 0 of 1 replicas are available")
    assert "the image of container web of pod web-1 cannot be pulled: no such image" in message
    assert failure.result["events"] == [f"{name}: m" for name in ("web", "web-2", "web-3", "web-4", "web-5")]
    assert failure.result["waited_seconds"] == 30 and time.stopped == 1


JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "load", "namespace": "models"},
    "spec": {"template": {}},
}
LOAD = "/apis/batch/v1/namespaces/models/jobs/load"
QUOTA = (
    'Error creating: pods "load-x2" is forbidden: exceeded quota: models, requested: requests.cpu=100m, '
    "used: requests.cpu=950m, limited: requests.cpu={limit}"
)


def refusing_server(message: str, name: str = "load", reason: str = "FailedCreate") -> Server:
    server = Server()
    event = {"metadata": {}, "involvedObject": {"name": name}, "reason": reason, "message": message}
    server.objects["/api/v1/namespaces/models/events"] = {"items": [event]}
    return server


@pytest.mark.parametrize(
    ("limit", "grace", "seconds"),
    [
        ("1", 60, 60),  # what others use may become free
        ("1", 3, 3),
        ("50m", 60, 5),  # the pod exceeds the whole quota
    ],
)
def test_refused_pods_of_a_job_are_reported_within_the_grace_period(limit: str, grace: int, seconds: int) -> None:
    server = refusing_server(QUOTA.format(limit=limit))
    time = Time([listed(LOAD, {**JOB, "status": {}})])
    failure = fails(server, [JOB], time, wait_timeout=600, grace_period=grace)
    assert str(failure).startswith("Job models/load is not ready: Kubernetes refuses the pods of Job models/load: ")
    assert "exceeded quota: models, requested: requests.cpu=100m" in str(failure)
    assert str(failure).endswith("; raise the quota or ask for less.")
    assert (failure.reason, round(time.passed)) == ("QuotaExceeded", seconds)


@pytest.mark.parametrize(
    ("status", "name"), [({"active": 1}, "load"), ({"failed": 1}, "load"), ({}, "load-of-another")]
)
def test_events_of_other_or_previous_objects_are_no_rejection(status: dict[str, Any], name: str) -> None:
    server = refusing_server(QUOTA.format(limit="50m"), name)
    time = Time([listed(LOAD, {**JOB, "status": status})])
    failure = fails(server, [JOB], time, wait_timeout=200, grace_period=60)
    assert "after 200 seconds" in str(failure) and time.passed == 200


def test_refused_pods_of_a_deployment_are_reported_by_its_condition() -> None:
    message = QUOTA.format(limit="50m")
    refused = {**UNAVAILABLE, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}
    time = Time([listed(WEB, deployment(refused))])
    failure = fails(waiting_server(refused), [DEPLOYMENT], time)
    assert (failure.reason, round(time.passed)) == ("QuotaExceeded", 5)


def test_a_failed_workload_is_not_waited_for() -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "so"}
    given_up = {**UNAVAILABLE, "conditions": [condition]}
    server, time = waiting_server(UNAVAILABLE), Time([listed(WEB, deployment(given_up))])
    assert "web is not ready: it makes no progress: so" in str(fails(server, [DEPLOYMENT], time))
    assert time.now == 101
    # The same if it is known from the first read.
    assert "makes no progress" in str(fails(waiting_server(given_up), [DEPLOYMENT], time := Time()))
    assert time.sources == {}


def test_an_object_that_is_deleted_during_the_wait_is_reported() -> None:
    removed = listed(WEB, deployment(UNAVAILABLE))
    time = Time([type(removed)(WEB, listed={})])
    assert "it has been deleted" in str(fails(waiting_server(UNAVAILABLE), [DEPLOYMENT], time))


def test_a_failed_watch_ends_the_wait() -> None:
    change = type(listed(WEB, deployment({})))(WEB, error=ApiError("May not list.", 403, "no"))
    assert "May not list." in str(fails(waiting_server(UNAVAILABLE), [DEPLOYMENT], Time([change])))


def test_values_of_secrets_are_in_no_output() -> None:
    values = {"PLANTED-TEXT", base64.b64encode(b"PLANTED-BINARY").decode(), base64.b64encode(b"PLANTED-TEXT").decode()}
    secret = thing("Secret", "s", data={"b": base64.b64encode(b"PLANTED-BINARY").decode()})
    secret["stringData"] = {"a": "PLANTED-TEXT", "c": "first line\nPLANTED-LINE"}
    older = thing("Secret", "s", data={"b": base64.b64encode(b"PLANTED-OLDER").decode()})
    refusals = [ApiError("x", 422, f"bad {value} PLANTED-BINARY PLANTED-LINE") for value in values]

    outputs = [run(Server(*live), [secret], diff=True) for live in ([], [older])]
    assert outputs[1]["diff"][0]["before"]["data"] == {"b": "VALUE_HIDDEN"}
    assert outputs[1]["diff"][0]["after"]["data"] == {key: "VALUE_HIDDEN" for key in "abc"}
    for refusal in refusals:
        server = Server()
        server.errors["/s"] = [refusal]
        failure = fails(server, [secret])
        outputs.append({"msg": str(failure), **failure.result})
    for output in outputs:
        text = json.dumps(output)
        assert "PLANTED" not in text and not any(value in text for value in values)
        assert base64.b64encode(b"PLANTED-OLDER").decode() not in text


def test_an_invalid_secret_is_masked_in_the_error() -> None:
    secret = thing("Secret", "s", data={"a": {"b": ["PLANTED"]}, "c": 12345678}, stringData={"d": {"e": "PLANTED2"}})
    server = Server()
    server.errors["/s"] = [ApiError("x", 500, "failed to create typed patch object: got PLANTED PLANTED2 12345678")]
    message = str(fails(server, [secret]))
    assert "PLANTED" not in message and "12345678" not in message and "Secret models/s is not valid" in message


def test_a_secret_at_the_end_of_a_long_error_is_masked_completely() -> None:
    secret = thing("Secret", "s", stringData={"key": "PLANTED-AND-LONG-ENOUGH-TO-BE-CUT"})
    server = Server()
    # The message is truncated to 800 characters; the secret starts before and ends after them.
    server.errors["/s"] = [ApiError("x", 422, "a" * 790 + " PLANTED-AND-LONG-ENOUGH-TO-BE-CUT")]
    assert "PLANTED" not in str(fails(server, [secret]))


PLACELESS = thing("ConfigMap", "c", None, data={"a": "1"})


@pytest.mark.parametrize(
    "definitions",
    [
        [CONFIG, PLACELESS],
        [thing("ClusterRole", "c", "models", ROLES), thing("ClusterRole", "c", None, ROLES)],
    ],
)
def test_an_object_that_is_given_with_and_without_its_namespace_is_one(definitions: list[dict[str, Any]]) -> None:
    server = Server()
    (entry,) = run(server, definitions, namespace="models")["objects"]
    assert (entry["name"], entry["action"]) == ("c", "created")
    assert len(server.sent) == 1
    assert run(server, definitions, namespace="models")["changed"] is False


@pytest.mark.parametrize("apply", [apply_manifests, delete_manifests])
def test_an_object_that_is_given_twice_with_other_content_is_rejected(apply: Any) -> None:
    server = Server(CONFIG)
    before = copy.deepcopy(server.objects)
    twice = "ConfigMap models/c is given twice .* definitions\\[0\\] and in definitions\\[1\\]; remove one of them"
    with pytest.raises(KServeError, match=twice) as error:
        apply(server, load([PLACELESS, CHANGED], []), Options(namespace="models"), Time().timing)
    assert error.value.reason == "DuplicateManifest"
    assert server.objects == before


def test_a_definition_replaces_the_same_object_that_names_its_namespace(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(CHANGED))
    server = Server()
    result = apply_manifests(server, load([PLACELESS], [str(tmp_path)]), Options(namespace="models"), Time().timing)
    assert result["counts"]["created"] == 1
    assert server.objects["/api/v1/namespaces/models/configmaps/c"]["data"] == {"a": "1"}


def test_objects_of_two_releases_that_name_no_namespace_are_two() -> None:
    charts = [Rendered(name, json.dumps(thing("ConfigMap", "c", None, data={"of": name})), name) for name in "ab"]
    server = Server()
    server.namespaces |= {"a", "b"}
    result = apply_manifests(server, load([], [], charts=charts), Options(), Time().timing)
    assert [entry["namespace"] for entry in result["objects"]] == ["a", "b"]


def test_a_long_wait_reports_how_far_it_has_come() -> None:
    reports: list[str] = []
    time = Time([listed(WEB, deployment(UNAVAILABLE))])
    timing = replace(time.timing, report=reports.append)
    with pytest.raises(KServeError, match="after 40 seconds"):
        apply_manifests(waiting_server(UNAVAILABLE), load([DEPLOYMENT], []), Options(wait_timeout=40), timing)
    message = "0 of 1 replicas are available, 1 of them new and 0 old."
    assert reports == [f"Deployment models/web is not ready after {n} seconds: {message}" for n in (15, 30)]
