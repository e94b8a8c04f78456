# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each exposure of a model, tested over TLS from outside the cluster; Contour is the ingress controller."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from local.settings import REPOSITORY, Settings
from tests.integration.conftest import OnNode, reason

from .gateway_load import CUT, ROWS, Client, load, status, wrong
from .helpers import wait_until
from .trap_cluster import SERVES, Cluster, Json, cluster, service

DOMAIN = "ml.hashfoundry.local"
BODY = json.dumps(ROWS)
PATHS = yaml.safe_load((REPOSITORY / "roles/model_exposure/defaults/main.yml").read_text())["model_exposure_paths"]
INFER = {
    "inputs": [
        {"name": "rows", "shape": [2, 4], "datatype": "FP64", "data": [*ROWS["instances"][0], *ROWS["instances"][1]]}
    ]
}
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
Expose = Callable[..., str]


@pytest.fixture(scope="module")
def made(settings: Settings) -> Iterator[Cluster]:
    """A namespace with a served model of the same name, so that its host is unique; KServe has made its routes."""
    folder = settings.state / "models" / "iris-classifier" / "v1"
    files = {f"v1/{name}": (folder / name).read_bytes() for name in ("model.joblib", "metadata.json")}
    with cluster(settings, files) as found:
        uri = {"storageUri": f"s3://{found.namespace}/v1/"}
        found.apply(service(found.namespace, found.namespace, model=uri))
        assert not found.run(found.namespace, **SERVES).failed
        yield found


@pytest.fixture(scope="module")
def host(made: Cluster) -> str:
    return f"{made.namespace}.{DOMAIN}"


@pytest.fixture(scope="module")
def expose(made: Cluster, playbook: Playbook) -> Expose:
    """Set the model's exposure by the label of the role model_serving and by model_exposure, and return the output."""

    def run(exposure: str, *, model: Json | None = None, **variables: Any) -> str:
        label = {"metadata": {"labels": {"networking.kserve.io/visibility": "cluster-local"}}}
        words = ("patch", "inferenceservice", made.namespace, "-n", made.namespace, "--type=merge")
        made.kubectl(*words, "-p", json.dumps(label))
        # As the role model_serving waits, so that model_exposure can correct a route.
        assert not made.run(made.namespace, **SERVES, routes=False).failed
        given = {
            "model_exposure_namespace": made.namespace,
            "model_exposure_models": [{"name": made.namespace, "exposure": exposure, **(model or {})}],
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


def test_the_change_from_the_routes_of_kserve_loses_no_request(
    made: Cluster, host: str, expose: Expose, ask: Callable[[], str], settings: Settings
) -> None:
    wait_until(ask, predicts, what="the model answers")
    assert names(made, "httproutes") == [made.namespace, f"{made.namespace}-predictor"]
    assert status(settings, host, "GET", "/v2/models") == 200  # KServe's route admits every path
    with load(settings, host) as answers:
        # The HTTPRoute is created, and KServe's two are deleted.
        assert "changed=2" in expose("gateway")
        time.sleep(2)
    assert wrong(answers) == {}
    assert names(made, "httproutes") == [f"{made.namespace}.public"]
    assert "changed=0" in expose("gateway")


def test_the_gateway_admits_the_public_paths_only(made: Cluster, host: str, settings: Settings) -> None:
    bodies = {"predict": ROWS, "infer": INFER}
    for public in PATHS:
        path = public["path"].replace("{name}", made.namespace).replace("{version}", "v1")
        body = next((body for end, body in bodies.items() if path.endswith(end)), None)
        assert status(settings, host, public["method"], path, body) == 200, path
    hidden = ("/", "/metrics", "/docs", "/openapi.json", "/v1/models", "/v2/models", "/v2/repository/index", "/v1")
    for path in (*hidden, f"/v1/models/{made.namespace}:explain", f"/v2/models/{made.namespace}/versions/v1/x/y"):
        for method in ("GET", "POST"):
            # The server's answer would have a body.
            assert Client(settings, host).ask(method, path) == (404, b""), (method, path)


def test_a_timeout_of_a_model_ends_a_request(
    made: Cluster, host: str, expose: Expose, ask: Callable[[], str], settings: Settings
) -> None:
    path, many = f"/v1/models/{made.namespace}:predict", {"instances": ROWS["instances"] * 20_000}
    assert status(settings, host, "POST", path, many) == 200
    assert "changed=1" in expose("gateway", model={"timeout": "10ms"})
    wait_until(lambda: status(settings, host, "POST", path, many), lambda found: found == 504, 30, what="504")
    assert "changed=1" in expose("gateway")
    wait_until(ask, predicts, what="the model answers")


def kill_server(made: Cluster, on_node: OnNode) -> str:
    """Kill the server of one of the model's pods, as the kernel does for lack of memory, and return the pod's name."""
    pod = next(pod for pod in made.owned(made.namespace, "pods") if not pod["metadata"].get("deletionTimestamp"))
    uid = pod["metadata"]["uid"]
    pattern = f"{uid}|{uid.replace('-', '_')}"
    script = (
        f"for group in $(grep -lsE '{pattern}' /proc/[0-9]*/cgroup); do"
        " process=${group%/cgroup}; grep -qs python $process/cmdline && kill -9 ${process#/proc/}; done; true"
    )
    before = restarts(made, pod["metadata"]["name"])
    on_node("sh", "-c", script)
    name = str(pod["metadata"]["name"])
    wait_until(lambda: restarts(made, name), lambda now: now > before, 60, what="the server is restarted")
    return name


def restarts(made: Cluster, pod: str) -> int:
    return int(made.get("pod", pod)["status"]["containerStatuses"][0]["restartCount"])


# Until the pod is not Ready, half of the retries reach it again. The load is as much as the two servers can answer.
@pytest.mark.parametrize(("retries", "loses"), [(0, True), (10, False)])
def test_retries_answer_the_requests_of_a_killed_pod(
    made: Cluster, host: str, expose: Expose, settings: Settings, on_node: OnNode, retries: int, loses: bool
) -> None:
    two = {"spec": {"predictor": {"minReplicas": 2}}}
    words = ("patch", "inferenceservice", made.namespace, "-n", made.namespace, "--type=merge")
    made.kubectl(*words, "-p", json.dumps(two))
    expose("gateway", model={"retries": retries})
    time.sleep(1)  # Envoy has the route as soon as Contour
    workers = 8
    with load(settings, host, workers, pause=0) as answers:
        time.sleep(2)
        kill_server(made, on_node)
        time.sleep(2)
    lost = wrong(answers)
    assert lost.pop(CUT, 0) <= workers, answers
    assert bool(lost) is loses, answers
    assert not made.run(made.namespace, **SERVES).failed


def test_an_ingress_exposes_it_with_its_own_certificate(
    made: Cluster, host: str, expose: Expose, ask: Callable[[], str], settings: Settings
) -> None:
    secret = json.loads(made.kubectl("get", "secret", "models-tls", "-n", "projectcontour", "-o", "json"))
    metadata = {"name": "models-tls", "namespace": made.namespace}
    made.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **{k: secret[k] for k in ("type", "data")}})
    # The Ingress is created, and the HTTPRoute is deleted by the same task.
    assert "changed=1" in expose("ingress")
    assert names(made, "httproutes") == []
    (ingress,) = json.loads(made.kubectl("get", "ingress", "-n", made.namespace, "-o", "json"))["items"]
    assert ingress["spec"]["ingressClassName"] == "contour"
    assert ingress["spec"]["tls"] == [{"hosts": [host], "secretName": "models-tls"}]
    assert not any("nginx" in key for key in ingress["metadata"]["annotations"])
    wait_until(ask, predicts, what="the model answers")
    assert Client(settings, host).ask("GET", "/metrics") == (404, b"")
    assert "changed=0" in expose("ingress")


