# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pod security and NetworkPolicies after site.yml: pods that are rejected, and observed traffic that is allowed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from local import demo
from local.settings import Settings
from tests.integration.conftest import OnNode

from .allowed_traffic import Connection, End, connections, denials, pods
from .helpers import objects

Kubectl = Callable[..., str]
Json = dict[str, Any]
PODS = "10.244."  # kind's pod addresses
STANDARDS = {
    "hashfoundry-system": "restricted",
    "kserve": "restricted",
    "ml-models": "restricted",
    "object-storage": "restricted",
    "projectcontour": "baseline",
    "knative-serving": "restricted",
    "kourier-system": "restricted",
}


@pytest.fixture(scope="module")
def namespaces(kubectl: Kubectl) -> list[str]:
    """The collection's namespaces in this deployment mode."""
    return [name for name in (o["metadata"]["name"] for o in objects(kubectl, "namespaces")) if name in STANDARDS]


@pytest.fixture(scope="module")
def policies(kubectl: Kubectl, namespaces: list[str]) -> list[Json]:
    return [p for p in objects(kubectl, "networkpolicies", "-A") if p["metadata"]["namespace"] in namespaces]


@pytest.fixture(scope="module")
def known(kubectl: Kubectl) -> dict[str, End]:
    return pods(objects(kubectl, "pods", "-A"))


def test_each_namespace_enforces_its_pod_security_standard(kubectl: Kubectl, namespaces: list[str]) -> None:
    assert len(namespaces) > 4
    for name in namespaces:
        labels = json.loads(kubectl("get", "namespace", name, "-o", "json"))["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == STANDARDS[name], name


def test_a_pod_that_is_not_restricted_is_rejected(settings: Settings) -> None:
    command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}"]
    for name in ("kserve", "hashfoundry-system", "object-storage"):
        words = ["run", "root", "-n", name, "--image=none.invalid/none", "--dry-run=server"]
        result = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert result.returncode != 0
        assert "violates PodSecurity" in result.stderr, name


def test_no_pod_violates_the_standard(kubectl: Kubectl, namespaces: list[str]) -> None:
    """A server-side dry run of the label warns of pods that violate the standard of their namespace."""
    for name in namespaces:
        label = f"pod-security.kubernetes.io/enforce={STANDARDS[name]}"
        output = kubectl("label", "namespace", name, label, "--overwrite", "--dry-run=server")
        assert "violate" not in output, name


def test_each_namespace_denies_by_default(policies: list[Json], namespaces: list[str]) -> None:
    closed = [
        policy["metadata"]["namespace"]
        for policy in policies
        if policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ]
    assert sorted(closed) == sorted(namespaces)


def test_the_observed_traffic_is_allowed(
    settings: Settings, on_node: OnNode, policies: list[Json], known: dict[str, End], namespaces: list[str]
) -> None:
    subprocess.run(demo.curl(settings), capture_output=True, check=True)  # from outside to a model
    table = on_node("conntrack", "-L")
    seen = {
        found
        for found in connections(table, known)
        # Its node may always reach a pod, for the kubelet's probes. Here the API server runs on that node, too.
        if found.source.namespace
        and {found.source.namespace, found.target.namespace} & set(namespaces)
        # The table contains addresses of deleted pods for a while, whose labels are no longer known.
        and (found.target.namespace or not found.target.address.startswith(PODS))
    }
    reached = {(found.source.namespace, found.target.namespace) for found in seen}
    gateway = "kourier-system" if settings.mode == "Knative" else "projectcontour"
    assert {(gateway, "ml-models"), ("kserve", "")} <= reached, reached
    assert {str(found): wrong for found in seen if (wrong := list(denials(found, policies)))} == {}


def test_traffic_that_nothing_needs_is_denied(policies: list[Json], known: dict[str, End]) -> None:
    def one(namespace: str, label: str, value: str = "") -> End:
        of_namespace = [pod for pod in known.values() if pod.namespace == namespace]
        return next(pod for pod in of_namespace if label in pod.labels and value in ("", pod.labels[label]))

    model = one("ml-models", "kserve.hashfoundry.io/storage", "s3")
    mounting = one("ml-models", "kserve.hashfoundry.io/storage", "pvc")
    controller, store = one("kserve", "control-plane"), one("object-storage", "app.kubernetes.io/name")
    stranger = End("10.244.99.1", "default", "stranger", {})
    dns = next(pod for pod in known.values() if pod.labels.get("k8s-app") == "kube-dns")
    outside = End("203.0.113.7")
    for denied in (
        Connection(stranger, model, "TCP", 8080),
        Connection(outside, model, "TCP", 8080),
        Connection(model, outside, "TCP", 443),
        Connection(model, controller, "TCP", 9443),
        Connection(controller, model, "TCP", 8080),
        Connection(controller, outside, "TCP", 443),
        Connection(store, outside, "TCP", 443),
        Connection(model, dns, "TCP", 9153),
        Connection(model, End("169.254.169.254"), "TCP", 80),
        Connection(mounting, store, "TCP", 7070),
        Connection(mounting, dns, "UDP", 53),
    ):
        assert list(denials(denied, policies)), str(denied)
    for allowed in (
        Connection(model, store, "TCP", 7070),
        Connection(model, dns, "UDP", 53),
        Connection(outside, controller, "TCP", 9443),
    ):
        assert list(denials(allowed, policies)) == [], str(allowed)


def test_a_server_has_neither_credentials_of_the_store_nor_a_token(kubectl: Kubectl) -> None:
    """Its pod may reach the object store, because its init container must."""
    models = objects(kubectl, "pods", "-n", "ml-models", "-l", "kserve.hashfoundry.io/storage=s3")
    assert models
    for pod in models:
        spec = pod["spec"]
        [loader] = spec["initContainers"]
        assert "AWS_SECRET_ACCESS_KEY" in {entry["name"] for entry in loader["env"]}
        for container in spec["containers"]:
            said = json.dumps([container.get("env"), container.get("envFrom")])
            assert "AWS_" not in said and "secretRef" not in said, container["name"]
        mounted = json.dumps([volume for volume in spec["volumes"] if "emptyDir" not in volume])
        assert "serviceAccountToken" not in mounted and '"secret"' not in mounted
