# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests: objects to apply, and where the API server serves them.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Json = Mapping[str, Any]

# The namespace whose UID identifies the cluster.
CLUSTER_PATH = "/api/v1/namespaces/kube-system"

# Kubernetes, Istio, Knative and OpenShift make these in every namespace.
AUTOMATIC = {
    ("ConfigMap", "config-openshift-service-cabundles"),
    ("ConfigMap", "istio-ca-root-cert"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
    ("ServiceAccount", "default"),
}


@dataclass(frozen=True)
class Manifest:
    """One object as the user wants it.

    source: where it stands, for messages; home: the namespace of the release that it comes with, where it names none;
    overrides: whether it takes the place of the same object from elsewhere.
    """

    body: Json
    source: str
    home: str = ""
    overrides: bool = False

    @property
    def api_version(self) -> str:
        """Group and version, such as apps/v1."""
        return str(self.body["apiVersion"])

    @property
    def group(self) -> str:
        """API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def kind(self) -> str:
        """Kind, such as Deployment."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Namespace that the manifest names, or an empty string."""
        return str(self.body["metadata"].get("namespace") or "")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells objects apart: group, kind, namespace and name, since one is the same in every version."""
        return self.group, self.kind, self.namespace, self.name

    @property
    def is_crd(self) -> bool:
        """Whether it is a CRD."""
        return (self.group, self.kind) == ("apiextensions.k8s.io", "CustomResourceDefinition")

    @property
    def is_secret(self) -> bool:
        """Whether its values are secret."""
        return (self.group, self.kind) == ("", "Secret")

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Kind:
    """How the API server serves a kind: the resource's plural name, and whether its objects have a namespace."""

    plural: str
    namespaced: bool


@dataclass(frozen=True)
class Target:
    """A manifest, complete with its namespace, and the resource it belongs to."""

    manifest: Manifest
    kind: Kind

    @property
    def collection(self) -> str:
        """Path of the collection the object is in."""
        root = f"/apis/{self.manifest.api_version}" if self.manifest.group else f"/api/{self.manifest.api_version}"
        namespace = f"/namespaces/{quote(self.manifest.namespace, safe='')}" if self.kind.namespaced else ""
        return f"{root}{namespace}/{self.kind.plural}"

    @property
    def path(self) -> str:
        """Path of the object."""
        return f"{self.collection}/{quote(self.manifest.name, safe='')}"

    @property
    def resource(self) -> str:
        """Name of the resource as RBAC rules have it, such as deployments.apps."""
        return f"{self.kind.plural}.{self.manifest.group}" if self.manifest.group else self.kind.plural

    def __str__(self) -> str:
        return str(self.manifest)
