# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform after site.yml in Knative mode, from outside; the model answers as in Standard mode."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from local import demo, table
from local.settings import Settings
from tests.integration.conftest import Kubectl, reason
from tests.integration.helpers import metrics_of, status_of

NAME = "iris-classifier"
NAMESPACE = "ml-models"
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]
Thing = Callable[..., dict[str, Any]]
Ask = Callable[..., tuple[int, Any]]
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_readme_curl_line_answers(settings: Settings) -> None:
    result = subprocess.run(demo.curl(settings), capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {"predictions": [0, 2]}


def test_v2_returns_the_same_predictions(ask: Ask) -> None:
    tensor = {"name": "rows", "shape": [2, 4], "datatype": "FP64", "data": [value for row in ROWS for value in row]}
    status, body = ask(NAME, f"/v2/models/{NAME}/infer", {"inputs": [tensor]})
    assert status == 200
    assert body["outputs"][0]["data"] == [0, 2]


def test_the_metrics_are_where_no_route_leads(ask: Ask, kubectl: Kubectl, settings: Settings) -> None:
    assert ask(NAME)[0] == 200  # so that it has a pod
    assert f'model_server_requests_total{{code="200",model_name="{NAME}",protocol="v1"}}' in metrics_of(kubectl, NAME)
    assert status_of(settings, demo.HOST, f"/v1/models/{NAME}") == 200
    assert status_of(settings, demo.HOST, "/metrics") == 404


@pytest.mark.parametrize("body", [{}, {"instances": []}, {"instances": [[1, 2, 3]]}, {"instances": "rows"}])
def test_invalid_input_is_a_client_error(ask: Ask, body: Any) -> None:
    status, answer = ask(NAME, body=body)
    assert status == 400, answer
    assert len(answer["error"]) > 20


def test_another_host_is_not_routed_to_the_model(ask: Ask) -> None:
    status, _body = ask("nothing", f"/v1/models/{NAME}:predict")
    assert status == 404


def test_the_gateway_accepts_only_https(thing: Thing) -> None:
    (port,) = thing("service", "kourier", "-n", "kourier-system")["spec"]["ports"]
    assert (port["name"], port["nodePort"]) == ("https", 30443)


def test_kserve_created_a_knative_service_of_the_models_name(thing: Thing) -> None:
    service = thing("inferenceservices.serving.kserve.io", NAME, "-n", NAMESPACE)
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"
    assert service["status"]["url"] == f"https://{demo.HOST}"
    below = thing("services.serving.knative.dev", f"{NAME}-predictor", "-n", NAMESPACE)
    assert below["status"]["url"] == f"https://{demo.HOST}"
    ready = {condition["type"]: condition["status"] for condition in below["status"]["conditions"]}
    assert ready["Ready"] == "True"


def test_knative_runs_the_images_of_the_table(thing: Thing) -> None:
    wanted = {image.ref for image in table.load().of_mode("Knative").images if image.mode == "Knative"}
    pods = [pod for space in ("knative-serving", "cert-manager") for pod in thing("pods", "-n", space)["items"]]
    found = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    sidecar = thing("configmap", "config-deployment", "-n", "knative-serving")["data"]["queue-sidecar-image"]
    assert found | {sidecar} == wanted


def test_the_namespace_is_restricted(thing: Thing) -> None:
    labels = thing("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("config-network", "ingress-class", "kourier.ingress.networking.knative.dev"),
        ("config-network", "default-external-scheme", "https"),
        ("config-domain", "ml.hashfoundry.local", ""),
        ("config-features", "kubernetes.podspec-securitycontext", "enabled"),
        ("config-autoscaler", "enable-scale-to-zero", "true"),
        ("config-deployment", "registries-skipping-tag-resolving", "kind.local,ko.local,dev.local,hashfoundry.local"),
    ],
)
def test_keys_are_merged_into_the_releases_configmaps(thing: Thing, name: str, key: str, value: str) -> None:
    data = thing("configmap", name, "-n", "knative-serving")["data"]
    assert data[key] == value
    assert "EXAMPLE CONFIGURATION" in data["_example"]


def test_a_key_of_another_field_manager_is_retained(
    playbook: Playbook, kubectl: Callable[..., str], thing: Thing
) -> None:
    configmap = ("configmap", "config-gc", "-n", "knative-serving")
    kubectl("patch", *configmap, "--type=merge", "-p", '{"data": {"min-non-active-revisions": "3"}}')
    try:
        result = playbook("playbooks/addons.yml", "--tags", "cluster_preflight,knative_serving")
        assert result.returncode == 0, reason(result)
        assert "changed=0" in result.stdout
        assert thing(*configmap)["data"]["min-non-active-revisions"] == "3"
    finally:
        kubectl("patch", *configmap, "--type=merge", "-p", '{"data": {"min-non-active-revisions": null}}')


def test_the_ingress_key_of_kserve_is_complete(thing: Thing) -> None:
    data = thing("configmap", "inferenceservice-config", "-n", "kserve")["data"]
    ingress = json.loads(data["ingress"])
    assert ingress["disableIstioVirtualHost"] is True
    assert {"ingressGateway", "ingressDomain", "urlScheme"} <= ingress.keys()
    assert json.loads(data["deploy"])["defaultDeploymentMode"] == "Knative"


def test_kserve_started_after_knative(thing: Thing) -> None:
    crd = thing("customresourcedefinition", "services.serving.knative.dev")["metadata"]
    pods = thing("pods", "-n", "kserve", "-l", "control-plane=kserve-controller-manager")["items"]
    assert pods and all("kserve.hashfoundry.io/kinds" in pod["metadata"]["annotations"] for pod in pods)
    assert all(pod["status"]["startTime"] >= crd["creationTimestamp"] for pod in pods)


def test_knatives_webhook_rejects_what_knative_does_not_allow(settings: Settings) -> None:
    command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}"]
    command += ["patch", "configmap", "config-autoscaler", "-n", "knative-serving", "--dry-run=server", "--type=merge"]
    refused = ["-p", '{"data": {"enable-scale-to-zero": "true", "stable-window": "1s"}}']
    result = subprocess.run([*command, *refused], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert 'admission webhook "config.webhook.serving.knative.dev" denied' in result.stderr


def test_site_works_in_check_mode(playbook: Playbook) -> None:
    result = playbook("playbooks/site.yml", "--check", "--diff")
    assert result.returncode == 0, reason(result)
    assert "changed=0" in result.stdout
