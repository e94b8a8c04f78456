# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sending requests to one HTTP server, whose name and whose address may be two things.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import short

URLLIB3_IMPORT_ERROR: str | None = None
try:
    import urllib3
    from urllib3 import exceptions as http
except ImportError:
    URLLIB3_IMPORT_ERROR = traceback.format_exc()

# What OpenSSL and Python say of a certificate that will not become right by waiting.
_CERTIFICATE = ("certificate_verify_failed", "doesn't match", "hostname mismatch", "certificate verify failed")


class Unanswered(KServeError):
    """No answer came; retry: whether one may come later."""

    def __init__(self, message: str, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes


class Transport(Protocol):
    """One server."""

    def post(self, path: str, body: bytes) -> Answer:
        """Send JSON; raises Unanswered."""


@dataclass(frozen=True)
class Server:
    """Where to send requests.

    host: the name for the Host header, for SNI and for the certificate; address: the name or IP to
    connect to; prefix: what goes before every path; timeout: seconds for one request.
    """

    scheme: str
    host: str
    port: int
    address: str
    prefix: str = ""
    ca_path: str | None = None
    ca_content: str | None = None
    validate_certs: bool = True
    timeout: float = 10.0

    @property
    def url(self) -> str:
        """The server as people write it."""
        standard = {"https": 443, "http": 80}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port == standard else f':{self.port}'}{self.prefix}"


def server(
    url: str | None, scheme: str, host: str | None, port: int | None, address: str | None, **options: Any
) -> Server:
    """Return the server from a URL, or from its parts where there is none.

    :raises KServeError: the URL is not one of a web server.
    """
    prefix = ""
    if url:
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port or port
            prefix = parts.path.rstrip("/")
        except ValueError:
            host = None
        if scheme not in ("https", "http") or not host:
            raise KServeError("The url is not valid; give one such as https://iris.example.com.")
    name = host or ""
    return Server(scheme, name, port or {"https": 443, "http": 80}[scheme], address or name, prefix, **options)


class HttpTransport:
    """The Transport port over urllib3, with one connection that is kept open."""

    def __init__(self, server: Server, token: str | None = None) -> None:
        self._server = server
        self._headers = {"Host": server.host, "Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = _pool(server)

    def post(self, path: str, body: bytes) -> Answer:
        """See Transport; redirects are not followed."""
        where = self._server.url
        try:
            response = self._pool.request(
                "POST", self._server.prefix + path, body=body, headers=self._headers, retries=False, redirect=False
            )
            return Answer(response.status, response.data)
        except http.SSLError as error:
            raise _tls(where, error) from None
        except http.NameResolutionError:
            message = f"The name {self._server.address} cannot be resolved; check the name, or set address."
            raise Unanswered(message, retry=True) from None
        except http.NewConnectionError as error:  # a TimeoutError to urllib3, whatever its cause
            raise _away(where, error) from None
        except http.TimeoutError:
            message = (
                f"{where} does not answer within {self._server.timeout:g} seconds; check the route, or set timeout."
            )
            raise Unanswered(message, retry=True) from None
        except http.HTTPError as error:
            raise _away(where, error) from None


def _pool(server: Server) -> Any:
    common: dict[str, Any] = {"port": server.port, "timeout": urllib3.Timeout(server.timeout), "maxsize": 1}
    if server.scheme == "http":
        return urllib3.HTTPConnectionPool(server.address, **common)
    if server.ca_path and not Path(server.ca_path).is_file():
        raise KServeError(f"There is no file {server.ca_path}; set ca_path to the PEM file of the authority.")
    checked: dict[str, Any] = {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    if server.validate_certs:
        checked = {
            "cert_reqs": "CERT_REQUIRED",
            "assert_hostname": server.host,
            "ca_certs": server.ca_path,
            "ca_cert_data": server.ca_content,
        }
    return urllib3.HTTPSConnectionPool(server.address, server_hostname=server.host, **common, **checked)


def _tls(where: str, error: Exception) -> Unanswered:
    text = short(str(error))
    if any(sign in text.lower() for sign in _CERTIFICATE):
        return Unanswered(
            f"The certificate of {where} is not accepted ({text}); set ca_path to the authority that signed it, "
            "or correct host.",
            retry=False,
        )
    # A gateway that has not taken up its listener yet ends the handshake.
    return Unanswered(f"There is no TLS connection to {where} ({text}); check the gateway's listener.", retry=True)


def _away(where: str, error: Exception) -> Unanswered:
    # The operating system's words are in an inner error, or at the end after the connection and a colon.
    inner = next((part.strerror for part in error.args if isinstance(part, OSError) and part.strerror), None)
    cause = inner or short(str(error)).rpartition(": ")[2]
    return Unanswered(
        f"{where} cannot be reached ({cause}); check address, port and that the gateway runs.", retry=True
    )
