# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.contents import GATEWAY, namespace_contents
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.delete import delete_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Options
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import AWAY, Server, Time, crd, thing

SPACE = thing("Namespace", "models", None)
CONFIG = thing("ConfigMap", "c", data={"a": "1"})
DEPLOYMENT = thing("Deployment", "web", api="apps/v1", spec={"replicas": 1})
FOO = thing("Foo", "f", api="example.com/v1", spec={"a": 1})
OTHER = thing("Foo", "theirs", api="example.com/v1", spec={"a": 1})
ALL = [SPACE, crd(), CONFIG, DEPLOYMENT, FOO]


def run(server: Server, definitions: list[dict[str, Any]], time: Time | None = None, **options: Any) -> dict[str, Any]:
    time = time or Time()
    return delete_manifests(server, load(definitions, []), Options(**options), time.timing)


def fails(server: Server, definitions: list[dict[str, Any]], time: Time | None = None, **options: Any) -> KServeError:
    with pytest.raises(KServeError) as caught:
        run(server, definitions, time, **options)
    return caught.value


def actions(result: dict[str, Any]) -> dict[str, str]:
    return {entry["kind"]: entry["action"] for entry in result["objects"]}


def foreign(server: Server, body: dict[str, Any], manager: str = "kubectl") -> None:
    """Add an object that another field manager has applied."""
    server.apply(server.path(body), body, fieldManager=manager)
    server.sent.clear()


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_state_by_check_mode(there: bool, check_mode: bool) -> None:
    server = Server(*ALL) if there else Server()
    server.requests = 0
    before = copy.deepcopy(server.objects)
    result = run(server, ALL, check_mode=check_mode, diff=True)
    assert result["changed"] is there and result["kept"] == []
    assert set(actions(result).values()) == {"deleted" if there else "absent"}
    assert server.objects == (before if check_mode else {})
    # In reverse order of applying, and the custom resource before the objects that may finalize it.
    kinds = ["foos/f", "deployments/web", "configmaps/c", "customresourcedefinitions/foos", "namespaces/models"]
    deleted = [path for path, _dry_run in server.deleted]
    assert [kind in path for kind, path in zip(kinds, deleted, strict=False)] == [True] * len(deleted)
    assert len(deleted) == (5 if there else 0)
    assert {dry_run for _path, dry_run in server.deleted} <= {check_mode}
    assert result["counts"] == {"deleted": 5 if there else 0, "kept": 0, "absent": 0 if there else 5}
    assert result["requests"] == server.requests
    assert [(entry["before_header"], entry["after"]) for entry in result["diff"][:1]] == [("Foo models/f", {})] * there


def test_an_aggregated_role_is_deleted_before_its_parts() -> None:
    rbac = "rbac.authorization.k8s.io/v1"
    whole = thing("ClusterRole", "b", None, rbac, aggregationRule={"clusterRoleSelectors": []})
    parts = [thing("ClusterRole", name, None, rbac, rules=[]) for name in ("a", "c")]
    server = Server(*parts, whole, CONFIG, DEPLOYMENT)
    run(server, [*parts, whole, CONFIG, DEPLOYMENT])
    assert [path.rpartition("/")[2] for path, _dry_run in server.deleted] == ["b", "web", "c", "a", "c"]


def test_a_second_run_finishes_the_first() -> None:
    server = Server(*ALL)
    server.errors["deployments/web"] = [ApiError("x", 500, "etcdserver: request timed out")]
    error = fails(server, ALL)
    assert str(error).startswith("Deployment models/web is not deleted, the API server answers 500")
    assert error.result["counts"]["deleted"] == 1 and error.result["changed"] is True
    assert run(server, ALL)["counts"] == {"deleted": 4, "kept": 0, "absent": 1}
    assert server.objects == {}


def test_a_remaining_custom_resource_fails_before_anything_is_deleted() -> None:
    server = Server(*ALL, OTHER)
    error = fails(server, ALL)
    assert "Nothing is deleted" in str(error) and "1 of foos.example.com;" in str(error) and "in_use" in str(error)
    assert server.deleted == [] and error.result["changed"] is False
    # The same in check mode.
    assert "Nothing is deleted" in str(fails(server, ALL, check_mode=True))


