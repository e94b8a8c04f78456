# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform after site.yml, from outside: predictions over TLS, pods, routes, certificates and the bucket."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import demo
from local.settings import Settings
from tests.integration.conftest import reason

from .helpers import metrics_of, objects, s3_client, status_of, wait_until

HOST = "iris-classifier.ml.hashfoundry.local"
V1 = "/v1/models/iris-classifier:predict"
V2 = "/v2/models/iris-classifier/infer"
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]
BUCKET = "hashfoundry-ml-models"
Kubectl = Callable[..., str]
Answer = tuple[int, Any]


@pytest.fixture(scope="session")
def ask(settings: Settings) -> Callable[..., Answer]:
    """POST to the model through the Gateway by curl, and return status and body, parsed if it is JSON."""

    def post(path: str, body: str, *headers: str, host: str = HOST, ca: Path | None = None) -> Answer:
        authority = f"{host}:{settings.https_port}"
        command = ["curl", "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]
        command += ["--cacert", str(ca or settings.state / "ca.crt"), "--resolve", f"{authority}:127.0.0.1"]
        for header in headers or ("Content-Type: application/json",):
            command += ["-H", header]
        result = subprocess.run(
            [*command, "--data-binary", "@-", f"https://{authority}{path}"],
            input=body, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode:
            return -result.returncode, result.stderr
        text, _newline, status = result.stdout.rpartition("\n")
        try:
            return int(status), json.loads(text)
        except ValueError:
            return int(status), text

    return post


def pod_of(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """The only pod of a model that is not terminating."""
    pods = objects(kubectl, "pods", "-n", "ml-models", "-l", f"serving.kserve.io/inferenceservice={name}")
    (pod,) = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return pod


def test_the_readme_curl_line_answers(settings: Settings) -> None:
    result = subprocess.run(demo.curl(settings), capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {"predictions": [0, 2]}


def test_the_second_model_answers_too(settings: Settings) -> None:
    result = subprocess.run(demo.curl(settings, "churn-classifier"), capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {"predictions": [1, 0]}


@pytest.mark.parametrize("name", demo.QUESTIONS)
def test_every_place_names_the_serving_version(kubectl: Kubectl, settings: Settings, name: str) -> None:
    """Bucket, InferenceService, pod and the server's model metadata have the same digest."""
    folder = settings.state / "models" / name / "v1"
    sha256 = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    service = json.loads(kubectl("get", "inferenceservice", name, "-n", "ml-models", "-o", "json"))
    pod = pod_of(kubectl, name)
    digest = service["metadata"]["annotations"]["kserve.hashfoundry.io/digest"]
    for thing in (service, pod):
        assert thing["metadata"]["annotations"]["kserve.hashfoundry.io/digest"] == digest
        labels = thing["metadata"]["labels"]
        assert labels["kserve.hashfoundry.io/version"] == "v1"
        assert digest.startswith(f"sha256:{labels['kserve.hashfoundry.io/digest']}")
    proxy = f"/api/v1/namespaces/ml-models/services/http:{name}-predictor:80/proxy/v2/models/{name}"
    answer = json.loads(kubectl("get", "--raw", proxy))
    assert answer["versions"] == ["v1"]
    assert answer["properties"] == {"sha256": sha256, "digest": digest}


def test_v2_returns_the_same_predictions(ask: Callable[..., Answer]) -> None:
    tensor = {"name": "rows", "shape": [2, 4], "datatype": "FP64", "data": [value for row in ROWS for value in row]}
    status, body = ask(V2, json.dumps({"inputs": [tensor]}))
    assert status == 200
    assert body["outputs"][0]["data"] == [0, 2]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (V1, "not JSON"),
        (V1, "{}"),
        (V1, '{"instances": []}'),
        (V1, '{"instances": [[1, 2, 3]]}'),
        (V1, '{"instances": [[1, 2, 3, 4, 5]]}'),
        (V1, '{"instances": [[1, 2, 3, "four"]]}'),
        (V1, '{"instances": [[1, 2, 3, null]]}'),
        (V1, '{"instances": [[1, 2, 3, [4]]]}'),
        (V1, '{"instances": "rows"}'),
        (V1, "[1, 2, 3, 4]"),
        (V1, ""),
        (V2, "{}"),
        (V2, '{"inputs": []}'),
        (V2, '{"inputs": [{"name": "rows", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}]}'),
        (V2, '{"inputs": [{"name": "rows", "shape": [2, 4], "datatype": "FP64", "data": [1, 2, 3, 4]}]}'),
    ],
)
@pytest.mark.parametrize("header", ["Content-Type: application/json", "Content-Type:", "Content-Type: text/plain"])
def test_invalid_input_is_a_client_error(ask: Callable[..., Answer], path: str, body: str, header: str) -> None:
    status, answer = ask(path, body, header)
    assert status == 400, answer
    text = answer["error"] if isinstance(answer, dict) else answer
    assert len(text) > 20
    assert "Traceback" not in text


def test_a_client_without_the_ca_does_not_trust_it(ask: Callable[..., Answer]) -> None:
    status, answer = ask(V1, "{}", ca=Path("/etc/ssl/certs/ca-certificates.crt"))
    assert status < 0
    assert "certificate" in answer.lower()


def test_another_host_is_not_routed_to_the_model(ask: Callable[..., Answer]) -> None:
    status, _body = ask(V1, json.dumps({"instances": ROWS}), host="nothing.ml.hashfoundry.local")
    # Envoy has no certificate for a host without a route, so the TLS handshake fails.
    assert status == 404 or status < 0


def unready(pods: list[Any]) -> list[tuple[str, str]]:
    return [
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in pods
        if pod["status"]["phase"] != "Succeeded"
        and not any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    ]


def test_every_pod_is_ready(kubectl: Kubectl) -> None:
    def look() -> list[Any]:
        return [pod for pod in objects(kubectl, "pods", "-A") if not pod["metadata"].get("deletionTimestamp")]

    # A probe may miss its second on a busy machine.
    wait_until(lambda: unready(look()), lambda names: not names, 60, pause=1, what="every pod is ready")
    pods = look()
    namespaces = {pod["metadata"]["namespace"] for pod in pods}
    assert {"kube-system", "kserve", "ml-models", "object-storage", "projectcontour"} <= namespaces
    names = " ".join(pod["metadata"]["name"] for pod in pods)
    assert all(program in names for program in ("coredns", "kube-proxy", "envoy", "contour", "kserve-controller"))


def test_the_metrics_are_where_no_route_leads(kubectl: Kubectl, settings: Settings) -> None:
    service = json.loads(kubectl("get", "inferenceservice", "iris-classifier", "-n", "ml-models", "-o", "json"))
    labels = {
        "digest": service["metadata"]["annotations"]["kserve.hashfoundry.io/digest"],
        "model_name": "iris-classifier",
        "version": "v1",
    }
    written = ",".join(f'{name}="{value}"' for name, value in labels.items())
    assert f"model_server_model_info{{{written}}} 1.0" in metrics_of(kubectl, "iris-classifier")
    assert status_of(settings, HOST, "/v1/models/iris-classifier") == 200
    assert status_of(settings, HOST, "/metrics") == 404


def test_there_is_one_default_storage_class(kubectl: Kubectl) -> None:
    classes = objects(kubectl, "storageclasses")
    default = "storageclass.kubernetes.io/is-default-class"
    assert [item["metadata"].get("annotations", {}).get(default) for item in classes].count("true") == 1


def test_the_model_pod_is_kserves_and_restricted(kubectl: Kubectl) -> None:
    namespace = json.loads(kubectl("get", "namespace", "ml-models", "-o", "json"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert objects(kubectl, "resourcequota", "-n", "ml-models")
    assert objects(kubectl, "limitrange", "-n", "ml-models")
    pod = pod_of(kubectl, "iris-classifier")
    (container,) = pod["spec"]["containers"]
    (initializer,) = pod["spec"]["initContainers"]
    assert "sklearnserver" in container["image"]
    assert initializer["image"].endswith("kserve/storage-initializer:v0.20.0")
    assert initializer["args"][0] == f"s3://{BUCKET}/iris-classifier/v1/"
    assert set(container["resources"]) >= {"requests", "limits"}


@pytest.fixture
def rejected(settings: Settings) -> Callable[..., str]:
    """Send a request to the API server by kubectl that it must reject, and return its message."""

    def ask_for(*words: str, manifest: dict[str, Any] | None = None) -> str:
        command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}", *words]
        result = subprocess.run(
            command, input=yaml.safe_dump(manifest or {}), capture_output=True, text=True, check=False
        )
        assert result.returncode != 0, result.stdout
        return result.stderr

    return ask_for


def test_the_namespace_rejects_a_pod_that_is_not_restricted(rejected: Callable[..., str]) -> None:
    message = rejected("run", "root", "-n", "ml-models", "--image=none.invalid/none", "--dry-run=server")
    assert "violates PodSecurity" in message


def test_each_model_has_one_route_of_the_collection(kubectl: Kubectl) -> None:
    services = objects(kubectl, "inferenceservices.serving.kserve.io", "-n", "ml-models")
    urls = {service["metadata"]["name"]: service["status"]["url"] for service in services}
    assert urls == {name: f"https://{name}.{demo.DOMAIN}" for name in demo.QUESTIONS}
    routes = objects(kubectl, "httproutes", "-n", "ml-models")
    hosts = {route["metadata"]["name"]: route["spec"]["hostnames"] for route in routes}
    assert hosts == {f"{name}.public": [f"{name}.{demo.DOMAIN}"] for name in demo.QUESTIONS}
    for route in routes:
        (parent,) = route["status"]["parents"]
        accepted = {condition["type"]: condition["status"] for condition in parent["conditions"]}
        assert accepted["Accepted"] == accepted["ResolvedRefs"] == "True"


def test_the_webhooks_reject_what_kserve_does_not_allow(rejected: Callable[..., str]) -> None:
    predictor = {"minReplicas": 3, "maxReplicas": 1, "model": {"modelFormat": {"name": "sklearn"}}}
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "refused", "namespace": "ml-models"},
        "spec": {"predictor": predictor},
    }
    message = rejected("create", "--dry-run=server", "-f", "-", manifest=service)
    assert 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied' in message


def test_the_bucket_contains_the_trained_models(settings: Settings) -> None:
    store = s3_client(settings)
    listed = store.list_objects_v2(Bucket=BUCKET)["Contents"]
    keys = sorted(entry["Key"] for entry in listed)
    files = ("manifest.json", "metadata.json", "model.joblib")
    assert keys == [f"{name}/v1/{file}" for name in ("churn-classifier", "iris-classifier") for file in files]
    stored = {key.rsplit("/", 1)[1]: key for key in keys if key.startswith("iris-classifier/")}
    metadata = json.load(store.get_object(Bucket=BUCKET, Key=stored["metadata.json"])["Body"])
    model = store.get_object(Bucket=BUCKET, Key=stored["model.joblib"])["Body"].read()
    assert hashlib.sha256(model).hexdigest() == metadata["model_file"]["sha256"]
    assert metadata["name"] == "iris-classifier"
    assert metadata["cross_validation"]["mean"] >= 0.95


def test_site_works_in_check_mode(playbook: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = playbook("playbooks/site.yml", "--check", "--diff")
    assert result.returncode == 0, reason(result)
    assert "changed=0" in result.stdout
