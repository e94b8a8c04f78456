# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules leave alone on a real API server: CRDs in use, objects of other field managers, another run's CA."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from local.settings import REPOSITORY, Settings

from .helpers import objects

Json = dict[str, Any]
Kubectl = Callable[..., str]
Module = Callable[..., Json]
ROLE, BEFORE = "hashfoundry.kserve.probe", "hashfoundry.kserve"
GROUP = "safety.hashfoundry.io"


@pytest.fixture
def space(kubectl: Kubectl) -> Iterator[str]:
    name = f"safety-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def started(settings: Settings, name: str, options: Json) -> subprocess.Popen[str]:
    """Start a module as Ansible does."""
    module = subprocess.Popen(
        [sys.executable, "-m", f"ansible_collections.hashfoundry.kserve.plugins.modules.{name}"],
        env={"PYTHONPATH": str(REPOSITORY / "collections"), "HOME": str(settings.state)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert module.stdin
    module.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {"kubeconfig": str(settings.kubeconfig), **options}}))
    module.stdin.close()
    module.stdin = None
    return module


def ended(module: subprocess.Popen[str]) -> Json:
    printed, _errors = module.communicate(timeout=120)
    result: Json = json.loads(printed)
    return result


@pytest.fixture
def manifests(settings: Settings) -> Module:
    return lambda **options: ended(started(settings, "manifests", options))


def crd(*versions: str) -> Json:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"probes.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": "Probe", "plural": "probes", "singular": "probe", "listKind": "ProbeList"},
            "versions": [
                {"name": name, "served": True, "storage": name == versions[0], "schema": schema} for name in versions
            ],
        },
    }


def test_a_crd_is_in_use_in_whichever_version(kubectl: Kubectl, manifests: Module, space: str) -> None:
    probe = {"apiVersion": f"{GROUP}/v1", "kind": "Probe", "metadata": {"name": "one", "namespace": space}}
    try:
        assert manifests(definitions=[crd("v1"), probe])["counts"]["created"] == 2
        # The manifests of a later release: the cluster does not serve their first version.
        result = manifests(definitions=[crd("v2", "v1")], state="absent")
        assert (result.get("failed"), result["reason"]) == (True, "CRDInUse"), result
        assert f"1 of probes.{GROUP}" in result["msg"]
        assert objects(kubectl, f"probes.{GROUP}", "-n", space)
        result = manifests(definitions=[crd("v2", "v1")], state="absent", in_use="keep")
        assert result["counts"] == {"deleted": 0, "kept": 1, "absent": 0}
        kubectl("delete", f"probes.{GROUP}", "one", "-n", space)
        assert manifests(definitions=[crd("v2", "v1")], state="absent")["counts"]["deleted"] == 1
    finally:
        kubectl("delete", "crd", f"probes.{GROUP}", "--ignore-not-found")


