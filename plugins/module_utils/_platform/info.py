# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading which components of a serving platform a cluster has, in which versions, and whether they work.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.discovery import served_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import (
    CLUSTER_PATH,
    Kind,
    Manifest,
    Target,
)

from . import components
from .components import COMPONENTS, Component

Json = Mapping[str, Any]
Kinds = Mapping[tuple[str, str], Kind]

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WEBHOOKS = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
)
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
_MANAGER = "hashfoundry.kserve"


class InfoApi(ApplyApi, Protocol):
    """What reading a platform needs; every method raises ApiError or Unreachable."""

    def metadata(self, path: str) -> dict[str, Any]:
        """Return the metadata of an object, which may be large otherwise."""


def platform_info(api: InfoApi, names: Sequence[str], verify: bool, api_server: bool = False) -> dict[str, Any]:
    """Return the module's result.

    :param names: the components to read.
    :param verify: whether to see that they work.
    :param api_server: whether to say at which addresses pods reach the API server.
    :raises KServeError: the cluster does not answer, or refuses.
    """
    space, build = concurrently(api.get, (CLUSTER_PATH, "/version"))
    kinds = served_kinds(api.discovery()) if names and verify else {}
    reader = _Reader(api, kinds, verify)
    found = concurrently(lambda name: reader.component(COMPONENTS[name]), names)
    return {
        "changed": False,
        "cluster": {"uid": space["metadata"]["uid"], "version": build["gitVersion"]},
        "components": dict(zip(names, found, strict=True)),
        "api_server": _api_server(api) if api_server else None,
    }


def _api_server(api: InfoApi) -> dict[str, Any]:
    slices = api.get(_SLICES.format("default"), labelSelector="kubernetes.io/service-name=kubernetes")["items"]
    endpoints = [endpoint for entry in slices for endpoint in entry.get("endpoints") or ()]
    ports = [port["port"] for entry in slices for port in entry.get("ports") or ()]
    return {
        "addresses": sorted({address for endpoint in endpoints for address in endpoint["addresses"]}),
        "port": ports[0] if ports else None,
    }


class _Reader:
    """Reads components of one cluster; kinds: what it serves."""

    def __init__(self, api: InfoApi, kinds: Kinds, verify: bool) -> None:
        self._api = api
        self._kinds = kinds
        self._verify = verify

    def component(self, component: Component) -> dict[str, Any]:
        """Return what there is of a component."""
        crd = self._crd(component)
        deployments = self._deployments(component)
        # A CRD alone may be another component's, too.
        installed = bool(deployments) if component.deployments else crd is not None
        first: Json = deployments[0]["metadata"] if deployments else {}
        return {
            "installed": installed,
            "version": components.version(component, crd, deployments),
            "namespace": first.get("namespace"),
            "uid": crd["metadata"]["uid"] if crd else None,
            "managers": components.managers(crd),
            "deployments": sorted(thing["metadata"]["name"] for thing in deployments),
            "problems": list(self._problems(component, deployments)) if self._verify else [],
        }

    def _crd(self, component: Component) -> Json | None:
        try:
            return self._api.metadata(f"{_CRDS}/{component.crd}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _deployments(self, component: Component) -> list[Json]:
        if not component.deployments:
            return []
        answer = self._api.get("/apis/apps/v1/deployments", labelSelector=component.deployments)
        return components.select_deployments(component, answer["items"])

    def _problems(self, component: Component, deployments: Sequence[Json]) -> Iterator[str]:
        found = [*components.missing_kinds(component, self._kinds), *components.deployment_problems(deployments)]
        if component.deployments and not deployments:
            found.append(f"no Deployment has the labels {component.deployments}")
        configurations = [entry for path in _WEBHOOKS for entry in self._api.get(path)["items"]]
        for name, client in components.service_webhooks(component.groups, configurations):
            service = client["service"]
            path = _SLICES.format(quote(service["namespace"], safe=""))
            slices = self._api.get(path, labelSelector=f"kubernetes.io/service-name={service['name']}")["items"]
            found += components.webhook_problems(name, client, slices)
        # One that cannot answer is not asked: it would only take its time.
        return iter(dict.fromkeys(found or self._refused(component)))

    def _refused(self, component: Component) -> Iterator[str]:
        if component.probe is None:
            return
        manifest = Manifest(component.probe, "the probe")
        target = Target(manifest, self._kinds[manifest.api_version, manifest.kind])
        try:
            self._api.apply(target.path, component.probe, fieldManager=_MANAGER, dryRun="All")
        except KServeError as error:
            yield f"a dry run of {manifest} is not accepted: {str(error).rstrip('.')}"