def test_a_crd_in_use_can_be_retained() -> None:
    server = Server(*ALL, OTHER)
    result = run(server, ALL, in_use="keep")
    assert actions(result) == {
        "Foo": "deleted",
        "Deployment": "deleted",
        "ConfigMap": "deleted",
        "CustomResourceDefinition": "kept",
        "Namespace": "kept",
    }
    assert [(entry["name"], entry["reason"]) for entry in result["kept"]] == [
        ("foos.example.com", "there is still 1 of its custom resources"),
        ("models", "it holds Foo theirs"),
    ]
    assert run(server, ALL, in_use="keep")["changed"] is False


NEWER = [{"name": "v2", "served": True, "storage": True}, {"name": "v1", "served": True, "storage": False}]
OLDER = [{"name": "v1", "served": True, "storage": True}]
UNSERVED = [{"name": "v1", "served": False, "storage": True}]
FOOS = "/apis/example.com/v1/foos"


def with_versions(versions: list[dict[str, Any]]) -> dict[str, Any]:
    body = crd()
    body["spec"]["versions"] = versions
    return body


def test_use_is_counted_in_the_version_of_the_cluster_and_not_of_the_manifest() -> None:
    server = Server(SPACE, with_versions(OLDER), OTHER)
    assert "1 of foos.example.com" in str(fails(server, [with_versions(NEWER)]))
    assert server.deleted == []
    # The version in which the objects are stored needs no conversion webhook.
    server = Server(SPACE, with_versions(NEWER[::-1]), OTHER)
    server.read_errors[FOOS] = ApiError("500", 500, "conversion webhook for example.com/v2, Kind=Foo failed: EOF")
    assert "1 of foos.example.com" in str(fails(server, [with_versions(OLDER)]))


@pytest.mark.parametrize("error", [ApiError("x", status, "why") for status in (403, 404, 405, 500, 503)])
def test_custom_resources_that_cannot_be_read_count_as_use(error: ApiError) -> None:
    server = Server(SPACE, crd(), OTHER)
    server.read_errors[FOOS] = error
    failure = fails(server, [crd()])
    assert "it is not known whether there are custom resources of foos.example.com (why); " in str(failure)
    assert failure.reason == "CRDInUse"
    assert [entry["reason"] for entry in run(server, [crd()], in_use="keep")["kept"]] == [
        "its custom resources cannot be read: why"
    ]
    assert server.deleted == []


def test_a_crd_that_serves_no_version_counts_as_used() -> None:
    server = Server(SPACE, with_versions(UNSERVED))
    assert "foos.example.com (it serves no version)" in str(fails(server, [crd()]))
    assert server.deleted == []


def test_a_crd_that_is_deleted_concurrently_is_not_in_use() -> None:
    server = Server(crd())
    path = server.path(crd())
    original = server.get

    def get(at: str, **query: Any) -> dict[str, Any]:
        if at == FOOS:
            server.objects.pop(path, None)
            raise ApiError("404", 404, "404 page not found")
        return original(at, **query)

    server.get = get  # type: ignore[method-assign]
    assert actions(run(server, [crd()])) == {"CustomResourceDefinition": "deleted"}


def test_a_namespace_of_which_an_api_is_not_available_is_retained() -> None:
    server = Server(*ALL)
    answer = server.discovery

    def discovery(path: str = "/apis") -> dict[str, Any]:
        # As kube-aggregator lists an APIService whose server it has never reached, and one without objects.
        silent = [{"metadata": {"name": name}, "versions": [{"version": "v1", "freshness": "Stale"}]} for name in apis]
        return {"items": [*answer(path)["items"], *silent]}

    server.discovery = discovery  # type: ignore[method-assign]
    apis = ["metrics.k8s.io", "away.example.org"]
    [kept] = run(server, ALL)["kept"]
    assert kept["reason"] == "it is not known what it holds, since the API away.example.org/v1 is not available"
    assert set(server.objects) == {server.path(SPACE)}
    apis = ["metrics.k8s.io"]
    assert actions(run(server, [SPACE])) == {"Namespace": "deleted"}