def settings_map(space: str, **data: str) -> Json:
    labels = {"safety": "listed"}
    metadata = {"name": "settings", "namespace": space, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def managers(kubectl: Kubectl, space: str) -> set[str]:
    found = json.loads(kubectl("get", "configmap", "settings", "-n", space, "-o", "json", "--show-managed-fields"))
    return {entry["manager"] for entry in found["metadata"]["managedFields"]}


def test_a_role_adopts_objects_of_its_previous_field_manager(
    kubectl: Kubectl, manifests: Module, space: str, tmp_path: Path
) -> None:
    manifests(definitions=[settings_map(space, a="1", b="1")], field_manager=BEFORE)
    file = tmp_path / "theirs.yml"
    file.write_text(yaml.safe_dump(settings_map(space, theirs="1")))
    kubectl("apply", "--server-side", "--field-manager=another", "-f", str(file))
    wanted = {"definitions": [settings_map(space, a="2")], "field_manager": ROLE}
    assert manifests(**wanted, previous_field_managers=[])["reason"] == "FieldConflict"
    assert manifests(**wanted, _ansible_check_mode=True)["counts"]["configured"] == 1
    assert managers(kubectl, space) == {BEFORE, "another"}
    assert manifests(**wanted)["counts"]["configured"] == 1
    assert manifests(**wanted)["counts"]["unchanged"] == 1
    assert managers(kubectl, space) == {ROLE, "another"}
    data = json.loads(kubectl("get", "configmap", "settings", "-n", space, "-o", "json"))["data"]
    assert data == {"a": "2", "theirs": "1"}


def test_one_role_does_not_prune_what_another_has_applied(kubectl: Kubectl, manifests: Module, space: str) -> None:
    selection = {"kind": "ConfigMap", "namespace": space, "label_selectors": ["safety=listed"]}
    manifests(definitions=[settings_map(space, a="1")], field_manager=BEFORE)
    result = manifests(prune=[selection], field_manager=ROLE)
    assert [entry["reason"] for entry in result["kept"]] == [f"{ROLE} has not applied it"]
    result = manifests(prune=[{**selection, "label_selectors": []}], field_manager=BEFORE)
    assert (result["failed"], result["reason"]) == (True, "InvalidOption")
    assert manifests(prune=[selection], field_manager=BEFORE)["counts"]["deleted"] == 1


def test_roles_find_their_own_objects_after_a_restore(
    settings: Settings, kubectl: Kubectl, manifests: Module, space: str, tmp_path: Path
) -> None:
    def thing(kind: str, name: str, api: str = "v1", **fields: Any) -> Json:
        return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": space}, **fields}

    to, ports = [{"ipBlock": {"cidr": "10.0.0.1/32"}}], [{"port": 6443}, {"port": 53, "protocol": "UDP"}]
    rules = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": to, "ports": ports}]}
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    itself = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}}
    policy = thing("NetworkPolicy", "api-server", "networking.k8s.io/v1", spec=rules)
    applied = {
        "hashfoundry.kserve.namespace_security": [itself, policy],
        "hashfoundry.kserve.model_namespace": [
            itself,
            thing("ResourceQuota", "models", spec={"hard": {"limits.cpu": "4", "requests.memory": "1Gi"}}),
            thing("ServiceAccount", "model-reader", secrets=[{"name": "model-reader"}]),
            thing("Service", "models", spec={"selector": {"a": "b"}, "ports": [{"port": 80, "name": "http"}]}),
        ],
    }

    def site() -> list[str]:
        results = [manifests(definitions=bodies, field_manager=manager) for manager, bodies in applied.items()]
        assert [one.get("msg") for one in results] == [None] * 2
        return [entry["action"] for one in results for entry in one["objects"]]

    site()
    assert set(site()) == {"unchanged"}
    kubectl("label", "serviceaccount", "model-reader", "team=a", "-n", space)
    kubectl("create", "configmap", "theirs", "--from-literal=a=b", "-n", space)
    paths = {"path": str(tmp_path / "objects.yml"), "applied_path": str(tmp_path / "applied.yml")}
    assert ended(started(settings, "namespace_backup", {"namespace": space, **paths}))["changed"] is True
    kubectl("delete", "networkpolicies,resourcequotas,serviceaccounts,services,configmaps", "--all", "-n", space)
    for restore in range(2):
        for group in yaml.safe_load_all((tmp_path / "applied.yml").read_text()):
            result = manifests(
                definitions=group["objects"], field_manager=group["field_manager"], previous_field_managers=[]
            )
            assert result.get("msg") is None and (not restore or not result["changed"]), result
    assert set(site()) == {"unchanged"}
    # Another address of the API server, in a list that is replaced as a whole.
    to[0]["ipBlock"]["cidr"] = "10.0.0.2/32"
    assert site().count("configured") == 1
    account = objects(kubectl, "serviceaccounts", "-n", space, "-l", "team=a")
    assert [one["metadata"]["name"] for one in account] == ["model-reader"]
    assert json.loads(kubectl("get", "configmap", "theirs", "-n", space, "-o", "json"))["data"] == {"a": "b"}


def test_several_first_runs_have_one_ca(settings: Settings, kubectl: Kubectl, space: str) -> None:
    options = {
        "ca": {"namespace": space, "secret": "ca"},
        "certificates": [
            {"namespace": space, "secret": f"tls-{number}", "dns_names": [f"{number}.example.com"]}
            for number in range(3)
        ],
    }
    results = [ended(module) for module in [started(settings, "certificate_secrets", options) for _run in range(3)]]
    assert [one.get("msg") for one in results] == [None] * 3
    assert len({one["ca_certificate"] for one in results}) == 1
    authority = x509.load_pem_x509_certificate(results[0]["ca_certificate"].encode())
    for number in range(3):
        path = 'go-template={{index .data "tls.crt" | base64decode}}'
        leaf = kubectl("get", "secret", f"tls-{number}", "-n", space, "-o", path)
        x509.load_pem_x509_certificate(leaf.encode()).verify_directly_issued_by(authority)
    assert ended(started(settings, "certificate_secrets", options))["changed"] is False
    # What was created exclusively is the role's own: it can delete it.
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca", "namespace": space, "labels": {}}}
    secret["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "hashfoundry.kserve"}
    deletion = {"definitions": [secret], "state": "absent", "field_manager": "hashfoundry.kserve.certificates"}
    assert ended(started(settings, "manifests", deletion))["counts"]["deleted"] == 1
