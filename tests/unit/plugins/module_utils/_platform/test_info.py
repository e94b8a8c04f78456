# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform import components
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.components import COMPONENTS
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.info import platform_info

from ..platform_fixtures import SLICES, VALIDATING, Platform, authority, deployment, kserve, webhook


def component(api: Platform, name: str = "kserve", verify: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = platform_info(api, [name], verify)["components"][name]
    return found


def test_a_healthy_kserve() -> None:
    result = platform_info(api := kserve(), ["kserve", "istio"], verify=False)
    assert result["cluster"] == {"uid": "cluster-uid", "version": "v1.35.4"} and result["changed"] is False
    assert result["components"]["kserve"] == {
        "installed": True,
        "version": "v0.20.0",
        "namespace": "kserve",
        "uid": "uid-of-inferenceservices.serving.kserve.io",
        "managers": [],
        "deployments": ["kserve-controller-manager"],
        "problems": [],
    }
    absent = {
        **{"installed": False, "version": None, "namespace": None, "uid": None},
        **{"managers": [], "deployments": [], "problems": []},
    }
    assert result["components"]["istio"] == absent
    # It is healthy, so no probe was sent.
    assert api.applied == []
    assert component(api)["problems"] == []
    path = "/apis/serving.kserve.io/v1alpha1/clusterservingruntimes/platform-probe"
    assert api.applied == [(path, {"fieldManager": "hashfoundry.kserve", "dryRun": "All"})]
    assert platform_info(api, [], verify=True)["components"] == {}


def test_where_the_api_server_is() -> None:
    api = kserve()
    assert platform_info(api, [], verify=False)["api_server"] is None
    slices = api.lists.setdefault("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", [])
    found = platform_info(api, [], verify=False, api_server=True)["api_server"]
    assert found == {"addresses": [], "port": None}
    slices.append({"endpoints": [{"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.2"]}], "ports": [{"port": 6443}]})
    slices.append({"endpoints": None, "ports": None})
    found = platform_info(api, [], verify=False, api_server=True)["api_server"]
    assert found == {"addresses": ["10.0.0.2", "10.0.0.3"], "port": 6443}


@pytest.mark.parametrize(
    ("bundle", "says"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("%", "is not a PEM certificate"),
        (base64.b64encode(b"no PEM").decode(), "is not a PEM certificate"),
        (
            base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode(),
            "is not a PEM certificate",
        ),
    ],
)
def test_an_invalid_ca_bundle(bundle: str | None, says: str) -> None:
    api = kserve()
    api.lists[VALIDATING] = [webhook(bundle)]
    assert component(api)["problems"] == [f"the caBundle of webhook validator.kserve {says}"]
    # No probe is sent to a webhook that cannot answer.
    assert api.applied == []


def test_webhooks_of_other_services_or_urls_are_ignored() -> None:
    api = kserve()
    elsewhere, outside = webhook(None), webhook(None)
    elsewhere["webhooks"][0]["rules"] = [{"apiGroups": ["apps"]}]
    outside["webhooks"][0]["clientConfig"] = {"url": "https://example.com"}
    api.lists[VALIDATING] = [elsewhere, outside, webhook(authority())]
    assert component(api)["problems"] == []


@pytest.mark.parametrize("endpoints", [[], [{"conditions": {"ready": False}}], None])
def test_a_webhook_without_endpoints(endpoints: Any) -> None:
    api = kserve()
    api.lists[SLICES] = [{"endpoints": endpoints}]
    says = "the Service kserve/webhook of webhook validator.kserve has no endpoint that is ready"
    assert component(api)["problems"] == [says]


def test_other_faults() -> None:
    api = kserve()
    api.refusals = [ApiError("The API server answered 500: x509: certificate signed by unknown authority.", 500)]
    [problem] = component(api)["problems"]
    assert problem.startswith("a dry run of ClusterServingRuntime platform-probe is not accepted: The API server")

    api = kserve()
    api.deployments[COMPONENTS["kserve"].deployments][0]["status"]["availableReplicas"] = 0
    [problem] = component(api)["problems"]
    assert "Deployment kserve/kserve-controller-manager is not ready: 0 of 1 replicas are available" in problem

    problems = component(Platform())["problems"]
    assert "the cluster does not serve InferenceService in serving.kserve.io/v1beta1" in problems
    assert f"no Deployment has the labels {COMPONENTS['kserve'].deployments}" in problems


