# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the components of a serving platform are identified in a cluster: one row each, and pure functions.

Names and labels are those of the components' own manifests and charts. This file is private to the collection and may
change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.workloads import (
    ca_bundle_problem,
    readiness_problem,
)

Json = Mapping[str, Any]

VERSION = "app.kubernetes.io/version"
_TAG = re.compile(r":(v?\d+\.\d+[\w.+-]*)(?:@|$)")


@dataclass(frozen=True)
class Component:
    """How a component is identified.

    crd: its main CRD; kinds: those that must be served, by API version; deployments: the selector of
    its Deployments, none for one that has no program; image: what the names of their images hold; bundle: the
    annotation of the CRD that has the version; probe: an object that its webhooks must accept.
    """

    crd: str
    kinds: tuple[tuple[str, str], ...]
    deployments: str = ""
    image: str = ""
    bundle: str = ""
    probe: Json | None = field(default=None, compare=False)

    @property
    def groups(self) -> set[str]:
        """The API groups of its kinds."""
        return {api_version.partition("/")[0] for api_version, _kind in self.kinds}


def _probe(api_version: str, kind: str, spec: Json, namespace: str = "") -> Json:
    metadata = {"name": "platform-probe", **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


# Knative's webhook has the pod tried, too, in a namespace that may hold it to the Pod Security Standard restricted.
_CONTAINER = {
    "name": "kserve-container",
    "image": "hashfoundry.local/nothing",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}

COMPONENTS = {
    "kserve": Component(
        "inferenceservices.serving.kserve.io",
        (
            ("serving.kserve.io/v1beta1", "InferenceService"),
            ("serving.kserve.io/v1alpha1", "ServingRuntime"),
            ("serving.kserve.io/v1alpha1", "ClusterServingRuntime"),
        ),
        "control-plane=kserve-controller-manager",
        "kserve-controller",
        probe=_probe("serving.kserve.io/v1alpha1", "ClusterServingRuntime", {"containers": [_CONTAINER]}),
    ),
    "knative_serving": Component(
        "services.serving.knative.dev",
        (
            ("serving.knative.dev/v1", "Service"),
            ("serving.knative.dev/v1", "Revision"),
            ("networking.internal.knative.dev/v1alpha1", "Ingress"),
        ),
        "app.kubernetes.io/name=knative-serving,!networking.knative.dev/ingress-provider",
        "/serving/",
        probe=_probe(
            "serving.knative.dev/v1",
            "Service",
            {"template": {"spec": {"containers": [_CONTAINER]}}},
            "knative-serving",
        ),
    ),
    "net_kourier": Component(
        "ingresses.networking.internal.knative.dev",
        (("networking.internal.knative.dev/v1alpha1", "Ingress"),),
        # Its gateway is an Envoy.
        "networking.knative.dev/ingress-provider=kourier",
    ),
    "net_istio": Component(
        "ingresses.networking.internal.knative.dev",
        (("networking.internal.knative.dev/v1alpha1", "Ingress"),),
        "networking.knative.dev/ingress-provider=istio",
        "net-istio",
    ),
    "istio": Component(
        "virtualservices.networking.istio.io",
        (("networking.istio.io/v1", "VirtualService"), ("networking.istio.io/v1", "Gateway")),
        "app=istiod",
        "pilot",
        probe=_probe(
            "networking.istio.io/v1",
            "VirtualService",
            {"hosts": ["platform-probe"], "http": [{"route": [{"destination": {"host": "platform-probe"}}]}]},
            "default",
        ),
    ),
    "gateway_api": Component(
        "gateways.gateway.networking.k8s.io",
        (
            ("gateway.networking.k8s.io/v1", "GatewayClass"),
            ("gateway.networking.k8s.io/v1", "Gateway"),
            ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ),
        bundle="gateway.networking.k8s.io/bundle-version",
    ),
    "contour": Component(
        "contourdeployments.projectcontour.io",
        (("projectcontour.io/v1alpha1", "ContourDeployment"),),
        "control-plane=contour-gateway-provisioner",
        "contour",
    ),
    "cert_manager": Component(
        "certificates.cert-manager.io",
        (
            ("cert-manager.io/v1", "Certificate"),
            ("cert-manager.io/v1", "Issuer"),
            ("cert-manager.io/v1", "ClusterIssuer"),
        ),
        "app.kubernetes.io/name in (cert-manager,webhook,cainjector)",
        "cert-manager",
        probe=_probe("cert-manager.io/v1", "ClusterIssuer", {"selfSigned": {}}),
    ),
    # The labels of its Deployment depend on how it was installed; the condition of a Prometheus says whether it works.
    "prometheus_operator": Component(
        "prometheuses.monitoring.coreos.com",
        (
            ("monitoring.coreos.com/v1", "Prometheus"),
            ("monitoring.coreos.com/v1", "ServiceMonitor"),
            ("monitoring.coreos.com/v1", "PodMonitor"),
            ("monitoring.coreos.com/v1", "PrometheusRule"),
        ),
        bundle="operator.prometheus.io/version",
    ),
    "keda": Component("scaledobjects.keda.sh", (("keda.sh/v1alpha1", "ScaledObject"),), "app=keda-operator", "keda"),
}


def select_deployments(component: Component, deployments: Iterable[Json]) -> list[Json]:
    """Return the Deployments that are the component's: the selector may find others of the same labels."""
    return [thing for thing in deployments if any(component.image in image for image in _images(thing))]


def version(component: Component, crd: Json | None, deployments: Iterable[Json]) -> str | None:
    """Return the version in the labels, or else in the tags of the images; None where there is none."""
    if component.bundle:
        return ((crd or {}).get("metadata", {}).get("annotations") or {}).get(component.bundle)
    things = list(deployments)
    labels = ((thing["metadata"].get("labels") or {}).get(VERSION) for thing in things)
    tags = (_TAG.search(image) for thing in things for image in _images(thing) if component.image in image)
    found = (*labels, *(tag[1] for tag in tags if tag))
    return next((text for text in found if text), None)


def managers(crd: Json | None) -> list[str]:
    """Return the field managers that have applied the CRD."""
    entries = (crd or {}).get("metadata", {}).get("managedFields") or ()
    return sorted({entry["manager"] for entry in entries if entry.get("operation") == "Apply"})


def _images(deployment: Json) -> list[str]:
    containers = deployment["spec"]["template"]["spec"].get("containers") or ()
    return [str(container.get("image")) for container in containers]


def missing_kinds(component: Component, served: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Say which kinds are not served."""
    known = set(served)
    for api_version, kind in component.kinds:
        if (api_version, kind) not in known:
            yield f"the cluster does not serve {kind} in {api_version}"


def deployment_problems(deployments: Iterable[Json]) -> Iterator[str]:
    """Say which Deployments are not rolled out."""
    for thing in deployments:
        metadata = thing["metadata"]
        if thing["spec"].get("replicas", 1) == 0:
            yield f"Deployment {metadata['namespace']}/{metadata['name']} is scaled to zero"
        elif verdict := readiness_problem("apps", "Deployment", thing):
            yield f"Deployment {metadata['namespace']}/{metadata['name']} is not ready: {verdict.message.rstrip('.')}"


def service_webhooks(groups: set[str], configurations: Iterable[Json]) -> Iterator[tuple[str, Json]]:
    """Return name and clientConfig of the webhooks that a Service answers for one of the API groups."""
    for configuration in configurations:
        for webhook in configuration.get("webhooks") or ():
            covered = {group for rule in webhook.get("rules") or () for group in rule.get("apiGroups") or ()}
            client = webhook.get("clientConfig") or {}
            if covered & groups and "service" in client:
                yield webhook["name"], client


def webhook_problems(name: str, client: Json, slices: Iterable[Json]) -> Iterator[str]:
    """Say why a webhook cannot answer: no CA certificate to verify it by, or no endpoint behind its Service."""
    if why := ca_bundle_problem(client.get("caBundle")):
        yield f"the caBundle of webhook {name} {why}"
    service = client["service"]
    endpoints = (endpoint for one in slices for endpoint in one.get("endpoints") or ())
    # A condition that is absent counts as true (discovery.k8s.io/v1).
    if not any((endpoint.get("conditions") or {}).get("ready") is not False for endpoint in endpoints):
        yield f"the Service {service['namespace']}/{service['name']} of webhook {name} has no endpoint that is ready"
