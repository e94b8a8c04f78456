# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import apply_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Options, Timing
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.prune import prune, selections_of_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Kind, Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import Server, Time, thing

CONFIGS = {"api_version": "v1", "kind": "ConfigMap", "namespace": None, "label_selectors": ["list=ours"]}


def config(name: str, label: str | None = "ours") -> dict[str, Any]:
    body = thing("ConfigMap", name, data={"a": name})
    if label:
        body["metadata"]["labels"] = {"list": label}
    return body


def run(server: Server, *bodies: dict[str, Any], **options: Any) -> dict[str, Any]:
    time = Time()
    timing = Timing(clock=time.clock, sleep=time.sleep, follow=time.follow)
    options = {"prune": [CONFIGS], "namespace": "models", **options}
    return apply_manifests(server, load(bodies, [], may_be_empty=True), Options(**options), timing)


def names(server: Server) -> set[str]:
    return {path.rpartition("/")[2] for path in server.objects}


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_the_list_has_no_more_goes(check_mode: bool) -> None:
    server = Server(config("a"), config("b"), config("of-another", "theirs"), config("plain", None))
    result = run(server, config("a"), check_mode=check_mode, diff=True)
    assert names(server) == {"a", "of-another", "plain"} | ({"b"} if check_mode else set())
    assert result["changed"] is True
    assert {entry["name"]: entry["action"] for entry in result["objects"]} == {"a": "unchanged", "b": "deleted"}
    assert result["counts"] == {"created": 0, "configured": 0, "unchanged": 1, "unvalidated": 0, "deleted": 1}
    assert [(entry["before_header"], entry["after"]) for entry in result["diff"]] == [("ConfigMap models/b", {})]
    assert result["requests"] == server.requests


def test_the_same_again_is_no_change() -> None:
    server = Server(config("a"))
    result = run(server, config("a"))
    assert (result["changed"], result["counts"]["deleted"], server.deleted) == (False, 0, [])


def test_an_empty_list_leaves_nothing() -> None:
    server = Server(config("a"), config("b"))
    assert run(server)["counts"]["deleted"] == 2
    assert names(server) == set()


def test_what_somebody_else_has_applied_is_kept() -> None:
    server = Server()
    body = config("theirs")
    server.apply(server.path(body), body, fieldManager="kubectl")
    result = run(server)
    assert result["changed"] is False
    assert [(one["name"], one["reason"]) for one in result["kept"]] == [
        ("theirs", "hashfoundry.kserve has not applied it")
    ]


def test_the_values_of_secrets_are_not_shown() -> None:
    body = thing("Secret", "a", data={"key": "UExBTlRFRA=="})
    body["metadata"]["labels"] = {"list": "ours"}
    result = run(Server(body), prune=[{**CONFIGS, "kind": "Secret"}], diff=True, check_mode=True)
    assert result["counts"]["deleted"] == 1
    assert "UExBTlRFRA==" not in str(result)


def test_an_object_is_the_same_in_another_version() -> None:
    server = Server(config("a"))
    server.kinds["/api/v2"] = {"ConfigMap": ("configmaps", True)}
    (manifest,) = load([config("a")], [])
    named = Target(replace(manifest, body={**manifest.body, "apiVersion": "v2"}), Kind("configmaps", True))
    assert prune(server, [{**CONFIGS, "namespace": "models"}], [named], Options(), Timing())["changed"] is False


@pytest.mark.parametrize(
    ("only_kinds", "exclude_kinds", "left"),
    [([], [], True), (["ConfigMap"], [], True), (["Namespace"], [], False), ([], ["ConfigMap"], False)],
)
def test_what_is_left_out_is_not_pruned(only_kinds: list[str], exclude_kinds: list[str], left: bool) -> None:
    assert bool(selections_of_kinds([CONFIGS], only_kinds, exclude_kinds)) is left


def test_a_kind_that_the_cluster_does_not_know_has_no_objects() -> None:
    assert run(Server(), prune=[{**CONFIGS, "api_version": "example.com/v1", "kind": "Foo"}])["changed"] is False


def test_without_the_right_to_list_it_is_said_what_is_needed() -> None:
    server = Server(config("a"))
    server.read_errors["/api/v1/namespaces/models/configmaps"] = ApiError("403", 403, 'User "x" cannot list configmaps')
    with pytest.raises(
        KServeError, match=r"lack the permission to list ConfigMap models/list=ours: .* cannot list configmaps; "
    ) as no:
        run(server, config("a"), config("b"))
    # What was applied before is told.
    assert no.value.result["counts"] == {
        "created": 1,
        "configured": 0,
        "unchanged": 1,
        "unvalidated": 0,
        "deleted": 0,
    }
