# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.modules import manifests

from ..module_utils.manifests_server import MANAGER, Server, thing

VALUE = "PLANTED-VALUE"
ENCODED = base64.b64encode(VALUE.encode()).decode()
SECRET = thing("Secret", "s", data={"a": ENCODED}, stringData={"b": VALUE})
CONFIG = thing("ConfigMap", "c", None, data={"a": "1"})
PATCH = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": VALUE}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(apply_client, "session", lambda _options: nullcontext(server))
    return server


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "x.yaml").write_text(json.dumps(thing("Secret", "other", stringData={"a": "PLANTED-IN-FILE"})))
    return {"definitions": [SECRET, CONFIG], "src": [str(tmp_path)], "namespace": "models", "api_key": "PLANTED-KEY"}


def test_first_run_second_run_and_check_mode(run_module, server: Server, arguments: dict[str, Any]) -> None:
    check = run_module(manifests.main, arguments, check_mode=True)
    assert check["changed"] is True and server.objects == {}
    first = run_module(manifests.main, arguments)
    assert first["changed"] is True and first["counts"]["created"] == 3
    assert [(entry["kind"], entry["namespace"], entry["name"]) for entry in first["objects"]] == [
        ("Secret", "models", "s"),
        ("Secret", "models", "other"),
        ("ConfigMap", "models", "c"),
    ]
    second = run_module(manifests.main, arguments)
    assert second["changed"] is False and second["counts"]["unchanged"] == 3
    assert server.sent[0][1] == {"fieldManager": MANAGER, "force": "false", "dryRun": "All"}


@pytest.mark.parametrize("selectors", [[], "", [""]])
def test_a_prune_of_everything_changes_nothing(
    run_module, server: Server, arguments: dict[str, Any], selectors: object
) -> None:
    run_module(manifests.main, arguments)
    server.sent.clear()
    prune = [{"kind": "Secret", "namespace": "models", "label_selectors": selectors}]
    result = run_module(manifests.main, {**arguments, "definitions": [CONFIG], "prune": prune})
    assert result["failed"] and "would select every Secret" in result["msg"]
    assert (server.sent, server.deleted) == ([], [])


def test_check_mode_warns_of_what_it_could_not_validate(
    run_module, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If Ansible's controller code is imported, too, a warning is printed and not in the result.
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
    unknown = [thing("Certificate", name, api="cert-manager.io/v1") for name in ("a", "b")]
    run_module(manifests.main, {"definitions": [CONFIG, *unknown], "namespace": "models"}, check_mode=True)
    message = "The cluster does not know the kind yet. Check mode could not validate Certificate models/a, models/b."
    assert message in str(warnings)


def test_options_reach_the_server(run_module, server: Server, arguments: dict[str, Any]) -> None:
    options = {"field_manager": "me", "force_conflicts": True, "exclude_kinds": ["Secret"]}
    run_module(manifests.main, {**arguments, **options})
    assert server.sent == [("/api/v1/namespaces/models/configmaps/c", {"fieldManager": "me", "force": "true"})]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"field_manager": "hashfoundry.kserve.gateway"}, {"hashfoundry.kserve.gateway"}),
        ({"field_manager": "example.com/mine"}, {MANAGER, "example.com/mine"}),
        ({"field_manager": "hashfoundry.kserved"}, {MANAGER, "hashfoundry.kserved"}),
        (
            {"field_manager": "hashfoundry.kserve.gateway", "previous_field_managers": []},
            {MANAGER, "hashfoundry.kserve.gateway"},
        ),
        ({"field_manager": "mine", "previous_field_managers": [MANAGER]}, {"mine"}),
    ],
)
def test_only_a_field_manager_of_the_collection_replaces_the_default_unless_the_task_names_it(
    run_module, server: Server, given: dict[str, Any], left: set[str]
) -> None:
    both = thing("ConfigMap", "c", data={"a": "1", "b": "1"})
    assert run_module(manifests.main, {"definitions": [both]})["counts"]["created"] == 1
    result = run_module(manifests.main, {"definitions": [thing("ConfigMap", "c", data={"a": "1"})], **given})
    assert result["counts"]["configured"] == 1
    live = server.objects["/api/v1/namespaces/models/configmaps/c"]
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} == left
    # What the manifest has no more is removed only with the manager that had applied it.
    assert ("b" in live["data"]) is (MANAGER in left)


