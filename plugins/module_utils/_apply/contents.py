# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a namespace contains, and which objects an API has: what its users could miss when it is deleted.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.discovery import served_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import AUTOMATIC, Json, Kind

# On what a controller makes in the cluster for a Gateway, which owner references cannot say of everything
# (GEP-1762 of the Gateway API).
GATEWAY = "gateway.networking.k8s.io/gateway-name"
_PAGE = 500
# What controllers write about objects, elect themselves with, or keep beside a Service or a pod.
_PASSING = {"Event", "Lease", "Endpoints", "EndpointSlice", "PodMetrics"}


def list_objects(api: ApplyApi, path: str, **query: Any) -> Iterator[Json]:
    """Return all objects of a collection, page by page.

    :raises ApiError: the API server refuses; whether a kind that is not served has objects, only the caller knows.
    """
    query = {**query, "limit": _PAGE}
    while True:
        page = api.get(path, **query)
        yield from page["items"]
        if not page["metadata"].get("continue"):
            return
        query["continue"] = page["metadata"]["continue"]


def _served_objects(api: ApplyApi, path: str, **query: Any) -> list[Json]:
    """Return all objects of a collection that the API server has just listed as one that it serves."""
    try:
        return list(list_objects(api, path, **query))
    except ApiError as error:
        # Its CRD is deleted since then, with all its objects; or the server behind it stores none.
        if error.status in (404, 405):
            return []
        raise


def unavailable_apis(api: ApplyApi) -> list[str]:
    """Return the API versions whose server does not answer, so that nobody knows what objects they have.

    That of metrics stores none.
    """
    silent = [
        f"{group['metadata']['name']}/{version['version']}"
        for group in api.discovery().get("items") or ()
        for version in group.get("versions") or ()
        if version.get("freshness") == "Stale"
    ]
    return [name for name in silent if not name.split("/")[0].endswith("metrics.k8s.io")]


def namespace_contents(api: ApplyApi, namespace: str, labels: str | None = None) -> list[str]:
    """Return the names of what is in a namespace of its own right, such as Secret models-tls.

    :param labels: a label selector.
    :raises KServeError: the API server does not say what kinds there are, or refuses.
    """
    kinds: dict[tuple[str, str], Kind] = {}
    for path in ("/api", "/apis"):
        found = served_kinds(api.discovery(path))
        if not found:
            raise KServeError(
                "The API server does not list its kinds in one answer, as Kubernetes does from 1.30 on, so it "
                f"is not known what the namespace {namespace} contains; list its objects, and delete it if none is "
                "needed.",
                reason="DiscoveryNotAggregated",
            )
        kinds |= found
    query = {"labelSelector": labels} if labels else {}

    def named(entry: tuple[tuple[str, str], Kind]) -> list[tuple[str, str]]:
        (api_version, kind), place = entry
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        path = f"{root}/namespaces/{quote(namespace, safe='')}/{place.plural}"
        own = _own(kind, _served_objects(api, path, **query))
        return [(str(thing["metadata"]["uid"]), f"{kind} {thing['metadata']['name']}") for thing in own]

    namespaced = [entry for entry in kinds.items() if entry[1].namespaced and entry[0][1] not in _PASSING]
    # One object may be in several API versions.
    return sorted(dict(pair for pairs in concurrently(named, namespaced) for pair in pairs).values())


def _own(kind: str, things: Iterable[Json]) -> Iterator[Json]:
    for thing in things:
        metadata: Mapping[str, Any] = thing["metadata"]
        goes = metadata.get("ownerReferences") or metadata.get("deletionTimestamp")
        token = kind == "Secret" and thing.get("type") == "kubernetes.io/service-account-token"
        if metadata.get("uid") and not goes and not token and (kind, metadata["name"]) not in AUTOMATIC:
            yield thing


def remaining_after(things: Iterable[Json], going: Collection[str]) -> Iterator[Json]:
    """Return the objects that remain when others are deleted, with what those own and what was created for a Gateway.

    :param going: the uids of those that go.
    """
    things, deleted = list(things), set(going)
    while more := {str(thing["metadata"]["uid"]) for thing in things if _owners(thing) & deleted} - deleted:
        deleted |= more
    for thing in things:
        metadata: Mapping[str, Any] = thing["metadata"]
        if str(metadata["uid"]) not in deleted and GATEWAY not in (metadata.get("labels") or {}):
            yield thing


def _owners(thing: Json) -> set[str]:
    return {str(owner.get("uid")) for owner in thing["metadata"].get("ownerReferences") or ()}