def test_dependents_are_deleted_with_their_owners_and_others_are_retained() -> None:
    def owned(name: str, owner: dict[str, Any]) -> dict[str, Any]:
        body = thing("Bar", name, api="example.com/v1")
        body["metadata"]["ownerReferences"] = [{"uid": f"{owner['kind']}-{owner['metadata']['name']}"}]
        return body

    bars = crd("bars", "Bar")
    child, grandchild = owned("child", FOO), owned("grandchild", thing("Bar", "child"))
    server = Server(crd(), bars, FOO, child, grandchild)
    assert run(server, [crd(), bars, FOO], check_mode=True)["kept"] == []

    server = Server(crd(), bars, FOO, OTHER, child, owned("theirs", OTHER))
    assert "1 of foos.example.com, 1 of bars.example.com" in str(fails(server, [bars, crd(), FOO]))
    kept = run(server, [crd(), bars, FOO], in_use="keep")["kept"]
    assert {entry["name"] for entry in kept} == {"foos.example.com", "bars.example.com"}


def test_objects_of_other_field_managers_are_retained() -> None:
    server = Server()
    foreign(server, CONFIG)
    result = run(server, [CONFIG])
    assert result["changed"] is False
    assert [entry["reason"] for entry in result["kept"]] == ["hashfoundry.kserve has not applied it"]
    # An apply of only a name leaves no managed field.
    account = thing("Foo", "f", api="example.com/v1")
    server = Server(crd(), account)
    server.objects["/apis/example.com/v1/namespaces/models/foos/f"]["metadata"]["managedFields"] = []
    assert run(server, [crd(), account])["counts"]["deleted"] == 2


def test_a_crd_applied_by_another_is_retained_unless_that_is_a_controller() -> None:
    server = Server(crd())
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.example.com"
    managed = server.objects[path]["metadata"]["managedFields"]
    injector = {"manager": "cainjector", "operation": "Update", "fieldsV1": {"f:spec": {"f:conversion": {}}}}
    helm = {"manager": "helm", "operation": "Apply", "fieldsV1": {"f:spec": {"f:names": {}}}}
    managed.extend([injector, helm])
    assert [entry["reason"] for entry in run(server, [crd()])["kept"]] == ["it is managed by helm, too"]
    managed.remove(helm)
    assert run(server, [crd()])["changed"] is True


def test_a_namespace_that_is_not_empty_is_retained() -> None:
    server = Server(*ALL)
    foreign(server, thing("Secret", "tls", data={}))
    token = {**thing("Secret", "token", data={}), "type": "kubernetes.io/service-account-token"}
    everywhere = ("kube-root-ca.crt", "istio-ca-root-cert", "config-openshift-service-cabundles")
    for body in (token, *(thing("ConfigMap", name, data={}) for name in everywhere)):
        foreign(server, body)
    for check_mode in (True, False):
        result = run(server, ALL, check_mode=check_mode)
        assert [(entry["kind"], entry["reason"]) for entry in result["kept"]] == [("Namespace", "it holds Secret tls")]
        assert result["counts"]["deleted"] == 4
    del server.objects["/api/v1/namespaces/models/secrets/tls"]
    assert actions(run(server, [SPACE])) == {"Namespace": "deleted"}


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_a_namespace_is_deleted_after_its_terminating_pods(phase: str) -> None:
    server, time = Server(SPACE), Time()
    pods = "/api/v1/namespaces/models/pods"
    server.objects[pods] = {"items": [{"metadata": {"name": "activator"}, "status": {"phase": phase}}]}
    order: list[str] = []

    def sleep(seconds: float) -> None:
        order.append(f"waited, {len(server.deleted)} deleted")
        server.objects.pop(pods, None)
        time.now += seconds

    time.sleep = sleep  # type: ignore[method-assign]
    assert actions(run(server, [SPACE], time)) == {"Namespace": "deleted"}
    # A finished pod remains until its namespace is deleted.
    assert order == (["waited, 0 deleted"] if phase == "Running" else [])


def test_many_objects_in_a_namespace_are_counted() -> None:
    server = Server(SPACE)
    for number in range(7):
        foreign(server, thing("ConfigMap", f"c{number}", data={}))
    [kept] = run(server, [SPACE])["kept"]
    assert kept["reason"] == "it holds ConfigMap c0, ConfigMap c1, ConfigMap c2, ConfigMap c3, ConfigMap c4 and 2 more"


