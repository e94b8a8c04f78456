# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes port of manifests: reads as everywhere, server-side apply, deletion, a count of requests.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from typing import Any, Protocol

from . import client

# A webhook may take 30 seconds to answer, and the API server some for a large CRD.
_APPLY_TIMEOUT = 60.0
# Of an object only its metadata; and one answer about all groups, which Kubernetes has given since 1.30 ("Aggregated
# discovery", Kubernetes docs).
_METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ApplyApi(client.KubeApi, Protocol):
    """What reading and applying needs; every method raises ApiError or Unreachable."""

    @property
    def requests(self) -> int:
        """How many requests have been sent."""

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        """Send the object for a server-side apply and return it as it then is."""

    def delete(self, path: str, uid: str, dry_run: bool = False) -> None:
        """Delete the object of this uid, or only try to; what belongs to it goes later."""

    def discovery(self, path: str = "/apis") -> dict[str, Any]:
        """Return what is served, as the API server tells controllers: the list of all groups, or of the core's."""


class RestApplyApi(client.RestApi):
    """The ApplyApi port over the Kubernetes client's ApiClient."""

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        """See ApplyApi."""
        answer: dict[str, Any] = self.json(
            "PATCH", path, query, body, "application/apply-patch+yaml", read_timeout=_APPLY_TIMEOUT
        )
        return answer

    def delete(self, path: str, uid: str, dry_run: bool = False) -> None:
        """See ApplyApi."""
        body: dict[str, Any] = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        if dry_run:
            # In the query it would not count: the API server takes all options from the body where there is one.
            body["dryRun"] = ["All"]
        self.read("DELETE", path, {}, body, "application/json", read_timeout=_APPLY_TIMEOUT)

    def discovery(self, path: str = "/apis") -> dict[str, Any]:
        """See ApplyApi."""
        answer: dict[str, Any] = self.json("GET", path, {}, accept=_DISCOVERY)
        return answer

    def metadata(self, path: str) -> dict[str, Any]:
        """Return an object of which only the metadata is sent."""
        answer: dict[str, Any] = self.json("GET", path, {}, accept=_METADATA)
        return answer


def session(options: Mapping[str, Any]) -> AbstractContextManager[RestApplyApi]:
    """Reach the API server that a module's options name; see client.session."""
    return closing(connect(lambda: client.kubernetes_core_client(options)))


def connect(get_client: Callable[[], Any]) -> RestApplyApi:
    """Return the API server that kubernetes.core's client factory finds; see client.connect for the errors."""
    return RestApplyApi(client.api_client(get_client))
