# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes port of manifests: reads as everywhere in the collection, server-side apply, a count of requests.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _kube
from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import redact

with suppress(ImportError):  # kubernetes.core's module class says so before anything here is called
    from kubernetes.client.exceptions import ApiException

# A webhook may take 30 seconds to answer, and the API server some for a large definition of a kind.
_APPLY_TIMEOUT = 60.0


class ApplyApi(_kube.KubeApi, Protocol):
    """What reading and applying needs; every method raises ApiError or Unreachable."""

    @property
    def requests(self) -> int:
        """How many requests have been sent."""

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        """Send the object for a server-side apply and return it as it then is."""


class RestApplyApi(_kube.RestApi):
    """The ApplyApi port over the Kubernetes client's ApiClient."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def requests(self) -> int:
        """See ApplyApi."""
        return self._count

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        """See ApplyApi."""
        self._counted()
        with _kube._Explained(path):
            try:
                response = self._client.call_api(
                    path,
                    "PATCH",
                    query_params=list(query.items()),
                    header_params={"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"},
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _return_http_data_only=True,
                    _request_timeout=(_kube.CONNECT_TIMEOUT, _APPLY_TIMEOUT),
                )
            except ApiException as error:
                # In full: the cause is judged by it, and it may be longer than what is shown.
                text = redact(" ".join(_kube.said(error).split()))
                raise _kube.ApiError(str(_kube.refused(error, path)), int(error.status or 0), text) from None
            try:
                answer: dict[str, Any] = json.loads(response.data)
            finally:
                response.release_conn()
            return answer

    def _open(self, path: str, read_timeout: float, query: dict[str, Any]) -> Any:
        self._counted()
        return super()._open(path, read_timeout, query)

    def _counted(self) -> None:
        with self._lock:
            self._count += 1


def connect(get_client: Callable[[], Any]) -> RestApplyApi:
    """Return the API server that kubernetes.core's client factory finds; see _kube.connect for the errors."""
    return RestApplyApi(_kube.connect(get_client)._client)
