# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server with KServe's API group in two versions, for the backup of custom resources."""

from __future__ import annotations

from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

Json = dict[str, Any]
GROUP = "serving.kserve.io"
VERBS = ["create", "delete", "get", "list"]


def thing(name: str, namespace: str = "models", uid: str = "", owner: str = "") -> Json:
    """An InferenceService as in a list of the API server, without its kind."""
    owners = [{"apiVersion": "v1", "kind": "Thing", "name": owner, "uid": "0", "controller": True}] if owner else []
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-of-{name}",
        "resourceVersion": "12",
        "generation": 3,
        "creationTimestamp": "2026-11-20T10:00:00Z",
        "finalizers": ["inferenceservice.finalizers"],
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {applied: "{}", "team": "a"},
        **({"ownerReferences": owners} if owners else {}),
    }
    return {"metadata": metadata, "spec": {"predictor": {"minReplicas": 1}}, "status": {"url": "http://iris"}}


def _resource(plural: str, kind: str, *verbs: str) -> Json:
    return {"name": plural, "kind": kind, "namespaced": True, "verbs": list(verbs) or VERBS}


class Api:
    """The KubeApi port: discovery of three groups, and pages of InferenceServices; refusals: errors by path."""

    def __init__(self, *services: Json, page: int = 500, uid: str = "this-cluster") -> None:
        self.paths: list[str] = []
        self.refusals: dict[str, ApiError] = {}
        self.services = services
        self.routes: list[Json] = []
        self._page = page
        versions = [{"groupVersion": f"{GROUP}/{version}"} for version in ("v1beta1", "v1alpha1")]
        others = [{"name": name, "versions": [{"groupVersion": f"{name}/v1"}]} for name in ("apps", "other.io")]
        services_of = _resource("inferenceservices", "InferenceService")
        self._answers: dict[str, Json] = {
            "/apis": {"groups": [*others, {"name": GROUP, "versions": versions}]},
            f"/apis/{GROUP}/v1beta1": {
                "resources": [services_of, _resource("inferenceservices/status", "InferenceService")]
            },
            f"/apis/{GROUP}/v1alpha1": {
                "resources": [
                    services_of,
                    _resource("servingruntimes", "ServingRuntime"),
                    _resource("reviews", "Review", "create"),
                ]
            },
            f"/apis/{GROUP}/v1alpha1/servingruntimes": {"items": []},
            "/api/v1/namespaces/kube-system": {"metadata": {"uid": uid}},
        }

    def add_routes(self, *routes: Json) -> None:
        """Serve HTTPRoutes, whose resource sorts before that of InferenceServices."""
        group, version = "gateway.networking.k8s.io", "gateway.networking.k8s.io/v1"
        self.routes += routes
        self._answers["/apis"]["groups"].append({"name": group, "versions": [{"groupVersion": version}]})
        self._answers[f"/apis/{version}"] = {"resources": [_resource("httproutes", "HTTPRoute")]}
        self._answers[f"/apis/{version}/httproutes"] = {"items": self.routes}

    def delete_version(self, version: str) -> None:
        """Stop listing a version of KServe's group."""
        for group in self._answers["/apis"]["groups"]:
            group["versions"] = [one for one in group["versions"] if one["groupVersion"] != f"{GROUP}/{version}"]

    def get(self, path: str, **query: Any) -> Json:
        """See KubeApi."""
        self.paths.append(path)
        if path in self.refusals:
            raise self.refusals[path]
        if path != f"/apis/{GROUP}/v1beta1/inferenceservices":
            return self._answers[path]
        start = int(query.get("continue", 0))
        end = start + self._page
        more = {"continue": str(end)} if end < len(self.services) else {}
        return {"metadata": more, "items": list(self.services[start:end])}
