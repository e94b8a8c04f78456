# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server with components of a serving platform, for the tests of platform_info."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._certificates.pki import new_authority, pem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.components import COMPONENTS

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
MUTATING = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
VALIDATING = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/kserve/endpointslices"
AVAILABLE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def deployment(name: str, namespace: str, image: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a ready Deployment."""
    containers = [{"name": "proxy", "image": "quay.io/proxy:v9"}, {"name": "manager", "image": image}]
    return {
        "metadata": {"name": name, "namespace": namespace, "generation": 1, "labels": labels or {}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": containers}}},
        "status": dict(AVAILABLE),
    }


class Platform:
    """The InfoApi port.

    deployments: by their label selector; jobs: by their paths; applied: paths and queries of applies; annotations,
    managed: of each CRD, managed are its managedFields.
    """

    def __init__(self, *served: str) -> None:
        """:param served: the components whose CRDs exist."""
        self.requests = 0
        self.served = served
        self.deployments: dict[str, list[dict[str, Any]]] = {}
        self.annotations: dict[str, str] = {}
        self.managed: list[dict[str, Any]] = []
        self.lists: dict[str, list[dict[str, Any]]] = {MUTATING: [], VALIDATING: [], SLICES: []}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.applied: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[ApiError] = []

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        if path == "/version":
            return {"gitVersion": "v1.35.4"}
        if path == "/api/v1/namespaces/kube-system":
            return {"metadata": {"uid": "cluster-uid"}}
        if path == "/apis/apps/v1/deployments":
            return {"items": copy.deepcopy(self.deployments.get(query["labelSelector"], []))}
        if path.startswith("/apis/batch/v1/"):
            if path not in self.jobs:
                raise ApiError("not found", 404, "not found")
            return copy.deepcopy(self.jobs[path])
        return {"items": copy.deepcopy(self.lists[path])}

    def discovery(self, path: str = "/apis") -> dict[str, Any]:
        kinds = {pair for name in self.served for pair in COMPONENTS[name].kinds}
        return {
            "items": [
                {
                    "metadata": {"name": api_version.partition("/")[0]},
                    "versions": [
                        {
                            "version": api_version.partition("/")[2],
                            "resources": [
                                {
                                    "resource": f"{kind.lower()}s",
                                    "responseKind": {"kind": kind},
                                    "scope": "Cluster" if kind.startswith("Cluster") else "Namespaced",
                                    "verbs": ["list"],
                                }
                            ],
                        }
                    ],
                }
                for api_version, kind in sorted(kinds)
            ]
        }

    def metadata(self, path: str) -> dict[str, Any]:
        name = path.removeprefix(CRDS)
        if name not in {COMPONENTS[key].crd for key in self.served}:
            raise ApiError("not found", 404, "not found")
        return {"metadata": {"uid": f"uid-of-{name}", "annotations": self.annotations, "managedFields": self.managed}}

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        self.applied.append((path, query))
        for refusal in self.refusals:
            raise refusal
        return dict(body)


def authority() -> str:
    """Return a caBundle."""
    certificate = new_authority("ca", 9, datetime.now(tz=UTC)).certificate
    return base64.b64encode(pem(certificate).encode()).decode()


def webhook(bundle: str | None) -> dict[str, Any]:
    """Return a webhook configuration of KServe."""
    client = {"service": {"name": "webhook", "namespace": "kserve"}, **({"caBundle": bundle} if bundle else {})}
    rules = [{"apiGroups": ["serving.kserve.io"]}]
    return {"webhooks": [{"name": "validator.kserve", "clientConfig": client, "rules": rules}]}


def kserve() -> Platform:
    """Return a cluster with a healthy KServe."""
    api = Platform("kserve")
    image = "docker.io/kserve/kserve-controller:v0.20.0"
    api.deployments[COMPONENTS["kserve"].deployments] = [deployment("kserve-controller-manager", "kserve", image)]
    api.lists[VALIDATING] = [webhook(authority())]
    api.lists[SLICES] = [{"endpoints": [{"conditions": {"ready": False}}, {"conditions": {"ready": True}}]}]
    return api