def test_without_exposure_it_is_cluster_local(made: Cluster, expose: Expose, ask: Callable[[], str]) -> None:
    assert "changed=1" in expose("none")
    assert names(made, "ingresses") == names(made, "httproutes") == []
    # Envoy has no certificate for a host without a route, so the TLS handshake fails.
    wait_until(ask, lambda printed: "curl: (35)" in printed, what="the TLS handshake fails")
    path = f"/api/v1/namespaces/{made.namespace}/services/{made.namespace}-predictor:80/proxy"
    found = made.kubectl("get", "--raw", f"{path}/v1/models/{made.namespace}")
    assert json.loads(found)["ready"] is True


def test_it_returns_to_the_gateway(made: Cluster, expose: Expose, ask: Callable[[], str]) -> None:
    assert "changed=1" in expose("gateway")
    wait_until(ask, predicts, what="the model answers")


def test_a_route_that_no_gateway_accepts_is_an_error_until_it_is_corrected(
    made: Cluster, playbook: Playbook, expose: Expose, ask: Callable[[], str]
) -> None:
    given = {
        "model_exposure_namespace": made.namespace,
        "model_exposure_models": [{"name": made.namespace}],
        "model_exposure_gateway": "projectcontour/nowhere",
        "model_exposure_timeout": 5,
    }
    tags = ("--tags", "cluster_preflight,model_exposure")
    result = playbook("playbooks/serving.yml", *tags, "-e", json.dumps(given))
    assert result.returncode != 0
    printed = " ".join(result.stdout.split())
    assert f"HTTPRoute {made.namespace}/{made.namespace}.public is not ready after 5 seconds" in printed
    assert "check that its Gateway exists" in printed
    assert made.run(made.namespace, timeout=0).verdict == ("progressing", "RouteNotAccepted")
    assert "changed=1" in expose("gateway")
    wait_until(ask, predicts, what="the model answers")
    assert not made.run(made.namespace, timeout=0).failed


def test_the_route_belongs_to_the_model(made: Cluster) -> None:
    (route,) = json.loads(made.kubectl("get", "httproutes", "-n", made.namespace, "-o", "json"))["items"]
    owner = made.get("inferenceservice", made.namespace)["metadata"]
    (reference,) = route["metadata"]["ownerReferences"]
    assert (reference["name"], reference["uid"]) == (owner["name"], owner["uid"])


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


def test_a_deleted_model_has_no_route(made: Cluster) -> None:
    made.kubectl("delete", "inferenceservice", made.namespace, "-n", made.namespace)
    wait_until(lambda: names(made, "httproutes"), lambda found: found == [], 60, what="its HTTPRoute is deleted")
