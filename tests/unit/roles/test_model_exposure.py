# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTPRoutes and Ingresses of models, on an API server without KServe's controller with or without a gateway."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT

from .conftest import Run
from .http_cluster import MODEL, Cluster

ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes"
SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
INGRESSES = "/apis/networking.k8s.io/v1/namespaces/models/ingresses"
PUBLIC = f"{ROUTES}/iris.public"
ROSE = {**MODEL, "name": "rose"}
DIGESTS = {f"s3://models/{name}/v1/": f"sha256:{name}" for name in ("iris", "rose")}
DOMAIN = {"platform_domain": "example.org"}


@pytest.fixture
def gateway(api: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway accepts each HTTPRoute at once."""
    apply = api.apply

    def accepted(path: str, body: Any, **query: Any) -> dict[str, Any]:
        after = apply(path, body, **query)
        if body["kind"] == "HTTPRoute" and "dryRun" not in query:
            conditions = [{"type": kind, "status": "True"} for kind in ("Accepted", "ResolvedRefs")]
            parents = [{"parentRef": one, "conditions": conditions} for one in body["spec"]["parentRefs"]]
            for thing in (after, api.objects[path]):
                thing["status"] = {"parents": parents}
        return after

    monkeypatch.setattr(api, "apply", accepted)


def of_kserve(api: Cluster, name: str, controller: bool = True) -> dict[str, Any]:
    """An HTTPRoute as KServe creates it."""
    service = api.objects.get(f"{SERVICES}/{name.split('-')[0]}")
    owner = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": name.split("-")[0]}
    owner |= {"uid": service["metadata"]["uid"] if service else "1", **({"controller": True} if controller else {})}
    metadata = {"name": name, "namespace": "models", "uid": name, "ownerReferences": [owner], "resourceVersion": "1"}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": {}}


def routes(api: Cluster) -> set[str]:
    return {path.rpartition("/")[2] for path in api.objects if path.startswith(f"{ROUTES}/")}


def requests(route: dict[str, Any]) -> list[tuple[str, str]]:
    """Of a list of requests those that the gateway passes to the model."""
    (rule,) = route["spec"]["rules"]

    def admits(match: dict[str, Any], method: str, path: str) -> bool:
        kind, value = match["path"]["type"], match["path"]["value"]
        fits = {
            "Exact": path == value,
            "PathPrefix": path == value or path.startswith(f"{value}/"),
            "RegularExpression": bool(re.fullmatch(value, path)),
        }
        return fits[kind] and match.get("method", method) == method

    return [request for request in REQUESTS if any(admits(match, *request) for match in rule["matches"])]


ADMITTED = [
    ("GET", "/v1/models/iris"),
    ("POST", "/v1/models/iris:predict"),
    ("GET", "/v2"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/iris"),
    ("GET", "/v2/models/iris/ready"),
    ("POST", "/v2/models/iris/infer"),
    ("GET", "/v2/models/iris/versions/v1.2"),
    ("GET", "/v2/models/iris/versions/v1.2/ready"),
    ("POST", "/v2/models/iris/versions/v1.2/infer"),
]
REQUESTS = [
    *ADMITTED,
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/rose"),
    ("POST", "/v1/models/rose:predict"),
    ("GET", "/v1/models/iris:predict"),
    ("POST", "/v1/models/iris:explain"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/iris/unload"),
    ("POST", "/v2/models/iris"),
    ("GET", "/v2/models/iris/versions"),
    ("GET", "/v2/models/iris/versions/"),
    ("GET", "/v2/models/iris/versions/v1/metrics"),
    ("GET", "/v2/models/iris/versions/v1/x/ready"),
    ("POST", "/openai/v1/completions"),
]


@pytest.mark.usefixtures("serves_v1", "gateway")
def test_a_model_has_a_route_that_admits_the_public_paths_only(run: Run, api: Cluster) -> None:
    code, output = run(["model_exposure"], "v1", **DOMAIN)
    assert code == 0 and "changed=1" in output, output
    route = api.objects[PUBLIC]
    assert requests(route) == ADMITTED
    spec = route["spec"]
    assert spec["hostnames"] == ["iris.example.org"]
    gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "projectcontour", "name": "models"}
    assert spec["parentRefs"] == [gateway]
    (rule,) = spec["rules"]
    service = {"group": "", "kind": "Service", "name": "iris-predictor", "port": 80, "weight": 1}
    assert rule["backendRefs"] == [service]
    # Kubernetes deletes it with the model.
    (owner,) = route["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("InferenceService", "iris")
    assert owner["uid"] == api.models()["iris"]["metadata"]["uid"]
    assert "changed=0" in run(["model_exposure"], "v1", **DOMAIN)[1]


@pytest.mark.usefixtures("serves_v1", "gateway")
def test_an_inventory_admits_further_paths(run: Run, api: Cluster) -> None:
    more = [{"path": "/openai/*"}, {"method": "POST", "path": "/v1/models/{name}:explain"}]
    code, output = run(["model_exposure"], "v1", model_exposure_additional_paths=more, **DOMAIN)
    assert code == 0, output
    new = [("POST", "/v1/models/iris:explain"), ("POST", "/openai/v1/completions")]
    assert requests(api.objects[PUBLIC]) == [*ADMITTED, *new]


@pytest.mark.usefixtures("serves_v1", "gateway")
@pytest.mark.parametrize(
    ("own", "site", "timeout", "retries"),
    [
        ({}, {}, "60s", "2"),
        ({}, {"model_exposure_request_timeout": "1m30s", "model_exposure_retries": 5}, "1m30s", "5"),
        ({"timeout": 7, "retries": 1}, {"model_exposure_retries": 5}, "7s", "1"),
        ({"timeout": "500ms", "retries": 0}, {}, "500ms", None),
        ({}, {"model_exposure_request_timeout": 90, "model_exposure_retries": "0"}, "90s", None),
    ],
)
def test_timeout_and_retries_are_those_of_the_model_or_of_the_site(
    run: Run, api: Cluster, own: dict[str, Any], site: dict[str, Any], timeout: str, retries: str | None
) -> None:
    code, output = run(["model_exposure"], "v1", models=[{**MODEL, **own}], **site, **DOMAIN)
    assert code == 0, output
    (rule,) = api.objects[PUBLIC]["spec"]["rules"]
    assert rule["timeouts"] == {"request": timeout}
    added = [header for one in rule.get("filters", []) for header in one["requestHeaderModifier"]["set"]]
    wanted = {"x-envoy-retry-on": "connect-failure,refused-stream,reset", "x-envoy-max-retries": retries}
    assert {header["name"]: header["value"] for header in added} == (wanted if retries else {})


@pytest.mark.usefixtures("serves_v1", "gateway")
def test_the_routes_of_kserve_are_deleted_and_those_of_others_are_not(run: Run, api: Cluster) -> None:
    for name in ("iris", "iris-predictor", "rose", "rose-predictor"):
        api.objects[f"{ROUTES}/{name}"] = of_kserve(api, name)
    api.objects[f"{ROUTES}/iris-mine"] = of_kserve(api, "iris-mine", controller=False)
    before = copy.deepcopy(api.objects)
    code, output = run(["model_exposure"], "v1", "--check", **DOMAIN)
    assert code == 0 and "changed=2" in output, output
    assert api.objects == before
    code, output = run(["model_exposure"], "v1", **DOMAIN)
    assert code == 0 and "changed=2" in output, output
    # rose is not in the list, so it serves on.
    assert routes(api) == {"iris.public", "iris-mine", "rose", "rose-predictor"}


@pytest.mark.usefixtures("serves_v1")
def test_the_routes_of_kserve_stay_until_the_gateway_has_accepted_another(run: Run, api: Cluster) -> None:
    api.objects[f"{ROUTES}/iris"] = of_kserve(api, "iris")
    code, output = run(["model_exposure"], "v1", model_exposure_timeout=1, **DOMAIN)
    assert code == 2
    assert "HTTPRoute models/iris.public is not ready after 1 seconds: No gateway has accepted" in output
    assert routes(api) == {"iris", "iris.public"}


@pytest.mark.usefixtures("gateway")
def test_only_routes_of_models_with_another_exposure_or_none_are_deleted(run: Run, api: Cluster) -> None:
    listed = {"models": [MODEL, ROSE], "model_serving_digests": DIGESTS, **DOMAIN}
    assert run(["model_serving"], "v1", **listed)[0] == 2  # nothing will ever serve
    assert run(["model_exposure"], "v1", **listed)[0] == 0
    assert routes(api) == {"iris.public", "rose.public"}
    # Like its InferenceService, the route of a model that is no longer listed remains.
    assert "changed=0" in run(["model_exposure"], "v1", **listed | {"models": [MODEL]})[1]
    assert routes(api) == {"iris.public", "rose.public"}
    closed = {"models": [{**MODEL, "exposure": "none"}, {"name": "rose", "state": "absent"}]}
    code, output = run(["model_exposure"], "v1", **listed | closed)
    assert code == 0 and not routes(api), output


@pytest.mark.usefixtures("serves_v1", "gateway")
def test_an_ingress_admits_the_public_folders_only(run: Run, api: Cluster) -> None:
    api.kinds["/apis/networking.k8s.io/v1"]["IngressClass"] = ("ingressclasses", False)
    ingress_class = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"}}
    api.objects["/apis/networking.k8s.io/v1/ingressclasses/nginx"] = {**ingress_class, "spec": {"controller": "x"}}
    assert run(["model_exposure"], "v1", **DOMAIN)[0] == 0
    ingress = {"models": [{**MODEL, "exposure": "ingress"}], **DOMAIN}
    code, output = run(["model_exposure"], "v1", **ingress)
    assert code == 0 and not routes(api), output
    (rule,) = api.objects[f"{INGRESSES}/iris"]["spec"]["rules"]
    assert [(path["pathType"], path["path"]) for path in rule["http"]["paths"]] == [
        ("Prefix", "/v1/models"),
        ("Exact", "/v2"),
        ("Exact", "/v2/health/live"),
        ("Exact", "/v2/health/ready"),
        ("Prefix", "/v2/models"),
    ]
    site = {"models": [{**MODEL, "timeout": 3}], "model_exposure_default": "ingress", **DOMAIN}
    code, output = run(["model_exposure"], "v1", **site)
    assert code == 2 and "timeout of model iris is only for the exposure gateway" in output


def test_a_route_needs_the_inference_service(run: Run, api: Cluster) -> None:
    code, output = run(["model_exposure"], "v1", **DOMAIN)
    assert code == 2 and not routes(api)
    assert "its owner InferenceService models/iris is missing; create that first" in output
    code, output = run(["model_exposure"], "v1", "--check", **DOMAIN)
    assert code == 0 and "changed=1" in output, output


def test_the_api_reference_lists_the_public_paths() -> None:
    defaults = yaml.safe_load((ROOT / "roles" / "model_exposure" / "defaults" / "main.yml").read_text())
    page = (ROOT / "docs" / "docsite" / "rst" / "api_reference.rst").read_text()
    listed = re.findall(r"\* - (GET|POST)\n     - ``(\S+)``", page)
    assert listed == [(public["method"], public["path"]) for public in defaults["model_exposure_paths"]]
