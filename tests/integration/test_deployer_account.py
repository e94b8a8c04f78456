# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml as the deployer account that account.yml creates, and requests of it that the API server rejects."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from local.settings import Settings
from tests.integration.conftest import reason

Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def made(playbook: Playbook, settings: Settings) -> str:
    """The output of account.yml, run by an administrator on the cluster that site.yml has converged."""
    (settings.state / "deployer.kubeconfig").unlink(missing_ok=True)
    result = playbook("playbooks/account.yml")
    assert result.returncode == 0, reason(result)
    return result.stdout


@pytest.fixture(scope="module")
def as_deployer(made: str, settings: Settings) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run kubectl as the deployer account."""

    def run(*words: str, manifest: Any = None) -> subprocess.CompletedProcess[str]:
        kubeconfig = settings.state / "deployer.kubeconfig"
        command = [settings.state / "bin" / "kubectl", f"--kubeconfig={kubeconfig}", *words]
        return subprocess.run(command, input=json.dumps(manifest), capture_output=True, text=True, check=False)

    return run


def test_the_kubeconfig_has_mode_0600_and_its_token_expires(made: str, settings: Settings, as_deployer: Any) -> None:
    path = settings.state / "deployer.kubeconfig"
    assert path.stat().st_mode & 0o777 == 0o600
    user = json.loads(as_deployer("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:hashfoundry-system:deployer"
    assert path.read_text().split("token: ")[1].split()[0] not in made


def test_site_runs_as_the_account_and_creates_missing_objects(
    playbook: Playbook, settings: Settings, kubectl: Kubectl, made: str
) -> None:
    # A cluster-scoped object, one in the platform's namespaces, and one in the model namespace.
    standard = settings.mode == "Standard"
    deleted = [
        ("clusterservingruntime", "kserve-xgbserver"),
        ("deployment", "contour-gateway-provisioner", "-n", "projectcontour")
        if standard
        else ("poddisruptionbudget", "3scale-kourier-gateway-pdb", "-n", "kourier-system"),
        ("limitrange", "models", "-n", "ml-models"),
        ("networkpolicy", "models", "-n", "ml-models"),
        ("service", "kserve-controller-manager-metrics-service", "-n", "kserve"),
    ]
    for words in deleted:
        kubectl("delete", *words, "--wait=true")
    account = ("-e", f"platform_kubeconfig={settings.state / 'deployer.kubeconfig'}")
    result = playbook("playbooks/site.yml", *account, timeout=600)
    assert result.returncode == 0, reason(result)
    for words in deleted:
        kubectl("get", *words)


BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "more"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "hashfoundry-system"}],
}
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "more", "namespace": "kserve"},
    "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}],
}


DRY = ("create", "delete", "label", "patch", "run")


@pytest.mark.parametrize(
    ("words", "manifest"),
    [
        (("get", "secrets", "-n", "kube-system"), None),
        (("get", "secrets", "-A"), None),
        (("get", "secrets", "-n", "ml-models"), None),  # get by name is allowed
        (("get", "pods", "-n", "kube-system"), None),
        (("label", "nodes", "--all", "hashfoundry.local/mine=yes"), None),  # to list them is allowed
        (("create", "-f", "-"), BINDING),
        (("create", "-f", "-"), ROLE),
        (("patch", "clusterrole", "kserve-manager-role", "-p", '{"rules": []}'), None),
        (("patch", "clusterrole", "deployer", "-p", '{"rules": []}'), None),
        (("delete", "crd", "inferenceservices.serving.kserve.io"), None),
        (("delete", "namespace", "ml-models"), None),
        (("delete", "namespace", "default"), None),
        (("label", "namespace", "ml-models", "pod-security.kubernetes.io/enforce=privileged", "--overwrite"), None),
        (("delete", "validatingwebhookconfiguration", "inferenceservice.serving.kserve.io"), None),
        (("delete", "deployment", "coredns", "-n", "kube-system"), None),
        (("delete", "resourcequota", "models", "-n", "ml-models"), None),
        (("run", "stranger", "-n", "ml-models", "--image=none.invalid/none"), None),
        (("create", "token", "kserve-controller-manager", "-n", "kserve"), None),
        (("exec", "-n", "kserve", "deploy/kserve-controller-manager", "--", "true"), None),
        (("get", "pods", "-n", "default", "--as=system:admin"), None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_account_must_not_do_is_rejected(as_deployer: Any, words: tuple[str, ...], manifest: Any) -> None:
    # If it is allowed by mistake, nothing must change.
    careful = ["--dry-run=server"] if words[0] in DRY and words[1] != "token" else []
    result = as_deployer(*words, *careful, manifest=manifest)
    assert result.returncode != 0, result.stdout
    assert "Forbidden" in result.stderr or "forbidden" in result.stderr, result.stderr


def test_a_missing_permission_is_reported_in_one_sentence(playbook: Playbook, settings: Settings, made: str) -> None:
    given = {"namespace_security_namespaces": [{"name": "ml-models", "pod_security": "baseline"}]}
    words = ("--tags", "cluster_preflight,namespace_security", "-e", json.dumps(given))
    account = ("-e", f"platform_kubeconfig={settings.state / 'deployer.kubeconfig'}")
    result = playbook("playbooks/addons.yml", *words, *account)
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    assert "The credentials lack the permission to apply Namespace ml-models: " in output
    assert "an administrator of the cluster can grant get, list, watch, create and patch on namespaces" in output
