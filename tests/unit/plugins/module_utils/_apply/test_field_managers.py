# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A field manager takes over what those that it replaces have applied, and leaves everything else alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import apply_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.delete import delete_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Options
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import MANAGER, Server, Time, crd, thing

ROLE = "hashfoundry.kserve.model_serving"
PATH = "/api/v1/namespaces/models/configmaps/c"
BEFORE = {"a": "1", "b": "1"}
SELECTION = {"api_version": "v1", "kind": "ConfigMap", "namespace": "models", "label_selectors": ["list=ours"]}


def config(**data: str) -> dict[str, Any]:
    return thing("ConfigMap", "c", data=data)


def run(server: Server, *bodies: dict[str, Any], state: str = "present", **options: Any) -> dict[str, Any]:
    work = apply_manifests if state == "present" else delete_manifests
    options = {"field_manager": ROLE, "previous_field_managers": [MANAGER], "wait": False, **options}
    return work(server, load(bodies, [], may_be_empty=True), Options(**options), Time().timing)


def managers(server: Server) -> list[str]:
    return [entry["manager"] for entry in server.objects[PATH]["metadata"]["managedFields"]]


def test_the_fields_of_a_previous_manager_are_taken_over() -> None:
    server = Server(config(**BEFORE))
    server.apply(PATH, config(theirs="1"), fieldManager="kubectl")
    before = copy.deepcopy(server.objects)
    assert run(server, config(a="2"), check_mode=True)["counts"]["configured"] == 1
    assert server.objects == before
    assert run(server, config(a="2"))["counts"]["configured"] == 1
    # b was applied by the previous manager alone.
    assert server.objects[PATH]["data"] == {"a": "2", "theirs": "1"}
    assert sorted(managers(server)) == [ROLE, "kubectl"]
    server.sent.clear()
    assert run(server, config(a="2"))["counts"]["unchanged"] == 1
    assert server.sent == []


def test_an_equal_object_is_taken_over_too() -> None:
    server = Server(config(**BEFORE))
    for check_mode in (True, False):
        assert run(server, config(**BEFORE), check_mode=check_mode)["changed"] is True
    assert managers(server) == [ROLE]
    assert run(server, config(**BEFORE))["changed"] is False


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_field_of_another_manager_is_not_taken_over_with_them(check_mode: bool) -> None:
    server = Server(config(**BEFORE))
    server.apply(PATH, config(b="1"), fieldManager="kubectl")
    with pytest.raises(KServeError, match="kubectl") as caught:
        run(server, config(a="2", b="2"), check_mode=check_mode)
    assert caught.value.reason == "FieldConflict"
    assert server.objects[PATH]["data"] == BEFORE


def test_without_a_previous_manager_its_fields_are_a_conflict() -> None:
    with pytest.raises(KServeError, match=r"hashfoundry\.kserve\) hold"):
        run(Server(config(**BEFORE)), config(a="2"), previous_field_managers=[])


def test_an_interrupted_takeover_is_finished() -> None:
    server = Server(config(**BEFORE))
    server.apply(PATH, config(a="1"), fieldManager=ROLE)
    assert managers(server) == [MANAGER, ROLE]
    server.errors["configmaps/c"] = [ApiError("x", 500, "etcdserver: request timed out")]
    with pytest.raises(KServeError):
        run(server, config(a="1"))
    assert run(server, config(a="1"))["counts"]["configured"] == 1
    assert (managers(server), server.objects[PATH]["data"]) == ([ROLE], {"a": "1"})


def test_what_a_previous_manager_has_applied_is_deleted_and_crds_of_it_are_adopted() -> None:
    server = Server(config(**BEFORE), crd())
    assert run(server, crd())["counts"]["configured"] == 1
    assert run(server, config(a="1"), crd(), state="absent")["counts"]["deleted"] == 2


@pytest.mark.parametrize("owner", [MANAGER, "hashfoundry.kserve.other", "kubectl"])
def test_one_role_never_prunes_what_another_has_applied(owner: str) -> None:
    server = Server()
    body = config(a="1")
    body["metadata"]["labels"] = {"list": "ours"}
    server.apply(PATH, body, fieldManager=owner)
    assert [entry["reason"] for entry in run(server, prune=[SELECTION])["kept"]] == [f"{ROLE} has not applied it"]
    assert PATH in server.objects
    assert run(server, prune=[SELECTION], field_manager=owner)["counts"]["deleted"] == 1