def test_an_object_that_is_not_deleted_is_waited_for_and_reported() -> None:
    server, time = Server(*ALL), Time()
    server.finalized = ("foos/f",)
    server.objects["/apis/example.com/v1/namespaces/models/foos/f"]["metadata"]["finalizers"] = ["example.com/clean"]
    error = fails(server, ALL, time, wait_timeout=20)
    assert "Foo models/f is not gone after 20 seconds: its finalizers example.com/clean remain" in str(error)
    assert time.passed == pytest.approx(20) and error.result["waited_seconds"] == 20
    # The objects that may finalize it still exist.
    assert [path for path, _dry_run in server.deleted] == ["/apis/example.com/v1/namespaces/models/foos/f"]
    assert run(server, [FOO], wait=False)["waited_seconds"] == 0


def test_a_webhook_that_recovers_is_waited_for() -> None:
    server, time = Server(CONFIG), Time()
    server.errors["configmaps/c"] = [AWAY, AWAY]
    assert run(server, [CONFIG], time)["changed"] is True
    server = Server(CONFIG)
    server.errors["configmaps/c"] = [AWAY] * 100
    assert "not deleted, since a webhook has not answered within 20 seconds" in str(
        fails(server, [CONFIG], webhook_timeout=20)
    )


@pytest.mark.parametrize("status", [404, 409])
def test_a_concurrent_deletion_is_no_failure(status: int) -> None:
    server = Server(CONFIG)
    server.errors["configmaps/c"] = [ApiError("x", status, "the UID in the precondition does not match")]
    assert run(server, [CONFIG], wait=False)["counts"]["deleted"] == 1


def test_a_missing_permission_is_reported() -> None:
    server = Server(CONFIG)
    text = 'configmaps "c" is forbidden: User "u" cannot delete resource "configmaps"'
    server.errors["configmaps/c"] = [ApiError("x", 403, text)]
    message = str(fails(server, [CONFIG]))
    assert (
        "lack the permission to delete ConfigMap models/c" in message
        and "get, list, watch, and delete on configmaps" in message
    )


GATEWAY_OBJECT = thing("Gateway", "models", api="gateway.networking.k8s.io/v1", spec={"a": 1})


def gateway_server() -> Server:
    server = Server()
    server.kinds["/apis/gateway.networking.k8s.io/v1"] = {"Gateway": ("gateways", True)}
    for body in (SPACE, GATEWAY_OBJECT, DEPLOYMENT):
        server.apply(server.path(body), body, fieldManager="hashfoundry.kserve")
    made = thing("ConfigMap", "envoy", data={})
    made["metadata"]["labels"] = {GATEWAY: "models"}
    foreign(server, made, "contour")
    return server


def test_objects_of_a_gateway_are_deleted_before_their_controller() -> None:
    server, time = gateway_server(), Time()
    error = fails(server, [GATEWAY_OBJECT, DEPLOYMENT], time, wait_timeout=9)
    assert "The objects created for Gateway models/models still exist after 9 seconds (ConfigMap envoy)" in str(error)
    assert [path.rpartition("/")[2] for path, _dry_run in server.deleted] == ["models"]

    server = gateway_server()
    time.sleep = lambda seconds: server.objects.pop("/api/v1/namespaces/models/configmaps/envoy", None)  # type: ignore
    assert run(server, [SPACE, GATEWAY_OBJECT, DEPLOYMENT], time)["counts"] == {"deleted": 3, "kept": 0, "absent": 0}


def test_objects_of_a_gateway_count_neither_as_use_nor_as_content_in_check_mode() -> None:
    server = gateway_server()
    made = copy.deepcopy(OTHER)
    made["metadata"]["labels"] = {GATEWAY: "models"}
    for body in (crd(), made):
        server.apply(server.path(body), body, fieldManager="hashfoundry.kserve")
    result = run(server, [SPACE, crd(), GATEWAY_OBJECT, DEPLOYMENT], check_mode=True)
    assert result["kept"] == []


def test_contents_require_aggregated_discovery() -> None:
    server = Server(SPACE)
    server.discovery = lambda path="/apis": {"kind": "APIGroupList", "groups": []}  # type: ignore[method-assign]
    with pytest.raises(KServeError, match=r"as Kubernetes does from 1\.30 on"):
        namespace_contents(server, "models")


def test_a_dependent_is_deleted_with_its_owner() -> None:
    server = Server(SPACE)
    owned = thing("ConfigMap", "owned", data={})
    owned["metadata"]["ownerReferences"] = [{"name": "x"}]
    foreign(server, owned)
    assert namespace_contents(server, "models") == []
