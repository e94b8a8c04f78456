# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where requests go: a server, whose name and whose address may be two things, and a proxy before it.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.proxy import DEFAULT_PORTS, proxy_of
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .message import Answer, MessageError

# Python knows IDNA 2003, in which these characters have another form than in IDNA 2008, so they lead to other hosts.
_DISPUTED = frozenset("ßς\u200c\u200d")
Done = Callable[["Answer | Unanswered"], None]

# What OpenSSL says when the other side ends a handshake for want of a certificate that it accepts.
_WANTS_CERTIFICATE = (
    "certificate required",
    "handshake failure",
    "bad certificate",
    "unknown ca",
    "certificate unknown",
)


class Unanswered(KServeError):
    """No answer came; retry: whether one may come later."""

    REASON = "NoAnswer"

    def __init__(self, message: str, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class TooLate(Unanswered):
    """No answer came in time."""


class NotTrusted(Unanswered):
    """The server's certificate is not accepted."""


class NotSent(Unanswered):
    """What there is to send, or a certificate of the client, is not acceptable, here or to the server."""


class Clock(Protocol):
    """What of an asyncio loop those use who only plan."""

    def time(self) -> float:
        """Return seconds of a monotonic clock."""

    def call_at(self, when: float, callback: Callable[..., None], *arguments: Any) -> Any:
        """Call back at that time."""


@dataclass(frozen=True)
class Effort:
    """What a load took on this side: seconds on a core, and seconds of waiting for a core that others had."""

    cpu: float
    waited: float = 0.0


class Load(Protocol):
    """Many requests, and the plan by which they are sent."""

    connections: int
    """How many connections to open before the first request."""

    def start(self, clock: Clock, send: Callable[[int, int, Done], None], finished: Callable[[], None]) -> None:
        """Send by send(connection, body, on_end), where both are counted from 0, and call finished at the end."""


class Transport(Protocol):
    """One server."""

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request, JSON where it has a body; raises Unanswered."""

    def measure(self, load: Load, path: str, bodies: Sequence[bytes]) -> Effort:
        """Run a load of POST requests with these bodies."""


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; authorization: the value of Proxy-Authorization."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)


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
    client_cert: str | None = None
    client_key: str | None = None
    timeout: float = 10.0
    proxy: Proxy | None = None

    @property
    def url(self) -> str:
        """The server as people write it."""
        return f"{self.scheme}://{self.authority(self.host)}{self.prefix}"

    @property
    def tunnel(self) -> bool:
        """Whether the proxy only passes bytes on: it must where there is TLS, and where it would rewrite Host."""
        return self.proxy is not None and (self.scheme == "https" or self.host != self.address)

    def authority(self, name: str, with_port: bool = False) -> str:
        """Return a name with the port, which may be left out where it is the scheme's own."""
        name = f"[{name}]" if ":" in name else name
        return name if self.port == DEFAULT_PORTS[self.scheme] and not with_port else f"{name}:{self.port}"


def server(
    url: str | None,
    scheme: str,
    host: str | None,
    port: int | None,
    address: str | None,
    proxy: str | None = None,
    proxy_headers: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Server:
    """Return the server from a URL, or from its parts where there is none.

    :param proxy: URL of a proxy; empty for none, None for what the environment says.
    :param proxy_headers: the option of this name.
    :raises KServeError: the URL is not one of a web server, or the proxy's not one of an HTTP proxy.
    """
    prefix = ""
    if url:
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port or port
            prefix = quote(parts.path.rstrip("/"), safe="%/:@!$&'()*+,;=~")
        except ValueError:
            host = None
        if scheme not in DEFAULT_PORTS or not host:
            raise KServeError(
                "The url is not valid; give one such as https://iris.example.com.", reason="InvalidOption"
            )
    name = ascii_name(host or "")
    made = Server(
        scheme, name, port or DEFAULT_PORTS[scheme], ascii_name(address) if address else name, prefix, **options
    )
    if not 0 < made.port < 65536:
        raise KServeError(f"The port {made.port} is none; give one from 1 to 65535.", reason="InvalidOption")
    if proxy is None:
        proxy = proxy_of(made.scheme, (made.host, made.address), made.port, os.environ if environ is None else environ)
    return replace(made, proxy=_proxy(proxy, (proxy_headers or {}).get("proxy_basic_auth"))) if proxy else made


def ascii_name(name: str) -> str:
    """Return an internationalized host name as it is sent and as certificates have it.

    :raises KServeError: it is no host name, or the versions of IDNA disagree about it.
    """
    if name.isascii():
        return name
    try:
        if _DISPUTED.intersection(name):
            raise UnicodeError
        return name.encode("idna").decode()
    except UnicodeError:
        raise KServeError(
            f"The host name {name!r} cannot be sent; write it in ASCII, as xn--...", reason="InvalidOption"
        ) from None


def _proxy(text: str, pair: str | None) -> Proxy:
    """Return the proxy at a URL.

    :param pair: user and password, separated by a colon. The environment's variables have them within the URL.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = ascii_name(parts.hostname or ""), parts.port or DEFAULT_PORTS["http"]
    except ValueError:
        host, port = "", 0
    if not host or parts.scheme != "http":
        raise KServeError(
            "The proxy is not one that is spoken to by HTTP; give one such as http://proxy.example.com:3128.",
            reason="InvalidOption",
        )
    if not pair:
        if parts.username is None:
            return Proxy(host, port)
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port, basic(pair))


def basic(pair: str) -> str:
    """Return the value of a header with name and password, separated by a colon (RFC 7617)."""
    return "Basic " + b64encode(pair.encode()).decode()


def tls_context(server: Server) -> ssl.SSLContext | None:
    """Return what TLS to the server needs, or None where there is none.

    :raises KServeError: a file of certificates is absent or holds none.
    """
    if server.scheme != "https":
        return None
    for option, path in (
        ("ca_path", server.ca_path),
        ("client_cert", server.client_cert),
        ("client_key", server.client_key),
    ):
        if path and not Path(path).is_file():
            raise KServeError(f"There is no file {path}; set {option} to a PEM file.", reason="FileNotReadable")
    try:
        context = ssl.create_default_context(cafile=server.ca_path, cadata=server.ca_content)
    except (ssl.SSLError, ValueError, OSError):
        option = "ca_path" if server.ca_path else "ca_content"
        raise KServeError(
            f"There is no certificate in {option}; give the authority's in PEM.", reason="InvalidCertificate"
        ) from None
    if not server.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if server.client_cert:
        try:
            # A key with a passphrase must not make OpenSSL ask at a terminal.
            context.load_cert_chain(server.client_cert, server.client_key, password="")
        except (ssl.SSLError, OSError) as error:
            raise KServeError(
                f"The client's certificate cannot be used ({short(str(error))}); set client_cert and client_key to PEM "
                "files of a certificate and its key without a passphrase.",
                reason="InvalidCertificate",
            ) from None
    return context


def unanswered(server: Server, error: Exception) -> Unanswered:
    """Return the sentence on what ended a request."""
    where = server.url
    text = short(str(error))
    if isinstance(error, Unanswered):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotTrusted(
            f"The certificate of {where} is not accepted ({text}); set ca_path to the authority that signed it, "
            "or correct host.",
            retry=False,
        )
    if isinstance(error, ssl.SSLError):
        if "alert" in text and any(sign in text.replace("_", " ").lower() for sign in _WANTS_CERTIFICATE):
            fault = "does not accept the client's certificate" if server.client_cert else "wants a client's certificate"
            return NotSent(f"{where} {fault} ({text}); set client_cert and client_key.", retry=False)
        # A gateway that has not taken up its listener yet ends the handshake.
        return Unanswered(f"There is no TLS connection to {where} ({text}); check the gateway's listener.", retry=True)
    if isinstance(error, MessageError):
        return Unanswered(f"{where} does not speak HTTP as it should: {text}; check scheme and port.", retry=True)
    if isinstance(error, socket.gaierror):
        name, change = (server.proxy.host, "proxy") if server.proxy else (server.address, "address")
        return Unanswered(f"The name {name} cannot be resolved; check the name, or set {change}.", retry=True)
    if isinstance(error, TimeoutError) and not error.errno:
        message = f"{where} does not answer within {server.timeout:g} seconds; check the route, or set timeout."
        return TooLate(message, retry=True)
    cause = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else text
    if server.proxy:
        place = f"{server.proxy.host}:{server.proxy.port}"
        return Unanswered(f"{where} cannot be reached by the proxy {place} ({cause}); check proxy.", retry=True)
    todo = "check address, port and that the gateway runs"
    if isinstance(error, ConnectionResetError) and server.scheme == "https" and not server.client_cert:
        # The reset of a server that wants a certificate may overtake the alert that says so.
        todo += ", and whether it wants client_cert"
    return Unanswered(f"{where} cannot be reached ({cause}); {todo}.", retry=True)
