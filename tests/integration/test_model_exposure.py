# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each exposure of a model, tested over TLS from outside the cluster; Contour is the ingress controller."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.settings import Settings
from tests.integration.conftest import reason

from .helpers import wait_until
from .trap_cluster import SERVES, Cluster, Json, cluster, service

DOMAIN = "ml.hashfoundry.local"
BODY = '{"instances": [[5.1,3.5,1.4,0.2],[6.7,3.1,5.6,2.4]]}'
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def made(settings: Settings) -> Iterator[Cluster]:
    """A namespace with a served model of the same name, so that its host is unique."""
    model = settings.state / "models" / "iris-classifier" / "v1" / "model.joblib"
    with cluster(settings, {"v1/model.joblib": model.read_bytes()}) as found:
        uri = {"storageUri": f"s3://{found.namespace}/v1/"}
        found.apply(service(found.namespace, found.namespace, model=uri))
        assert not found.run(found.namespace, **SERVES).failed
        yield found


@pytest.fixture(scope="module")
def expose(made: Cluster, playbook: Playbook) -> Callable[[str], str]:
    """Set the model's exposure by the roles model_serving and model_exposure, and return the output."""

    def run(exposure: str, **variables: Any) -> str:
        closed = None if exposure == "gateway" else "cluster-local"
        label = {"metadata": {"labels": {"networking.kserve.io/visibility": closed}}}
        words = ("patch", "inferenceservice", made.namespace, "-n", made.namespace, "--type=merge")
        made.kubectl(*words, "-p", json.dumps(label))
        assert not made.run(made.namespace, **SERVES).failed
        given = {
            "model_exposure_namespace": made.namespace,
            "model_exposure_models": [{"name": made.namespace, "exposure": exposure}],
            **variables,
        }
        tags = ("--tags", "cluster_preflight,model_exposure")
        result = playbook("playbooks/serving.yml", *tags, "-e", json.dumps(given))
        assert result.returncode == 0, reason(result)
        return result.stdout

    return run


@pytest.fixture(scope="module")
def ask(made: Cluster, settings: Settings) -> Callable[[], str]:
    """Send a prediction request by curl from outside the cluster: the predictions, or curl's error."""

    def post() -> str:
        authority = f"{made.namespace}.{DOMAIN}:{settings.https_port}"
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "10"]
        command += ["--cacert", str(settings.state / "ca.crt"), "--resolve", f"{authority}:127.0.0.1"]
        command += ["-H", "Content-Type: application/json", "--data-binary", BODY]
        address = f"https://{authority}/v1/models/{made.namespace}:predict"
        result = subprocess.run([*command, address], capture_output=True, text=True, check=False)
        return result.stderr or result.stdout

    return post


def predicts(answer: str) -> bool:
    return '"predictions":[0,2]' in answer.replace(" ", "")


def names(made: Cluster, kind: str) -> list[str]:
    listed: list[Json] = json.loads(made.kubectl("get", kind, "-n", made.namespace, "-o", "json"))["items"]
    return sorted(thing["metadata"]["name"] for thing in listed)


def test_the_gateway_exposes_a_model(made: Cluster, ask: Callable[[], str]) -> None:
    wait_until(ask, predicts, what="the model answers")
    assert names(made, "httproutes") == [made.namespace, f"{made.namespace}-predictor"]


def test_an_ingress_exposes_it_with_its_own_certificate(
    made: Cluster, expose: Callable[..., str], ask: Callable[[], str], settings: Settings
) -> None:
    secret = json.loads(made.kubectl("get", "secret", "models-tls", "-n", "projectcontour", "-o", "json"))
    metadata = {"name": "models-tls", "namespace": made.namespace}
    made.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **{k: secret[k] for k in ("type", "data")}})
    assert "changed=2" in expose("ingress")  # the Ingress is created, and KServe's two routes are deleted
    assert names(made, "httproutes") == []
    (ingress,) = json.loads(made.kubectl("get", "ingress", "-n", made.namespace, "-o", "json"))["items"]
    assert ingress["spec"]["ingressClassName"] == "contour"
    assert ingress["spec"]["tls"] == [{"hosts": [f"{made.namespace}.{DOMAIN}"], "secretName": "models-tls"}]
    assert not any("nginx" in key for key in ingress["metadata"]["annotations"])
    wait_until(ask, predicts, what="the model answers")
    assert "changed=0" in expose("ingress")


def test_without_exposure_it_is_cluster_local(
    made: Cluster, expose: Callable[..., str], ask: Callable[[], str]
) -> None:
    assert "changed=1" in expose("none")
    assert names(made, "ingresses") == names(made, "httproutes") == []
    # Envoy has no certificate for a host without a route, so the TLS handshake fails.
    wait_until(ask, lambda printed: "curl: (35)" in printed, what="the TLS handshake fails")
    path = f"/api/v1/namespaces/{made.namespace}/services/{made.namespace}-predictor:80/proxy"
    found = made.kubectl("get", "--raw", f"{path}/v1/models/{made.namespace}")
    assert json.loads(found)["ready"] is True


def test_it_returns_to_the_gateway(made: Cluster, expose: Callable[..., str], ask: Callable[[], str]) -> None:
    assert "changed=0" in expose("gateway")  # KServe writes the routes itself
    wait_until(ask, predicts, what="the model answers")


def test_an_unsupported_exposure_is_rejected_in_one_sentence(made: Cluster, playbook: Playbook) -> None:
    for exposure, more, sentence in (
        ("public", {}, "is public. Set it to one of gateway, ingress, none."),
        ("ingress", {"model_exposure_ingress_class": "nowhere"}, "The IngressClass nowhere was not found."),
    ):
        models = [{"name": made.namespace, "exposure": exposure}]
        given = {"model_exposure_namespace": made.namespace, "model_exposure_models": models, **more}
        tags = ("--tags", "cluster_preflight,model_exposure")
        result = playbook("playbooks/serving.yml", *tags, "-e", json.dumps(given))
        assert result.returncode != 0
        assert sentence in " ".join(result.stdout.split())
    assert names(made, "ingresses") == []
