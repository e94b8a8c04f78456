# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role knative_networking with Istio as its provider, from charts that replace Istio's: istio/README.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.settings import Settings
from tests.integration.conftest import reason

CHARTS = Path(__file__).with_name("istio")
Playbook = Callable[..., Any]
Thing = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def install(playbook: Playbook, settings: Settings) -> Callable[..., Any]:
    """Run the role: install(knative_networking_state="absent")."""
    # The role waits until Istio's webhook has a CA, which istiod writes; the replacement is configured with one.
    bundle = base64.b64encode((settings.state / "ca.crt").read_bytes()).decode()

    def run(**more: Any) -> Any:
        options = {
            "knative_networking_provider": "istio",
            "knative_networking_istio_chart_source": str(CHARTS),
            "knative_networking_manifest": str(CHARTS / "net-istio.yaml"),
            "knative_networking_istio_replicas": 2,
            "knative_networking_istio_values": {"base": {"base": {"validationCABundle": bundle}}},
            "knative_networking_istio_config": {"enable-virtualservice-status": "false"},
            "knative_networking_service_type": "ClusterIP",
            "knative_networking_https_node_port": None,
            "knative_networking_timeout": 300,
        }
        return playbook("playbooks/addons.yml", "--tags", "knative_networking", "-e", json.dumps({**options, **more}))

    return run


@pytest.fixture(scope="module")
def namespace(kubectl: Callable[..., str]) -> Iterator[str]:
    """Istio's namespace, initially empty."""
    kubectl("create", "namespace", "istio-system")
    yield "istio-system"
    kubectl("delete", "namespace", "istio-system")


def message_of(result: Any) -> str:
    return " ".join(result.stdout.split())


def test_without_a_certificate_nothing_is_installed(install: Any, namespace: str, kubectl: Callable[..., str]) -> None:
    result = install()
    assert result.returncode != 0
    assert f"The TLS Secret {namespace}/models-tls is missing." in message_of(result)
    assert kubectl("get", "deployments", "-n", namespace, "-o", "name") == ""


@pytest.fixture(scope="module")
def certified(namespace: str, kubectl: Callable[..., str]) -> str:
    """Istio's namespace with the TLS Secret of its gateway."""
    kubectl("create", "secret", "generic", "models-tls", "-n", namespace, "--from-literal=tls.crt=stand-in")
    return namespace


def test_a_webhook_without_a_ca_stops_before_the_gateway(
    install: Any, certified: str, kubectl: Callable[..., str]
) -> None:
    # Without pods, the role can wait only for the webhook.
    result = install(
        knative_networking_istio_values={}, knative_networking_istio_replicas=0, knative_networking_timeout=15
    )
    assert result.returncode != 0
    output = message_of(result)
    assert "ValidatingWebhookConfiguration istiod-default-validator is not ready after 15 seconds: " in output
    assert "caBundle of its webhook validation.istio.io" in output
    assert "istio-ingressgateway" not in kubectl("get", "deployments", "-n", certified, "-o", "name")


@pytest.fixture(scope="module")
def installed(install: Any, certified: str) -> Iterator[str]:
    """Istio, installed and finally uninstalled."""
    result = install()
    assert result.returncode == 0, reason(result)
    yield certified
    result = install(knative_networking_state="absent")
    assert result.returncode == 0, reason(result)


def test_the_gateway_listens_for_https_with_the_certificate(installed: str, thing: Thing) -> None:
    gateway = thing("gateways.networking.istio.io", "knative-ingress-gateway", "-n", "knative-serving")
    assert gateway["spec"]["servers"] == [
        {
            "hosts": ["*"],
            "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
            "tls": {"mode": "SIMPLE", "credentialName": "models-tls"},
        }
    ]
    service = thing("service", "istio-ingressgateway", "-n", installed)
    assert [port["name"] for port in service["spec"]["ports"]] == ["status-port", "https"]


def test_two_replicas_of_each_are_spread_and_have_disruption_budgets(installed: str, thing: Thing) -> None:
    for name, namespace in (
        ("istiod", installed),
        ("istio-ingressgateway", installed),
        ("net-istio-controller", "knative-serving"),
        ("net-istio-webhook", "knative-serving"),
    ):
        deployment = thing("deployment", name, "-n", namespace)
        assert deployment["status"]["readyReplicas"] == 2
        pod = deployment["spec"]["template"]
        (spread,) = pod["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        assert spread["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    budgets = thing("poddisruptionbudgets", "-n", "knative-serving", "-l", "!serving.knative.dev/release")["items"]
    found = {budget["metadata"]["name"]: budget["spec"].get("maxUnavailable") for budget in budgets}
    assert found["net-istio-controller"] == found["net-istio-webhook"] == 1


def test_keys_are_merged_into_the_manifests_configmap(installed: str, thing: Thing) -> None:
    assert thing("configmap", "config-istio", "-n", "knative-serving")["data"] == {
        "_example": "an example",
        "enable-virtualservice-status": "false",
    }


def test_a_second_run_changes_nothing_and_keeps_what_istio_writes(
    install: Any, installed: str, kubectl: Callable[..., str], thing: Thing
) -> None:
    webhook = ("validatingwebhookconfiguration", "istiod-default-validator")
    written = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    kubectl("patch", *webhook, "--type=json", "-p", json.dumps(written))
    result = install()
    assert result.returncode == 0, reason(result)
    assert "changed=0" in result.stdout
    assert thing(*webhook)["webhooks"][0]["failurePolicy"] == "Ignore"


def test_a_missing_crd_of_an_existing_istio_is_reported(install: Any) -> None:
    result = install(knative_networking_state="existing")
    assert result.returncode != 0
    assert "The existing Istio is not healthy: the cluster does not serve VirtualService" in message_of(result)
