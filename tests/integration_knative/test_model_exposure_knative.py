# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model in Knative mode behind an Ingress of an ingress controller other than Kourier, and without exposure."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.settings import Settings
from tests.integration.conftest import reason
from tests.integration.helpers import wait_until

HOST = "iris-classifier.ml.hashfoundry.local"
NAMESPACE = "ml-models"
# A port of the node that kind does not forward. The test connects to the node directly.
NODE_PORT = 30444
BODY = '{"instances": [[5.1,3.5,1.4,0.2],[6.7,3.1,5.6,2.4]]}'
Kubectl = Callable[..., str]
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]

# The role gateway installs Contour, which only serves Ingresses in this mode.
CONTROLLER = """
- name: Have a controller that serves Ingresses
  hosts: clusters
  gather_facts: false
  environment:
    K8S_AUTH_KUBECONFIG: "{{ platform_kubeconfig }}"
  roles:
    - role: hashfoundry.kserve.gateway
"""
# Kourier's Service accepts HTTPS only if it is exposed outside the cluster, as here.
PLAIN = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "kourier-plain", "namespace": "kourier-system"},
    "spec": {
        "selector": {"app": "3scale-kourier-gateway"},
        "ports": [{"name": "http2", "port": 80, "targetPort": 8080}],
    },
}


@pytest.fixture(scope="module")
def apply(settings: Settings) -> Callable[..., None]:
    def run(*things: dict[str, Any]) -> None:
        command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}", "apply", "-f", "-"]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(things)})
        subprocess.run(command, input=text, capture_output=True, text=True, check=True)

    return run


@pytest.fixture(scope="module")
def controller(
    playbook: Playbook, kubectl: Kubectl, apply: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The IP address of Contour, which runs beside Kourier."""
    play = tmp_path_factory.mktemp("controller") / "play.yml"
    play.write_text(CONTROLLER)
    secret = json.loads(kubectl("get", "secret", "models-tls", "-n", "kourier-system", "-o", "json"))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "projectcontour"}}
    metadata = {"name": "models-tls", "namespace": "projectcontour"}
    copy = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **{k: secret[k] for k in ("type", "data")}}
    apply(namespace, copy, PLAIN)
    port = ("-e", f"gateway_https_port={NODE_PORT}")
    try:
        result = playbook(play, *port)
        assert result.returncode == 0, reason(result)
        node = json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]["status"]["addresses"]
        yield {entry["type"]: entry["address"] for entry in node}["InternalIP"]
    finally:
        kubectl("delete", "secret", "models-tls", "-n", "projectcontour", "--ignore-not-found")
        kubectl("delete", "service", "kourier-plain", "-n", "kourier-system", "--ignore-not-found")
        result = playbook(play, *port, "-e", "gateway_state=absent")
        kubectl("delete", "namespace", "projectcontour", "--ignore-not-found", "--wait=false")
        assert result.returncode == 0, reason(result)


@pytest.fixture(scope="module")
def expose(playbook: Playbook) -> Callable[[str], str]:
    def run(exposure: str) -> str:
        given = {
            "model_exposure_models": [{"name": "iris-classifier", "exposure": exposure}],
            "model_exposure_networking_service": {"namespace": "kourier-system", "name": "kourier-plain", "port": 80},
        }
        tags = ("--tags", "cluster_preflight,model_exposure")
        result = playbook("playbooks/serving.yml", *tags, "-e", json.dumps(given))
        assert result.returncode == 0, reason(result)
        return result.stdout

    return run


def curl(settings: Settings, address: str, port: int) -> str:
    """The model's predictions through one address, or curl's error."""
    authority = f"{HOST}:{port}"
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60"]
    command += ["--cacert", str(Path(settings.state) / "ca.crt"), "--resolve", f"{authority}:{address}"]
    command += ["-H", "Content-Type: application/json", "--data-binary", BODY]
    result = subprocess.run(
        [*command, f"https://{authority}/v1/models/iris-classifier:predict"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stderr or result.stdout


def predicts(answer: str) -> bool:
    return '"predictions":[0,2]' in answer.replace(" ", "")


def test_an_ingress_routes_to_the_model_and_scales_it_from_zero(
    settings: Settings, controller: str, expose: Callable[[str], str], kubectl: Kubectl
) -> None:
    assert "changed=1" in expose("ingress")
    (ingress,) = json.loads(kubectl("get", "ingress", "-n", "kourier-system", "-o", "json"))["items"]
    assert ingress["metadata"]["name"] == f"{NAMESPACE}-iris-classifier"
    assert ingress["spec"]["tls"] == [{"hosts": [HOST], "secretName": "models-tls"}]
    kubectl(
        "delete", "pods", "-n", NAMESPACE, "-l", "serving.kserve.io/inferenceservice=iris-classifier", "--wait=false"
    )
    wait_until(lambda: curl(settings, controller, NODE_PORT), predicts, 90)
    assert "changed=0" in expose("ingress")


def test_without_an_ingress_the_controller_has_no_route(
    settings: Settings, controller: str, expose: Callable[[str], str]
) -> None:
    assert "changed=1" in expose("gateway")
    wait_until(lambda: curl(settings, controller, NODE_PORT), lambda answer: answer.startswith("curl: "), 30)
    assert predicts(curl(settings, "127.0.0.1", settings.https_port))


def test_a_cluster_local_model_is_not_exposed(settings: Settings, kubectl: Kubectl) -> None:
    service = ("label", "inferenceservice", "iris-classifier", "-n", NAMESPACE, "--overwrite")
    kubectl(*service, "networking.knative.dev/visibility=cluster-local")
    try:
        answer = wait_until(lambda: curl(settings, "127.0.0.1", settings.https_port), lambda text: "404" in text, 60)
        assert "curl: (22)" in answer
    finally:
        kubectl(*service, "networking.knative.dev/visibility-")
    wait_until(lambda: curl(settings, "127.0.0.1", settings.https_port), predicts, 60)