@pytest.mark.parametrize("manager", ["hashfoundry.kserve.gateway", "mine"])
def test_what_the_default_field_manager_has_applied_is_not_pruned_by_another(
    run_module, server: Server, manager: str
) -> None:
    listed = thing("ConfigMap", "c", data={"a": "1"})
    listed["metadata"]["labels"] = {"list": "ours"}
    run_module(manifests.main, {"definitions": [listed]})
    selection = {"kind": "ConfigMap", "namespace": "models", "label_selectors": ["list=ours"]}
    result = run_module(manifests.main, {"field_manager": manager, "prune": [selection]})
    assert [entry["reason"] for entry in result["kept"]] == [f"{manager} has not applied it"]
    assert server.deleted == []


@pytest.mark.parametrize(
    "change",
    [{}, {"wait_timeout": "soon"}, {"definitions": [SECRET, "PLANTED"]}, {"patches": [PATCH, "PLANTED"]}],
)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("check_mode", [False, True])
def test_values_of_secrets_are_in_no_output_and_no_log(
    run_module,
    server: Server,
    arguments: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    fails: bool,
    check_mode: bool,
) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda self, msg, log_args=None: logged.append((msg, log_args)))
    if fails:
        server.errors["/s"] = [ApiError("x", 422, f"bad {VALUE} {ENCODED}")]
    given = {**arguments, "patches": [PATCH], **change}
    # Ansible sends the value of the task's keyword no_log.
    result = run_module(manifests.main, given, check_mode=check_mode, diff=True, no_log=False)
    assert result.get("failed", False) is (fails or bool(change))
    assert result["invocation"]["module_args"]["namespace"] == "models"
    shown = result["invocation"]["module_args"]
    assert change or shown["definitions"][0]["stringData"] == {"b": "VALUE_HIDDEN"}
    assert change or shown["patches"] == [{**PATCH, "stringData": {"p": "VALUE_HIDDEN"}}]
    for output in (json.dumps(result), str(logged)):
        assert "PLANTED" not in output and ENCODED not in output
        assert "Traceback" not in output
    assert not logged  # the host's log would contain the options unmasked


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"definitions": [], "src": []}, "There is nothing to apply"),
        ({"src": ["/none"]}, "/none cannot be read"),
        ({"definitions": [{"kind": "ConfigMap"}]}, "definitions[0] has no apiVersion"),
        ({"namespace": None}, "has no namespace"),
    ],
)
def test_wrong_arguments(
    run_module, server: Server, arguments: dict[str, Any], change: dict[str, Any], says: str
) -> None:
    result = run_module(manifests.main, {**arguments, **change})
    assert result["failed"] is True and says in result["msg"] and server.sent == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kubeconfig": "/nowhere/kubeconfig"}, "There is no usable Kubernetes configuration"),
        ({"host": "https://127.0.0.1:1", "api_key": "PLANTED-KEY"}, "cannot be reached"),
    ],
)
def test_an_unreadable_cluster_is_reported_in_one_sentence(
    run_module, change: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("K8S_AUTH_KUBECONFIG", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run_module(manifests.main, {"definitions": [CONFIG], "namespace": "models", **change})
    assert result["failed"] is True and says in result["msg"]
    assert "Traceback" not in json.dumps(result) and "PLANTED" not in json.dumps(result)


def test_images_and_absent(run_module, server: Server) -> None:
    config = thing("ConfigMap", "c", data={"an-image": "docker.io/a/b:v1"})
    images = {"registries": {"docker.io": "mirror.example.com"}, "digests": {"docker.io/a/b:v1": f"sha256:{'0' * 64}"}}
    run_module(manifests.main, {"definitions": [config], "images": images})
    live = server.objects["/api/v1/namespaces/models/configmaps/c"]
    assert live["data"] == {"an-image": f"mirror.example.com/a/b:v1@sha256:{'0' * 64}"}
    deleted = run_module(manifests.main, {"definitions": [config], "state": "absent"})
    assert deleted["counts"] == {"deleted": 1, "kept": 0, "absent": 0} and server.objects == {}
    assert run_module(manifests.main, {"definitions": [config], "state": "absent"})["changed"] is False
    wrong = run_module(manifests.main, {"definitions": [config], "images": {"digests": {"a:b": "latest"}}})
    assert (wrong["failed"], wrong["reason"]) == (True, "InvalidOption")