def test_a_component_that_is_scaled_to_zero_does_not_work() -> None:
    """Its Deployment is rolled out, and a component without webhooks has nothing else that tells."""
    api = kserve()
    api.lists[VALIDATING] = []
    (found,) = api.deployments[COMPONENTS["kserve"].deployments]
    found["spec"]["replicas"] = 0
    found["status"] = {"observedGeneration": 1}
    assert component(api)["problems"] == ["Deployment kserve/kserve-controller-manager is scaled to zero"]


@pytest.mark.parametrize(
    ("image", "label", "version"),
    [
        ("docker.io/kserve/kserve-controller:v0.20.0", None, "v0.20.0"),
        ("mirror:5000/kserve-controller:v0.20.0-rc1@sha256:abc", None, "v0.20.0-rc1"),
        ("kserve-controller@sha256:abc", None, None),
        ("kserve-controller:latest", None, None),
        ("kserve-controller:latest", "0.19.0", "0.19.0"),
        ("docker.io/kserve/kserve-controller:v0.20.0", "v0.19.0", "v0.19.0"),
    ],
)
def test_the_version_is_the_label_or_the_tag(image: str, label: str | None, version: str | None) -> None:
    api = kserve()
    labels = {components.VERSION: label} if label else {}
    api.deployments[COMPONENTS["kserve"].deployments] = [deployment("m", "kserve", image, labels)]
    assert component(api)["version"] == version


def test_a_deployment_of_another_owner_with_the_same_labels() -> None:
    api = Platform("cert_manager")
    selector = COMPONENTS["cert_manager"].deployments
    others = deployment("webhook", "theirs", "example.com/webhook:v1")
    api.deployments[selector] = [others]
    assert component(api, "cert_manager", verify=False)["installed"] is False
    mine = deployment("cert-manager", "cert-manager", "quay.io/jetstack/cert-manager-controller:v1.21.2")
    api.deployments[selector] = [others, mine]
    found = component(api, "cert_manager", verify=False)
    assert (found["version"], found["namespace"], found["deployments"]) == (
        "v1.21.2",
        "cert-manager",
        ["cert-manager"],
    )


def test_the_gateway_api_has_its_version_on_its_crds() -> None:
    api = Platform("gateway_api")
    assert component(api, "gateway_api")["version"] is None
    api.annotations = {"gateway.networking.k8s.io/bundle-version": "v1.3.0"}
    found = component(api, "gateway_api")
    assert (found["installed"], found["version"], found["problems"]) == (True, "v1.3.0", [])


def test_the_prometheus_operator_is_known_by_its_crds() -> None:
    """However it was installed: its Deployments have other labels in each manifest and chart."""
    api = Platform("prometheus_operator")
    api.annotations = {"operator.prometheus.io/version": "0.85.0"}
    api.managed = [
        {"manager": "hashfoundry.kserve.monitoring", "operation": "Apply"},
        {"manager": "helm", "operation": "Update"},
        {"manager": "kube-apiserver", "operation": "Update", "subresource": "status"},
    ]
    found = component(api, "prometheus_operator")
    assert (found["installed"], found["version"], found["problems"]) == (True, "0.85.0", [])
    assert found["managers"] == ["hashfoundry.kserve.monitoring"]
    absent = component(kserve(), "prometheus_operator")
    assert absent["installed"] is False and "Prometheus in monitoring.coreos.com/v1" in absent["problems"][0]


def test_a_crd_of_another_component_does_not_count_as_installed() -> None:
    assert component(Platform("knative_serving", "net_kourier"), "net_istio", verify=False)["installed"] is False


def test_every_probe_is_of_a_detected_crd() -> None:
    for row in COMPONENTS.values():
        if row.probe is not None:
            assert (row.probe["apiVersion"], row.probe["kind"]) in row.kinds


def test_a_missing_permission_is_reported() -> None:
    api = kserve()

    def refused(path: str) -> dict[str, Any]:
        raise ApiError("The credentials lack a permission.", 403, "forbidden")

    api.metadata = refused  # type: ignore[method-assign]
    with pytest.raises(ApiError, match="lack a permission"):
        component(api)
