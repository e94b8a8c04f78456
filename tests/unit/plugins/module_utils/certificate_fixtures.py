# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server with namespaces, Secrets, and the part of server-side apply that the certificate tests need."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from typing import Any

from cryptography import x509

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

LABELS = {"app.kubernetes.io/managed-by": "hashfoundry.kserve"}


class Api:
    """The ApplyApi port over objects by path; writes: the applied paths, in order."""

    def __init__(self, *namespaces: str) -> None:
        self.objects: dict[str, dict[str, Any]] = {
            f"/api/v1/namespaces/{name}": {"metadata": {"name": name}} for name in namespaces
        }
        self.writes: list[str] = []
        self.created: list[str] = []
        self.queries: list[dict[str, Any]] = []
        self.refusals: list[ApiError] = []
        self.requests = 0

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        if path not in self.objects:
            raise ApiError("404", 404, "not found")
        return deepcopy(self.objects[path])

    def post(self, path: str, body: Any) -> str:
        for refusal in self.refusals:
            raise refusal
        namespace, name = path.split("/")[-2], body["metadata"]["name"]
        if f"/api/v1/namespaces/{namespace}" not in self.objects:
            raise ApiError("404", 404, f'namespaces "{namespace}" not found')
        at = f"{path}/{name}"
        if at in self.objects:
            raise ApiError("409", 409, f'secrets "{name}" already exists')
        body = deepcopy(body)
        body["metadata"]["resourceVersion"] = f"created-{len(self.writes)}"
        self.objects[at] = body
        self.created.append(at)
        return json.dumps(body)

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        for refusal in self.refusals:
            raise refusal
        if body["kind"] == "Secret" and f"/api/v1/namespaces/{body['metadata']['namespace']}" not in self.objects:
            raise ApiError("404", 404, f'namespaces "{body["metadata"]["namespace"]}" not found')
        version = self.objects.get(path, {}).get("metadata", {}).get("resourceVersion")
        if version and body["metadata"].get("resourceVersion") != version:
            raise ApiError("409", 409, "the object has been modified")
        self.writes.append(path)
        self.queries.append(query)
        body = deepcopy(body)
        body["metadata"]["resourceVersion"] = str(len(self.writes))
        self.objects[path] = body
        return body

    def secret(self, place: str) -> dict[str, Any]:
        """Return the Secret at namespace/name."""
        return self.objects[path(place)]

    def put(self, place: str, **fields: Any) -> None:
        """Set fields of the Secret at namespace/name, and create it if it is missing."""
        namespace, name = place.split("/")
        new = {"metadata": {"name": name, "namespace": namespace, "labels": LABELS, "resourceVersion": "0"}}
        self.objects[path(place)] = {**new, "type": "kubernetes.io/tls", **self.objects.get(path(place), {}), **fields}

    def certificate(self, place: str, key: str = "tls.crt") -> x509.Certificate:
        """Return a certificate of the Secret at namespace/name."""
        return x509.load_pem_x509_certificate(base64.b64decode(self.secret(place)["data"][key]))


def path(place: str) -> str:
    """Return the path of the Secret at namespace/name."""
    namespace, name = place.split("/")
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"
