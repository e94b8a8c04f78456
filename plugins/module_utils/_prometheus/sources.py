# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where Prometheus is reached: at a URL, or as a Service behind the API server's proxy.

The proxy needs nothing but the kubeconfig's credentials, and no route into the cluster. It does not pass on an
Authorization header, so a Prometheus that requires one is reached at its URL.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import (
    NotSent,
    NotTrusted,
    Server,
    TooLate,
    Unanswered,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.transport import HttpTransport
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import AnswerTimeout, ApiError

# As the API server says it; what is behind it may answer 404, too.
_NO_SERVICE = re.compile(r'services "[^"]+" not found')


class PrometheusError(KServeError):
    """What keeps Prometheus from answering, in one sentence."""

    REASON = "PrometheusUnreachable"


@dataclass(frozen=True)
class Reply:
    """An HTTP response, whatever it contains."""

    status: int
    body: bytes


class Source(Protocol):
    """One Prometheus.

    place: how it is named in messages; timeout: seconds that a request may take.
    """

    @property
    def place(self) -> str:
        """Return the name."""

    @property
    def timeout(self) -> float:
        """Return the seconds."""

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """Return the response to a request; raises KServeError if there is none."""


@dataclass(frozen=True)
class Url:
    """Prometheus at a URL; token, or user with its password: what it requires."""

    server: Server
    token: str | None = None
    user: str | None = None

    @property
    def place(self) -> str:
        """See Source."""
        return f"Prometheus at {self.server.url}"

    @property
    def timeout(self) -> float:
        """See Source."""
        return self.server.timeout

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """See Source."""
        try:
            with HttpTransport(self.server, self.token, self.user) as transport:
                answer = transport.ask("GET", f"{path}?{urlencode(query)}")
        except Unanswered as error:
            raise _unreachable(error) from None
        return Reply(answer.status, answer.body)


def _unreachable(error: Unanswered) -> PrometheusError:
    """Return the error with what to change about Prometheus; _http knows the gateway and its models only."""
    cause, _semicolon, cure = str(error).rstrip(".").rpartition("; ")
    reason = PrometheusError.REASON
    if isinstance(error, TooLate):
        reason, cure = "PrometheusTimeout", "see whether Prometheus is overloaded, or raise the timeout"
    elif isinstance(error, NotTrusted):
        cure = "set ca_path or ca_content to the authority that signed it"
    elif not isinstance(error, NotSent):
        cure = "check the URL and the proxy, and that Prometheus runs"
    return PrometheusError(f"Prometheus cannot be queried: {cause or error}; {cure}.", reason=reason)


class ProxyApi(Protocol):
    """What of the API server's client is needed; raises ApiError or Unreachable."""

    def read(
        self, method: str, path: str, query: Mapping[str, Any], /, *, read_timeout: float = ..., accept: str = ...
    ) -> bytes:
        """Return the body of the response."""


@dataclass(frozen=True)
class Service:
    """Prometheus behind the API server's proxy; service: scheme:name:port, as the proxy takes it."""

    api: ProxyApi
    namespace: str
    service: str
    timeout: float = 10.0

    @property
    def name(self) -> str:
        """The Service as namespace/name."""
        parts = self.service.split(":")
        return f"{self.namespace}/{parts[1] if len(parts) > 2 else parts[0]}"

    @property
    def place(self) -> str:
        """See Source."""
        return f"Prometheus behind the Service {self.name}"

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """See Source."""
        where = f"/api/v1/namespaces/{quote(self.namespace, safe='')}/services/{quote(self.service, safe=':')}/proxy"
        try:
            return Reply(200, self.api.read("GET", where + path, query, read_timeout=self.timeout))
        except AnswerTimeout:
            raise PrometheusError(
                f"{self.place} does not answer within {self.timeout:g} seconds; see whether it is overloaded, or raise "
                "the timeout.",
                reason="PrometheusTimeout",
            ) from None
        except ApiError as error:
            if refusal := self._refused(error):
                raise refusal from None
            return Reply(error.status, error.text.encode())

    def _refused(self, error: ApiError) -> PrometheusError | None:
        """Return the error for what the API server says of the Service; None for what was answered behind it."""
        # What Prometheus itself answers is in JSON, and a Status of the API server has been read to its message.
        if error.text.startswith("{"):
            return None
        if error.status == 403:
            return PrometheusError(
                f"The credentials lack a permission to query {self.place}; grant get on services/proxy {self.service} "
                f"in the namespace {self.namespace}, or set the URL of Prometheus.",
                reason="PrometheusForbidden",
            )
        if error.status == 401:
            return PrometheusError(
                f"{self.place} requires credentials, which the API server's proxy does not pass on; set the URL of "
                "Prometheus, and token or username and password.",
                reason="PrometheusForbidden",
            )
        if error.status == 404 and _NO_SERVICE.match(error.text):
            return PrometheusError(
                f"The Service {self.name} of Prometheus was not found; install monitoring, or set the URL of "
                "Prometheus."
            )
        if error.status < 500:
            return None
        return PrometheusError(
            f"{self.place} does not answer ({error.status}: {error.text.rstrip('. ') or 'no message'}); see whether "
            "its pods run."
        )
