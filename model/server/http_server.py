# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP server of the application, which shuts down without losing a request."""

from __future__ import annotations

import asyncio
import errno
import re
import signal
import socket
import time
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import RECEIVED, App, disconnect
from .errors import StartError

# Longer than Envoy's idle timeout of one hour. If the server closed an idle connection first, a request that was just
# sent on it would fail.
KEEP_ALIVE_S = 3700
# The time for requests in progress after the drain. Both together are below the 30 s of
# terminationGracePeriodSeconds.
GRACE_S = 15


# The parser rejects a request with a longer head.
MAX_HEAD_BYTES = 64 * 1024
# How responses begin, but not 100 Continue, for which the client waits.
_HEADS = {b"HTTP/1.1 %d" % digit for digit in range(2, 6)}
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_UPGRADE = re.compile(rb"\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)


class OneWrite(asyncio.Transport):
    """A connection that writes the head of a response together with its body, in one system call and packet."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write data; the head of a response waits for what follows, which uvicorn writes at once."""
        if self._head:
            data = self._head + data
            self._head = b""
        elif data[:10] in _HEADS and data[-4:] == b"\r\n\r\n":
            self._head = bytes(data)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write a head that nothing follows, as in the response to HEAD."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Close the connection after what was written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closing, or closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """A fact of the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read no more."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 without protocol upgrades.

    Java's client offers an upgrade to h2c with its first request. A server may ignore the header Upgrade (RFC 9110,
    section 7.8), but the parser would then treat the body as data of the new protocol. So the header is renamed before
    the request is parsed.
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self._head = b""
        self._in_message = False
        self._earlier: list[Any] = []  # what a client that does not wait for answers has sent before

    def data_received(self, data: bytes) -> None:
        """Pass data to the parser, and the head of a request when it is complete."""
        if not self._in_message:
            data = self._head + data
            found = _HEAD_END.search(data)
            if not found and len(data) < MAX_HEAD_BYTES:
                self._head = data
                return
            self._head = b""
            if found:
                data = _UPGRADE.sub(b"\nx-ignored: upgrade", data[: found.start()]) + data[found.start() :]
        super().data_received(data)

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin a connection."""
        super().connection_made(OneWrite(transport))

    def on_response_complete(self) -> None:
        """Continue with the next request of the connection."""
        self.transport.flush()
        super().on_response_complete()

    def on_message_begin(self) -> None:
        """Note that what follows belongs to a request."""
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Note that the next request begins, and when this one was complete: it may wait for others."""
        self._in_message = False
        self.scope["state"][RECEIVED] = time.perf_counter()
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Note which requests of the connection are in progress."""
        if self.cycle and not self.cycle.response_complete:
            self._earlier = [cycle for cycle in self._earlier if not cycle.response_complete] + [self.cycle]
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the requests in progress: uvicorn itself notices only the last that the client has sent."""
        super().connection_lost(exc)
        for cycle in [*self._earlier, self.cycle]:
            if cycle and not cycle.response_complete:
                cycle.disconnected = True
                disconnect(cycle.scope["state"])


def listen(port: int, option: str) -> socket.socket:
    """A socket on all addresses, of IPv6 and IPv4, or of the family that there is; option: what sets the port.

    Raises:
        StartError: the port is taken, or may not be used.
    """
    try:
        if socket.has_dualstack_ipv6():
            try:
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            except OSError as error:
                # A kernel may have IPv6 and no address of it.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
        return socket.create_server(("", port))
    except OSError as error:
        raise StartError(f"The port {port} cannot be opened ({error.strerror}): choose another {option}.") from error


class HttpServer(uvicorn.Server):
    """The server of uvicorn, which drains after SIGTERM.

    Kubernetes terminates a pod and removes it from the gateway at the same time, so requests continue to arrive until
    the gateway is updated. For drain_seconds the server continues to respond, and closes each connection after its
    response. Then it stops listening. A second signal, or Ctrl-C, stops it immediately.

    Args:
        metrics_port: a second port, at which the application serves its metrics, or None.
    """

    def __init__(self, app: App, port: int, metrics_port: int | None, drain_seconds: float) -> None:
        config = uvicorn.Config(
            app,
            port=port,
            http=Protocol,
            loop="uvloop",
            ws="none",
            proxy_headers=False,  # nothing reads the client's address
            lifespan="off",
            log_config=None,
            access_log=False,  # the gateway has one, and writing a line takes as long as a prediction
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._app = app
        self._port = port
        self._metrics_port = metrics_port
        self._drain_seconds = drain_seconds
        self._end = float("inf")

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the end of the drain.

        Raises:
            StartError: a port cannot be opened.
        """
        listening = sockets or [listen(self._port, "--http_port")]
        if self._metrics_port:
            listening.append(listen(self._metrics_port, "METRICS_PORT"))
        super().run(listening)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if sig == signal.SIGTERM and not self._app.draining:
            self._app.draining = True
            self._end = time.monotonic() + self._drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; uvicorn calls it ten times a second."""
        self.should_exit |= time.monotonic() >= self._end
        stop: bool = await super().on_tick(counter)
        return stop
