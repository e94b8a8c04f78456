# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sending requests over connections that are kept open, on an asyncio loop.

asyncio's protocols rather than a client library: they are part of Python, and cost a tenth of the time of the usual
clients for a request, which is what a measurement of latencies may not have of its own. Single requests go the same
way: by requests each takes three times the time or more, and by http.client as much (the benchmark smoke_test measures
it). Both would need code beside them for a certificate of another name than the address, for authorities in a variable
and for tunnels of plain HTTP, and would know other proxies than the load does.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import asyncio
import gc
import select
import selectors
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .message import Answer, AnswerReader, MessageError, request
from .server import Done, Effort, Load, NotSent, Proxy, Server, Unanswered, basic, tls_context, unanswered

_SCHEDSTAT = Path("/proc/thread-self/schedstat")
_TIMER_SLACK = Path("/proc/self/timerslack_ns")


class HttpTransport:
    """The Transport port; redirects are not followed."""

    def __init__(self, server: Server, token: str | None = None, user: str | None = None) -> None:
        """:param token: sent as a bearer token.
        :param user: name and password, separated by a colon, sent instead of it.
        """
        self._server = server
        self._context = tls_context(server)
        self._header = {"Host": server.authority(server.host), "Accept": "application/json"}
        if token:
            self._header["Authorization"] = f"Bearer {token}"
        elif user:
            self._header["Authorization"] = basic(user)
        if server.proxy and server.proxy.authorization and not server.tunnel:
            self._header["Proxy-Authorization"] = server.proxy.authorization
        self._loop = asyncio.SelectorEventLoop(_selector())
        self._lines: list[_Line] = []

    def __enter__(self) -> HttpTransport:
        """Return self."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close all connections."""
        for line in self._lines:
            line.drop()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """See Transport."""
        outcome: asyncio.Future[Answer | Unanswered] = self._loop.create_future()
        # What came since the last request, such as the end of the connection, is read first.
        self._loop.run_until_complete(asyncio.sleep(0))
        self._line(0).send(self._request(method, path, body), outcome.set_result)
        result = self._loop.run_until_complete(outcome)
        if isinstance(result, Unanswered):
            raise result
        return result

    def measure(self, load: Load, path: str, bodies: Sequence[bytes]) -> Effort:
        """See Transport."""
        requests = [self._request("POST", path, body) for body in bodies]
        finished: asyncio.Future[None] = self._loop.create_future()

        def send(connection: int, body: int, on_end: Done) -> None:
            self._line(connection).send(requests[body], on_end)

        def end() -> None:
            if not finished.done():
                finished.set_result(None)

        def failed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            # Without this, asyncio would print an error in a callback, and the run would never end.
            if not finished.done():
                finished.set_exception(context.get("exception") or RuntimeError(context["message"]))

        async def run() -> None:
            await asyncio.gather(*(self._line(number).open() for number in range(load.connections)))
            load.start(self._loop, send, end)
            await finished

        self._loop.set_exception_handler(failed)
        before = _effort()
        try:
            with _undisturbed():
                self._loop.run_until_complete(run())
        finally:
            self._loop.set_exception_handler(None)
            for line in self._lines:
                line.forget()
        after = _effort()
        return Effort(after.cpu - before.cpu, after.waited - before.waited)

    def _line(self, number: int) -> _Line:
        while len(self._lines) <= number:
            self._lines.append(_Line(self._server, self._context, self._loop))
        return self._lines[number]

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        target = self._server.prefix + path
        if self._server.proxy and not self._server.tunnel:
            target = f"http://{self._server.authority(self._server.host)}{target}"
        header = self._header | ({"Content-Type": "application/json"} if body else {})
        try:
            return request(method, target, header, body)
        except MessageError as error:
            raise NotSent(f"The request cannot be sent: {error}; correct token, host or url.", retry=False) from None


