# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a restore each role finds the objects as it has applied them, and nothing that others have added is lost."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.compare import first_difference
from ansible_collections.hashfoundry.kserve.plugins.module_utils._backup.custom_resources import without_server_fields
from ansible_collections.hashfoundry.kserve.plugins.module_utils._backup.field_managers import groups, owned_part

from .. import server_side_apply
from ..manifests_server import thing

Json = dict[str, Any]
SECURITY, SERVING = "hashfoundry.kserve.namespace_security", "hashfoundry.kserve.model_serving"
EXPOSURE = "hashfoundry.kserve.model_exposure"
RESTORING = "hashfoundry.kserve.model_backup"
POLICY = thing(
    "NetworkPolicy",
    "dns",
    api="networking.k8s.io/v1",
    spec={"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]},
)
SERVICE = thing(
    "InferenceService",
    "iris",
    api="serving.kserve.io/v1beta1",
    spec={
        "predictor": {
            "minReplicas": 1,
            "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y", "args": ["--one", "--two"]}],
        }
    },
)


def backed_up(*objects: Json) -> list[Json]:
    return groups((live, without_server_fields(live)) for live in objects)


def restored(found: list[Json]) -> dict[tuple[str, str], Json]:
    """The objects after the restore to an empty cluster."""
    objects: dict[tuple[str, str], Json] = {}
    for group in found:
        for body in group["objects"]:
            key = body["kind"], body["metadata"]["name"]
            assert group["adds"] is (key in objects)
            objects[key] = server_side_apply.apply(objects.get(key), copy.deepcopy(body), group["field_manager"])
    return objects


def applied(*manifests: tuple[Json, str]) -> Json:
    live: Json | None = None
    for manifest, manager in manifests:
        live = server_side_apply.apply(live, copy.deepcopy(manifest), manager)
    assert live is not None
    return live


def test_a_role_applies_its_own_objects_after_a_restore() -> None:
    live = applied((POLICY, SECURITY))
    # The API server adds defaults, also to a list that is replaced as a whole.
    live["spec"]["egress"][0]["ports"][0]["protocol"] = "TCP"
    live["spec"]["policyTypes"] = ["Egress"]
    found = backed_up(live)
    assert [(group["field_manager"], group["adds"]) for group in found] == [(SECURITY, False)]
    again = restored(found)["NetworkPolicy", "dns"]
    assert "policyTypes" not in again["spec"]
    assert first_difference(POLICY, again, SECURITY) is None
    # And in another cluster, with another address of the API server, it is no other field manager's.
    changed = {**POLICY, "spec": {"podSelector": {}, "egress": []}}
    assert server_side_apply.apply(again, changed, SECURITY)["spec"]["egress"] == []


def test_what_others_have_added_is_restored_and_not_the_roles() -> None:
    labels = {"metadata": {**SERVICE["metadata"], "labels": {"team": "a"}}}
    added = {**SERVICE, **labels, "spec": {"predictor": {"containers": [{"name": "b", "tty": True}]}}}
    live = applied((SERVICE, SERVING), (added, "kubectl-edit"))
    found = backed_up(live)
    assert [(group["field_manager"], group["adds"]) for group in found] == [(SERVING, False), (RESTORING, True)]
    again = restored(found)["InferenceService", "iris"]
    assert (again["spec"], again["metadata"]["labels"]) == (live["spec"], {"team": "a"})
    assert first_difference(SERVICE, again, SERVING) is None
    # The role's next version removes what is its own.
    fewer = copy.deepcopy(SERVICE)
    del fewer["spec"]["predictor"]["minReplicas"]
    after = server_side_apply.apply(again, fewer, SERVING)
    assert "minReplicas" not in after["spec"]["predictor"] and after["metadata"]["labels"] == {"team": "a"}


def test_the_part_that_is_valid_alone_comes_first() -> None:
    rotation = "hashfoundry.kserve.credential_rotation"
    labelled = {**SERVICE, "spec": {"predictor": {"labels": {"keys": "1"}}}}
    found = backed_up(applied((SERVICE, SERVING), (labelled, rotation)))
    assert [(group["field_manager"], group["adds"]) for group in found] == [(SERVING, False), (rotation, True)]


def test_what_users_have_added_comes_after_the_part_of_a_role() -> None:
    small = thing("Namespace", "models", None)
    small["metadata"]["labels"] = {"a": "b"}
    large = copy.deepcopy(small)
    large["metadata"]["labels"] = {"a": "b", **{f"team-{number}": "c" for number in range(9)}}
    found = backed_up(applied((small, SECURITY), (large, "kubectl-label")))
    assert [(group["field_manager"], group["adds"]) for group in found] == [(SECURITY, False), (RESTORING, True)]


def test_an_object_of_users_is_restored_as_a_whole_and_first() -> None:
    settings = thing("ConfigMap", "settings", data={"a": "b"})
    found = backed_up(applied((SERVICE, SERVING)), applied((settings, "kubectl")), settings)
    assert [(group["field_manager"], len(group["objects"])) for group in found] == [(RESTORING, 2), (SERVING, 1)]
    assert found[0]["objects"] == [settings, settings]


def test_an_object_with_an_owner_comes_after_it_and_names_it() -> None:
    owner = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "iris"}
    live = applied((thing("HTTPRoute", "iris.public", api="gateway.networking.k8s.io/v1", spec={"a": "b"}), EXPOSURE))
    live["metadata"]["ownerReferences"] = [{**owner, "uid": "9"}]
    [entry] = live["metadata"]["managedFields"]
    # As the API server writes it: owners are told apart by their UIDs.
    fields = {".": {}, **{f"f:{key}": {} for key in (*owner, "uid")}}
    entry["fieldsV1"]["f:metadata"] = {"f:ownerReferences": {".": {}, 'k:{"uid":"9"}': fields}}
    portable = without_server_fields(live)
    portable["metadata"]["ownerReferences"] = live["metadata"]["ownerReferences"]
    service = applied((SERVICE, SERVING))
    found = groups([(live, portable), (service, without_server_fields(service))])
    assert [(group["field_manager"], group["adds"]) for group in found] == [(SERVING, False), (EXPOSURE, False)]
    [route] = found[1]["objects"]
    assert route["metadata"]["ownerReferences"] == [owner] and route["spec"] == {"a": "b"}


def test_fields_of_another_api_version_or_of_the_status_are_no_part() -> None:
    live = applied((SERVICE, SERVING))
    [entry] = live["metadata"]["managedFields"]
    other = {**entry, "apiVersion": "serving.kserve.io/v1"}
    for entries in ([other], [{**entry, "subresource": "status"}]):
        live["metadata"]["managedFields"] = entries
        assert [group["field_manager"] for group in backed_up(live)] == [RESTORING]


def test_the_owned_part_of_each_kind_of_list() -> None:
    ports = [{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 53, "protocol": "UDP"}]
    lists = {"set": ["a", "b"], "map": [{"id": 1, "x": 1, "y": 2}, {"id": 2}], "ports": ports}
    body = thing("Thing", "t", spec={**lists, "empty": {}})
    owned = {
        "f:spec": {
            "f:set": {'v:"b"': {}},
            "f:map": {'k:{"id":1}': {".": {}, "f:y": {}}},
            # As a Service's ports are owned that were applied without a protocol.
            "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}}},
            "f:empty": {},
            "f:gone": {},
        }
    }
    assert owned_part(body, [owned])["spec"] == {
        "set": ["b"],
        "map": [{"id": 1, "y": 2}],
        "ports": [{"port": 80, "name": "http"}],
        "empty": {},
    }
