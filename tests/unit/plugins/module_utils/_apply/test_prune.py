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

from ..manifests_server import Server, Time, crd, thing

CONFIGS = {"api_version": "v1", "kind": "ConfigMap", "namespace": None, "label_selectors": ["list=ours"]}


def config(name: str, label: str | None = "ours") -> dict[str, Any]:
    body = thing("ConfigMap", name, data={"a": name})
    if label:
        body["metadata"]["labels"] = {"list": label}
    return body


def run(server: Server, *bodies: dict[str, Any], **options: Any) -> dict[str, Any]:
    time = Time()
    options = {"prune": [CONFIGS], "namespace": "models", **options}
    return apply_manifests(server, load(bodies, [], may_be_empty=True), Options(**options), time.timing)


def names(server: Server) -> set[str]:
    return {path.rpartition("/")[2] for path in server.objects}


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_object_that_is_no_longer_listed_is_deleted(check_mode: bool) -> None:
    server = Server(config("a"), config("b"), config("of-another", "theirs"), config("plain", None))
    result = run(server, config("a"), check_mode=check_mode, diff=True)
    assert names(server) == {"a", "of-another", "plain"} | ({"b"} if check_mode else set())
    assert result["changed"] is True
    assert {entry["name"]: entry["action"] for entry in result["objects"]} == {"a": "unchanged", "b": "deleted"}
    assert result["counts"] == {"created": 0, "configured": 0, "unchanged": 1, "unvalidated": 0, "deleted": 1}
    assert [(entry["before_header"], entry["after"]) for entry in result["diff"]] == [("ConfigMap models/b", {})]
    assert result["requests"] == server.requests


def test_a_second_run_changes_nothing() -> None:
    server = Server(config("a"))
    result = run(server, config("a"))
    assert (result["changed"], result["counts"]["deleted"], server.deleted) == (False, 0, [])


def test_an_empty_list_deletes_everything() -> None:
    server = Server(config("a"), config("b"))
    assert run(server)["counts"]["deleted"] == 2
    assert names(server) == set()


def test_an_object_of_another_field_manager_is_retained() -> None:
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
def test_an_excluded_object_is_not_pruned(only_kinds: list[str], exclude_kinds: list[str], left: bool) -> None:
    assert bool(selections_of_kinds([CONFIGS], only_kinds, exclude_kinds)) is left


@pytest.mark.parametrize("kind", ["CustomResourceDefinition", "Namespace"])
def test_nothing_that_holds_objects_is_pruned(kind: str) -> None:
    held = crd() if kind == "CustomResourceDefinition" else thing("Namespace", "models", None)
    inside = thing("Foo", "f", api="example.com/v1", spec={"a": 1}) if kind != "Namespace" else config("a")
    held["metadata"]["labels"] = {"list": "ours"}
    server = Server(held, inside)
    selection = {**CONFIGS, "kind": kind, "api_version": held["apiVersion"]}
    result = run(server, prune=[selection], in_use="keep")
    assert [entry["kind"] for entry in result["kept"]] == [kind]
    assert server.deleted == []
    if kind != "Namespace":
        with pytest.raises(KServeError, match=r"Nothing is deleted, since .* 1 of foos\.example\.com"):
            run(server, prune=[selection])


EVERYTHING = [[], [""], [" "], ["list=ours", ""], ["!list"], ["list!=ours"], ["list notin (ours, theirs)"], ["!a,b!=c"]]


@pytest.mark.parametrize("selectors", EVERYTHING)
def test_a_selector_that_selects_everything_is_rejected(selectors: list[str]) -> None:
    with pytest.raises(KServeError, match="would select every ConfigMap") as caught:
        selections_of_kinds([CONFIGS, {**CONFIGS, "label_selectors": selectors}], [], [])
    assert caught.value.reason == "InvalidOption"


@pytest.mark.parametrize("selector", ["list", "list=ours", "list==ours", "list in (ours,theirs)", "a!=b,list=ours"])
def test_a_selector_that_names_a_label_is_accepted(selector: str) -> None:
    # Ansible splits a string at its commas.
    for selectors in ([selector], selector.split(",")):
        assert selections_of_kinds([{**CONFIGS, "label_selectors": selectors}], [], [])


def test_an_unknown_kind_has_no_objects() -> None:
    assert run(Server(), prune=[{**CONFIGS, "api_version": "example.com/v1", "kind": "Foo"}])["changed"] is False


def test_a_missing_permission_to_list_is_reported() -> None:
    server = Server(config("a"))
    server.read_errors["/api/v1/namespaces/models/configmaps"] = ApiError("403", 403, 'User "x" cannot list configmaps')
    with pytest.raises(
        KServeError, match=r"lack the permission to list ConfigMap models/list=ours: .* cannot list configmaps; "
    ) as no:
        run(server, config("a"), config("b"))
    # Previously applied objects are reported.
    assert no.value.result["counts"] == {
        "created": 1,
        "configured": 0,
        "unchanged": 1,
        "unvalidated": 0,
        "deleted": 0,
    }
