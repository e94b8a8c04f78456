# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finding out how the API server serves the kinds of manifests.

Kubernetes' own stable kinds are known. For others discovery is asked for exactly the group versions that are needed,
which costs one small request each. A cached discovery may list APIs of a cluster that has since been re-created. This
file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently

from .client import ApiError, KubeApi
from .objects import Json, Kind, Manifest

# Every API server from Kubernetes 1.23 on serves them in the same way (kubernetes.io/docs/reference/kubernetes-api); by
# whether they have a namespace, and by API version.
_STABLE = {
    True: {
        "v1": "ConfigMap LimitRange PersistentVolumeClaim Pod ResourceQuota Secret Service ServiceAccount",
        "apps/v1": "DaemonSet Deployment StatefulSet",
        "autoscaling/v2": "HorizontalPodAutoscaler",
        "batch/v1": "CronJob Job",
        "networking.k8s.io/v1": "Ingress NetworkPolicy",
        "policy/v1": "PodDisruptionBudget",
        "rbac.authorization.k8s.io/v1": "Role RoleBinding",
    },
    False: {
        "v1": "Namespace PersistentVolume",
        "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
        "apiextensions.k8s.io/v1": "CustomResourceDefinition",
        "networking.k8s.io/v1": "IngressClass",
        "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding",
        "storage.k8s.io/v1": "StorageClass",
    },
}


def find_kinds(api: KubeApi, manifests: Iterable[Manifest]) -> dict[tuple[str, str], Kind]:
    """Return the kinds by API version and kind; those that the server does not know are left out.

    What a CRD among the manifests defines counts as known, since it will be.
    """
    manifests = list(manifests)
    crds = [manifest for manifest in manifests if manifest.is_crd]
    own = _stable() | {key: kind for crd in crds for key, kind in defined_kinds(crd).items()}
    missing = {manifest.api_version for manifest in manifests if (manifest.api_version, manifest.kind) not in own}
    found = own
    for kinds in concurrently(lambda version: _discover(api, version), sorted(missing)):
        found = {**kinds, **found}
    return found


@cache
def _stable() -> dict[tuple[str, str], Kind]:
    return {
        (api_version, kind): Kind(_plural(kind), namespaced)
        for namespaced, versions in _STABLE.items()
        for api_version, kinds in versions.items()
        for kind in kinds.split()
    }


def _plural(kind: str) -> str:
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}es" if name.endswith("s") else f"{name}s"


def _discover(api: KubeApi, api_version: str) -> dict[tuple[str, str], Kind]:
    try:
        answer = api.get(f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")
    except ApiError as error:
        if error.status == 404:
            return {}
        raise
    return {
        (api_version, entry["kind"]): Kind(entry["name"], bool(entry["namespaced"]))
        for entry in answer["resources"]
        if "/" not in entry["name"]  # subresources, such as deployments/scale
    }


def defined_kinds(crd: Manifest) -> dict[tuple[str, str], Kind]:
    """Return what a CRD defines, by API version and kind."""
    spec = crd.body.get("spec") or {}
    names = spec.get("names") or {}
    if not names.get("kind") or not names.get("plural"):
        return {}
    kind = Kind(names["plural"], spec.get("scope") == "Namespaced")
    versions = (version for version in spec.get("versions") or () if version.get("served"))
    return {(f"{spec.get('group')}/{version.get('name')}", names["kind"]): kind for version in versions}


def stored_first(crd: Json) -> list[str]:
    """Return the paths at which the API server lists the objects of a CRD that it has: the stored version's first."""
    spec = crd.get("spec") or {}
    served = [version for version in spec.get("versions") or () if version.get("served")]
    served.sort(key=lambda version: not version.get("storage"))
    return [f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}" for version in served]


def served_kinds(discovery: Json) -> dict[tuple[str, str], Kind]:
    """Return the kinds in the answer to a discovery, by API version and kind; only those that can be listed."""
    found = {}
    for group in discovery.get("items") or ():
        for version in group.get("versions") or ():
            api_version = "/".join(filter(None, (group["metadata"].get("name"), version["version"])))
            for resource in version.get("resources") or ():
                if "list" in (resource.get("verbs") or ()):
                    kind = Kind(resource["resource"], resource.get("scope") == "Namespaced")
                    found[api_version, resource["responseKind"]["kind"]] = kind
    return found