class _Connection(asyncio.Protocol):
    """One TCP or TLS connection of a line."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self.reader = AnswerReader()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._line.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.lost(self, exc)


class _Line:
    """One request at a time over a connection that is opened when it is needed.

    A server may close a connection that is idle, and then a request crosses with its farewell: where a used connection
    ends before a byte of the answer, the request is sent once more over a new one. Predictions may be repeated.
    """

    def __init__(self, server: Server, context: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._context = context
        self._loop = loop
        self._connection: _Connection | None = None
        self._fresh = False
        self._request = b""
        self._on_end: Done | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._opening: asyncio.Task[None] | None = None

    def send(self, request: bytes, on_end: Done) -> None:
        """Send a request, and call back with its answer, never before this returns."""
        self._request, self._on_end = request, on_end
        # One timer for many requests: to set one for each, and take it back, shows in the latencies.
        self._deadline = self._loop.time() + self._server.timeout
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._late)
        connection = self._connection
        if connection is not None and connection.transport is not None and not connection.transport.is_closing():
            self._fresh = False
            connection.transport.write(request)
        else:
            self._reopen()

    async def open(self) -> None:
        """Open the connection where it is not; a failure shows when a request is sent."""
        if self._connection is None:
            try:
                self._connection = await asyncio.wait_for(
                    _open(self, self._server, self._context), self._server.timeout
                )
            except (OSError, MessageError, Unanswered):
                return

    def forget(self) -> None:
        """Give up the request that is under way, if there is one."""
        if self._on_end:
            self.drop()

    def drop(self) -> None:
        """Close the connection, and give up what is under way."""
        self._on_end = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._opening:
            self._opening.cancel()
        connection, self._connection = self._connection, None
        if connection and connection.transport:
            connection.transport.abort()

    def received(self, connection: _Connection, data: bytes) -> None:
        """Take bytes of an answer."""
        if connection is not self._connection:
            return
        if self._on_end is None:  # bytes without a request
            self.drop()
            return
        try:
            answer = connection.reader.feed(data)
        except MessageError as error:
            self._finish(unanswered(self._server, error))
            return
        if answer is not None:
            self._finish(answer)

    def lost(self, connection: _Connection, error: Exception | None) -> None:
        """Take the end of a connection."""
        if connection is not self._connection:
            return
        self._connection = None
        if self._on_end is None:
            return
        if not self._fresh and not connection.reader.started and not isinstance(error, ssl.SSLError):
            self._reopen()
        elif error is not None:
            self._finish(unanswered(self._server, error))
        elif not connection.reader.started:
            self._finish(unanswered(self._server, ConnectionError("it closed the connection without an answer")))
        else:
            try:
                self._finish(connection.reader.end())
            except MessageError as short_answer:
                self._finish(unanswered(self._server, short_answer))

    def _reopen(self) -> None:
        self._fresh, self._connection = True, None
        self._opening = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            connection = await _open(self, self._server, self._context)
        except (OSError, MessageError, Unanswered) as error:
            self._finish(unanswered(self._server, error))
            return
        self._connection = connection
        if connection.transport is None or connection.transport.is_closing():
            self.lost(connection, None)  # the end came before this task was notified of the connection
        else:
            connection.transport.write(self._request)

    def _late(self) -> None:
        self._timer = None
        if self._on_end is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._late)
            return
        self._finish(unanswered(self._server, TimeoutError()))

    def _finish(self, result: Answer | Unanswered) -> None:
        on_end = self._on_end
        if on_end is None:
            return
        connection = self._connection
        if isinstance(result, Unanswered) or connection is None or not connection.reader.reusable:
            self.drop()
        self._on_end = None
        on_end(result)


async def _open(line: _Line, server: Server, context: ssl.SSLContext | None) -> _Connection:
    """Return a connection to the server, through the proxy where there is one."""
    loop = asyncio.get_running_loop()
    name = server.host if context else None
    connection = _Connection(line)
    proxy = server.proxy
    if proxy is None:
        await loop.create_connection(lambda: connection, server.address, server.port, ssl=context, server_hostname=name)
    elif not server.tunnel:
        await loop.create_connection(lambda: connection, proxy.host, proxy.port)
    else:
        tunnel = _Tunnel()
        transport, _protocol = await loop.create_connection(lambda: tunnel, proxy.host, proxy.port)
        try:
            await tunnel.through(transport, server, proxy)
            if context is None:
                transport.set_protocol(connection)
                connection.connection_made(transport)
            else:
                secure = await loop.start_tls(transport, connection, context, server_hostname=name)
                connection.connection_made(cast(asyncio.Transport, secure))
        except BaseException:
            transport.abort()
            raise
    return connection


class _Tunnel(asyncio.Protocol):
    """The CONNECT request to a proxy, before it forwards bytes."""

    def __init__(self) -> None:
        self._reader = AnswerReader(to_connect=True)
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def through(self, transport: asyncio.Transport, server: Server, proxy: Proxy) -> None:
        """Ask for a tunnel to the server, and return once it is there."""
        target = server.authority(server.address, with_port=True)
        header = {"Host": target}
        if proxy.authorization:
            header["Proxy-Authorization"] = proxy.authorization
        transport.write(request("CONNECT", target, header))
        answer = await self._answer
        if not 200 <= answer.status < 300:
            message = short(answer.body.decode("utf-8", errors="replace"))
            place = f"{proxy.host}:{proxy.port}"
            todo = "give user and password in proxy" if answer.status == 407 else "check proxy and what it allows"
            raise Unanswered(
                f"The proxy {place} answered {answer.status}{f' ({message})' if message else ''} instead of connecting "
                f"to {target}; {todo}.",
                retry=answer.status in (502, 503, 504),
            )

    def data_received(self, data: bytes) -> None:
        try:
            answer = self._reader.feed(data)
        except MessageError as error:
            self._fail(error)
            return
        if answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the proxy closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)


def _selector() -> selectors.BaseSelector:
    return _FineSelector() if _FineSelector is not None else selectors.DefaultSelector()


_SELECT_SET = 1024  # FD_SETSIZE of select(2)
_FineSelector: Callable[[], selectors.BaseSelector] | None = None
if hasattr(selectors, "EpollSelector"):

    class _FineEpollSelector(selectors.EpollSelector):
        """epoll, which waits for whole milliseconds, behind select, which does for microseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            # select takes no descriptor beyond its fixed set; with so many, whole milliseconds do.
            if timeout is not None and timeout > 0 and self.fileno() < _SELECT_SET:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)

    _FineSelector = _FineEpollSelector


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep from the measurement what Python and Linux do beside it: collecting garbage, and waking up together."""
    enabled = gc.isenabled()
    gc.disable()
    slack = _timer_slack("1")
    try:
        yield
    finally:
        if slack:
            _timer_slack(slack)
        if enabled:
            gc.enable()


def _effort() -> Effort:
    """Return what this thread has had of a core, and, where Linux tells, how long it waited for one."""
    try:
        waited = int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        waited = 0.0
    return Effort(time.thread_time(), waited)


def _timer_slack(nanoseconds: str) -> str | None:
    """Set by how much Linux may wake this program late, 50 microseconds usually, and return what it was."""
    try:
        before = _TIMER_SLACK.read_text().strip()
        _TIMER_SLACK.write_text(nanoseconds)
    except OSError:
        return None
    return before
