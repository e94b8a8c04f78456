# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP server of the application, which shuts down without losing a request."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import RECEIVED, App, disconnect
from .errors import StartError
from .protocol import to_json

# Longer than Envoy's idle timeout of one hour. If the server closed an idle connection first, a request that was just
# sent on it would fail.
KEEP_ALIVE_S = 3700
# The time for requests in progress after the drain. Both together are below the 30 s of
# terminationGracePeriodSeconds.
GRACE_S = 15


# Of the request line and the headers, and of what is neither them nor content: trailers and the lines of chunks. The
# parser keeps a header until its end, however long it is.
MAX_HEAD_BYTES = 64 * 1024
# How long a client may send more after a head that is too long, which is discarded.
LINGER_S = 2
# How responses begin, but not 100 Continue, for which the client waits.
_HEADS = {b"HTTP/1.1 %d" % digit for digit in range(2, 6)}
_TOO_LONG = to_json(
    {"error": f"The head of the request is larger than {MAX_HEAD_BYTES} bytes: send fewer or shorter headers."}
)
_HEAD_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_TOO_LONG), _TOO_LONG)
)


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

    def write_eof(self) -> None:
        """Write no more after what was written, but read on."""
        self._transport.write_eof()

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
    """HTTP/1.1 without protocol upgrades, and with a limit of the head.

    Java's client offers an upgrade to h2c with its first request. A server may ignore the header Upgrade (RFC 9110,
    section 7.8), but the parser treats what follows the head as data of the new protocol. So the parser is given the
    head again, without the header.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parser: Any
        self.headers: list[tuple[bytes, bytes]]
        self.timeout_keep_alive_task: asyncio.TimerHandle | None
        self._earlier: list[Any] = []  # what a client that does not wait for answers has sent before
        # What remains of a head with Upgrade.
        self._without_upgrade = b""
        # The bytes that are being parsed, those since the last end of a head or part of a body, and those that were
        # received together with that, of which some may belong to what follows it.
        self._packet = self._unfinished = self._shared = 0
        # The last answer of the connection, to what the parser cannot read.
        self._refuse: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        """Parse data."""
        if self._refuse is not None:
            return
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self._packet = len(data)
        self._unfinished += self._packet
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._unfinished > MAX_HEAD_BYTES:
            self._end_with(self._answer_431)

    def _parse(self, data: bytes | memoryview) -> None:
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                (offset,) = upgrade.args
            data = memoryview(data)[offset:]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self.parser.feed_data(self._without_upgrade)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        if self._refuse is None:
            self._end_with(partial(super().send_400_response, msg))

    def _answer_431(self) -> None:
        self.transport.write(_HEAD_TOO_LONG)
        # If the connection were closed with data that have not been read, the client might not see the answer.
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _end_with(self, answer: Callable[[], None]) -> None:
        """Give the last answer of the connection after those to the requests before, and parse no more."""
        self._refuse = answer
        if self.cycle and self.cycle.more_body and not self.cycle.response_complete:
            # It is this request that cannot be read.
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
        if not self._answers_wait():
            answer()

    def _answers_wait(self) -> bool:
        """Whether a request that was read is not answered."""
        return any(
            not cycle.response_complete and not cycle.disconnected for cycle in [*self._earlier, self.cycle] if cycle
        )

    def _check_length(self, start: int = 0) -> None:
        """End if the headers or trailers that were parsed are too long, with so many bytes before them."""
        size = start + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers) + len(b"\r\n")
        if size > MAX_HEAD_BYTES:
            self._end_with(self._answer_431)
            raise ValueError("The head is too long.")  # to the parser, which ends

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin a connection."""
        super().connection_made(OneWrite(transport))

    def on_response_complete(self) -> None:
        """Continue with the next request of the connection."""
        self.transport.flush()
        super().on_response_complete()
        if self._refuse is not None and not self._answers_wait() and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        """Note which requests of the connection are in progress."""
        if self._unfinished + self._shared > MAX_HEAD_BYTES:
            self._check_length(len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1\r\n"))
        self._unfinished, self._shared = 0, self._packet
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            self._without_upgrade = b"".join([start, *lines, b"\r\n"])
            return
        if self.cycle and not self.cycle.response_complete:
            self._earlier = [cycle for cycle in self._earlier if not cycle.response_complete] + [self.cycle]
        super().on_headers_complete()
        # Trailers come when the request may have been read, and are no headers (RFC 9110, section 6.5.1).
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unfinished, self._shared = 0, self._packet
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note when the request was complete: it may wait for others."""
        if self.parser.should_upgrade():
            return
        if self._unfinished + self._shared > MAX_HEAD_BYTES:
            self._check_length()  # of the trailers
        self._unfinished, self._shared = 0, self._packet
        self.scope["state"][RECEIVED] = time.perf_counter()
        super().on_message_complete()

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
