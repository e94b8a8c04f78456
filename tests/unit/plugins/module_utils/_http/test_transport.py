# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transport over real sockets on 127.0.0.1: TLS, mutual TLS, proxies, faults, and load."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import Answer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Unanswered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.transport import HttpTransport
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.latency import latencies
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.plan import Plan, PlannedLoad

from ..scripted_server import Authority, Connection, Script, Server, echo, tunnel

HOST = "iris.example.com"


@contextmanager
def transport(server: Server, token: str | None = None, **changes: Any) -> Iterator[HttpTransport]:
    options: dict[str, Any] = {
        "url": None, "scheme": "http", "host": HOST, "port": server.port, "address": "127.0.0.1", "environ": {}
    }  # fmt: skip
    with HttpTransport(http_server.server(**{**options, **changes}), token) as made:
        yield made


def ask(script: Script, path: str = "/p", body: bytes = b"[1]", **changes: Any) -> Answer:
    with Server(script) as server, transport(server, **changes) as client:
        return client.ask("POST", path, body)


def carried_out(client: HttpTransport, plan: Plan, stop_at_error: bool = True) -> PlannedLoad:
    load = PlannedLoad(plan, 1, lambda _body, _answer: None, stop_at_error)
    effort = client.measure(load, "/p", [b"[1]"])
    assert effort.cpu > 0 and effort.waited >= 0
    return load


def test_a_request() -> None:
    seen = []

    def script(connection: Connection, _number: int) -> None:
        while (received := connection.request()) is not None:
            seen.append(received)
            connection.answer(b"[0]", "201 Created")

    with Server(script) as server, transport(server, token="PLANTED") as client:
        assert client.ask("POST", "/v2/x", b"{}") == Answer(201, b"[0]")
        assert client.ask("GET", "/v2/y") == Answer(201, b"[0]")
        assert server.connections == 1
    (posted, body), (got, nothing) = seen
    assert posted.split("\r\n") == [
        "POST /v2/x HTTP/1.1",
        f"Host: {HOST}:{server.port}",
        "Accept: application/json",
        "Authorization: Bearer PLANTED",
        "Content-Type: application/json",
        "Content-Length: 2",
    ]
    assert body == b"{}" and got.startswith("GET /v2/y HTTP/1.1\r\n") and nothing == b""


def test_a_token_cannot_inject_a_header() -> None:
    with pytest.raises(Unanswered, match="correct token") as caught:
        ask(echo, token="a\r\nX: y")
    assert not caught.value.retry


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pem(authority: Authority) -> str:
    return authority.sign(HOST)


def secure(pem: str, names: list[str | None] | None = None, clients: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.load_cert_chain(pem)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
    if names is not None:
        context.sni_callback = lambda _socket, name, _context: names.append(name)
    return context


def ask_securely(context: ssl.SSLContext, script: Script = echo, **changes: Any) -> Answer:
    with Server(script, context) as server, transport(server, scheme="https", **changes) as client:
        return client.ask("POST", "/p", b"[1]")


def test_the_host_name_is_sent_and_verified_independent_of_the_address(authority: Authority, pem: str) -> None:
    names: list[str | None] = []
    assert ask_securely(secure(pem, names), ca_path=authority.path) == Answer(200, b"[1]")
    assert names == [HOST]
    content = Path(authority.path).read_text()
    assert ask_securely(secure(pem), ca_content=content).status == 200


@pytest.mark.parametrize(("ca", "host"), [(False, HOST), (True, "other.example.com")])
def test_a_certificate_of_another_ca_or_name(authority: Authority, pem: str, ca: bool, host: str) -> None:
    with pytest.raises(Unanswered, match=r"is not accepted .* or correct host") as caught:
        ask_securely(secure(pem), ca_path=authority.path if ca else None, host=host)
    assert not caught.value.retry


def test_an_unverified_certificate(pem: str) -> None:
    assert ask_securely(secure(pem), validate_certs=False, host="other").status == 200


def test_an_internationalized_host_name(authority: Authority) -> None:
    names: list[str | None] = []
    heads: list[str] = []

    def script(connection: Connection, _number: int) -> None:
        while (received := connection.request()) is not None:
            heads.append(received[0])
            connection.answer(b"[1]")

    context = secure(authority.sign("xn--mnchen-3ya.example"), names)
    with Server(script, context) as server:
        url = f"https://München.example:{server.port}/modèle%20x/"
        with transport(server, url=url, ca_path=authority.path) as client:
            assert client.ask("GET", "/p").status == 200
        lines = ["GET /mod%C3%A8le%20x/p HTTP/1.1", f"Host: xn--mnchen-3ya.example:{server.port}"]
    assert heads[0].split("\r\n")[:2] == lines and names == ["xn--mnchen-3ya.example"]


def test_mutual_tls(authority: Authority, pem: str) -> None:
    wants = secure(pem, clients=authority.path)
    shown = authority.sign("client.example.com")
    assert ask_securely(wants, ca_path=authority.path, client_cert=shown, client_key=shown).status == 200
    assert ask_securely(wants, ca_path=authority.path, client_cert=shown).status == 200
    with pytest.raises(Unanswered, match=r"wants a client's certificate .* set client_cert and client_key") as caught:
        ask_securely(wants, ca_path=authority.path)
    assert not caught.value.retry


def test_mutual_tls_with_a_certificate_of_another_ca(authority: Authority, pem: str, tmp_path: Path) -> None:
    shown = Authority(tmp_path, "other").sign("client.example.com")
    with pytest.raises(Unanswered, match="does not accept the client's certificate") as caught:
        ask_securely(secure(pem, clients=authority.path), ca_path=authority.path, client_cert=shown)
    assert not caught.value.retry


def test_a_server_without_tls(authority: Authority) -> None:
    def script(connection: Connection, _number: int) -> None:
        connection.raw.recv(10)
        connection.raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with (
        Server(script) as server,
        transport(server, scheme="https", ca_path=authority.path) as client,
        pytest.raises(Unanswered, match="There is no TLS connection to") as caught,
    ):
        client.ask("GET", "/p")
    assert caught.value.retry


def test_a_listener_that_is_not_ready_ends_the_handshake(authority: Authority) -> None:
    with (
        Server(lambda connection, _number: connection.raw.close()) as server,
        transport(server, scheme="https", ca_path=authority.path) as client,
        pytest.raises(Unanswered) as caught,
    ):
        client.ask("GET", "/p")
    assert caught.value.retry


# Proxies.


def test_https_goes_through_a_tunnel(authority: Authority, pem: str) -> None:
    heads: list[str] = []
    inner: list[str] = []

    def script(connection: Connection, _number: int) -> None:
        while (received := connection.request()) is not None:
            inner.append(received[0])
            connection.answer(b"[0]")

    options = {"scheme": "https", "ca_path": authority.path}
    with Server(script, secure(pem)) as server, Server(tunnel(heads)) as proxy:
        url = f"http://me:PLANTED@127.0.0.1:{proxy.port}"
        with transport(server, proxy=url, **options) as client:
            assert client.ask("POST", "/p", b"[1]") == Answer(200, b"[0]")
            load = carried_out(client, Plan(6, concurrency=2))
        assert load.failure is None and len(load.seconds) == 6
        assert (proxy.connections, server.connections) == (2, 2)
    assert heads[0].split("\r\n") == [
        f"CONNECT 127.0.0.1:{server.port} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Proxy-Authorization: Basic bWU6UExBTlRFRA==",
    ]
    assert inner[0].startswith("POST /p HTTP/1.1\r\n") and "Proxy-Authorization" not in "".join(inner)


def test_http_with_another_name_goes_through_a_tunnel_as_well() -> None:
    heads: list[str] = []
    with (
        Server() as server,
        Server(tunnel(heads)) as proxy,
        transport(server, proxy=f"127.0.0.1:{proxy.port}") as client,
    ):
        assert client.ask("POST", "/p", b"[1]") == Answer(200, b"[1]")
    assert heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} ")


def test_http_requests_are_sent_to_the_proxy() -> None:
    heads: list[str] = []

    def script(connection: Connection, _number: int) -> None:
        while (received := connection.request()) is not None:
            heads.append(received[0])
            connection.answer(b"[0]")

    with Server(script) as proxy:
        url = f"http://me:PLANTED@127.0.0.1:{proxy.port}"
        with transport(proxy, address=None, port=8080, proxy=url) as client:
            assert client.ask("GET", "/p") == Answer(200, b"[0]")
    assert heads[0].startswith(f"GET http://{HOST}:8080/p HTTP/1.1\r\nHost: {HOST}:8080\r\n")
    assert "Proxy-Authorization: Basic" in heads[0]


@pytest.mark.parametrize(
    ("status", "retry", "says"),
    [
        ("407 Proxy Authentication Required", False, r"answered 407 \(no\) .*; give user and password in proxy"),
        (
            "403 Forbidden",
            False,
            r"answered 403 \(no\) instead of connecting to 127\.0\.0\.1:\d+; check proxy and what",
        ),
        ("502 Bad Gateway", True, r"answered 502"),
    ],
)
def test_a_proxy_that_rejects(authority: Authority, status: str, retry: bool, says: str) -> None:
    with Server() as server, Server(tunnel([], status)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with (
            transport(server, scheme="https", ca_path=authority.path, proxy=url) as client,
            pytest.raises(Unanswered, match=says) as caught,
        ):
            client.ask("GET", "/p")
    assert caught.value.retry is retry


def test_a_missing_proxy() -> None:
    with (
        Server() as server,
        transport(server, scheme="https", proxy=f"http://127.0.0.1:{closed_port()}") as client,
        pytest.raises(Unanswered, match=r"cannot be reached by the proxy 127\.0\.0\.1:\d+ \(Connection refused\)"),
    ):
        client.ask("GET", "/p")


# Faults.


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_closed_port() -> None:
    with (
        Server() as server,
        transport(server, port=closed_port()) as client,
        pytest.raises(Unanswered, match=r"cannot be reached \(Connection refused\); check address") as caught,
    ):
        client.ask("GET", "/p")
    assert caught.value.retry


def test_silence_ends_with_the_timeout_and_the_next_request_has_a_new_connection() -> None:
    def script(connection: Connection, number: int) -> None:
        if number > 1:
            echo(connection, number)
        else:
            connection.request()
            connection.raw.recv(1)

    with Server(script) as server, transport(server, timeout=0.2) as client:
        with pytest.raises(Unanswered, match=r"does not answer within 0\.2 seconds") as caught:
            client.ask("POST", "/p", b"[1]")
        assert caught.value.retry
        assert client.ask("POST", "/p", b"[2]") == Answer(200, b"[2]")


def test_the_timeout_is_of_each_request() -> None:
    def script(connection: Connection, _number: int) -> None:
        connection.request()
        time.sleep(0.2)
        connection.answer(b"[0]")
        connection.request()
        connection.raw.recv(1)

    with Server(script) as server, transport(server, timeout=0.3) as client:
        assert client.ask("POST", "/p", b"[1]").status == 200
        began = time.monotonic()
        with pytest.raises(Unanswered, match="does not answer within"):
            client.ask("POST", "/p", b"[2]")
        assert time.monotonic() - began >= 0.29


def sends(data: bytes, reset: bool = False) -> Script:
    def script(connection: Connection, _number: int) -> None:
        if connection.request() is not None:
            connection.raw.sendall(data)
            if reset:
                connection.reset()

    return script


@pytest.mark.parametrize(
    ("data", "reset", "says"),
    [
        (b"", True, r"cannot be reached \(Connection reset by peer\)"),
        (b"", False, "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", False, "ended in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[", False, "ended in the middle"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False, "does not speak HTTP as it should: .* check scheme and port"),
    ],
)
def test_invalid_responses(data: bytes, reset: bool, says: str) -> None:
    with pytest.raises(Unanswered, match=says) as caught:
        ask(sends(data, reset))
    assert caught.value.retry


def test_chunks_and_a_response_without_length() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
    assert ask(sends(chunked)) == Answer(200, b"[1]")
    assert ask(sends(b"HTTP/1.1 200 OK\r\n\r\n[1]")) == Answer(200, b"[1]")


def test_unsolicited_bytes_are_not_a_response() -> None:
    sent = threading.Event()

    def script(connection: Connection, number: int) -> None:
        connection.request()
        connection.answer(b"[0]")
        if number == 1:
            time.sleep(0.05)
            connection.answer(b"[bad]")
            sent.set()
        echo(connection, number)

    with Server(script) as server, transport(server) as client:
        assert client.ask("POST", "/p", b"[1]") == Answer(200, b"[0]")
        assert sent.wait(5)
        assert client.ask("POST", "/p", b"[2]") == Answer(200, b"[0]")
        assert server.connections == 2


# Faults that are retried.


def closes_after(answers: int, farewell: bool = True) -> Script:
    """Close after some responses: either after the last one, or after one more request."""

    def script(connection: Connection, _number: int) -> None:
        for _answer in range(answers):
            if connection.request() is None:
                return
            connection.answer(b"[0]")
        if not farewell:
            connection.request()

    return script


@pytest.mark.parametrize("farewell", [True, False])
@pytest.mark.parametrize("rate", [None, 200.0])
def test_a_connection_closed_between_requests_is_no_error(farewell: bool, rate: float | None) -> None:
    with Server(closes_after(3, farewell)) as server, transport(server) as client:
        load = carried_out(client, Plan(30, rate=rate, concurrency=1))
        assert load.failure is None and len(load.seconds) == 30
        assert server.connections >= 10


def test_a_reset_of_a_reused_connection_is_retried_once() -> None:
    def script(connection: Connection, _number: int) -> None:
        connection.request()
        connection.answer(b"[0]")
        connection.request()
        connection.reset()

    with Server(script) as server, transport(server) as client:
        assert [client.ask("POST", "/p", b"[1]").status for _request in range(3)] == [200] * 3
        assert server.connections == 3


def test_a_server_that_closes_each_connection() -> None:
    def script(connection: Connection, _number: int) -> None:
        connection.request()
        connection.answer(b"[0]", "200 OK", "Connection: close")

    with Server(script) as server, transport(server) as client:
        load = carried_out(client, Plan(5))
        assert load.failure is None and len(load.seconds) == 5 and server.connections == 5


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    """Have this many descriptors open, as a process that runs many tasks at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * count), hard))
    opened: list[int] = []
    try:
        while not opened or opened[-1] < count:
            opened.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_load_with_descriptors_beyond_those_of_select() -> None:
    with many_descriptors(1100), Server(echo) as server, transport(server) as client:
        load = carried_out(client, Plan(20, rate=200.0, concurrency=2))
        assert load.failure is None and len(load.seconds) == 20


def test_a_server_that_stops_under_load_is_counted() -> None:
    def script(connection: Connection, number: int) -> None:
        if number == 1:
            echo_some(connection, 4)

    def echo_some(connection: Connection, count: int) -> None:
        for _request in range(count):
            connection.request()
            connection.answer(b"[0]")

    with Server(script) as server, transport(server) as client:
        load = carried_out(client, Plan(10), stop_at_error=False)
    assert len(load.seconds) == 4 and sum(load.errors.values()) == 6


def test_a_load_on_many_connections() -> None:
    with Server() as server, transport(server) as client:
        load = carried_out(client, Plan(200, concurrency=8))
        assert load.failure is None and len(load.seconds) == 200 and server.connections == 8


def test_an_exception_in_a_callback_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(_body: int, _answer: Answer) -> None:
        raise ZeroDivisionError

    with Server() as server, transport(server) as client, pytest.raises(ZeroDivisionError):
        client.measure(PlannedLoad(Plan(5), 1, judge), "/p", [b"[1]"])


def stalls(connection: Connection, number: int) -> None:
    """Stall for 200 ms once a second."""
    while (received := connection.request()) is not None:
        time.sleep(max(0.0, 0.2 - time.monotonic() % 1))
        connection.answer(received[1])


def test_a_stall_shows_in_an_open_load_but_not_in_a_closed_one() -> None:
    with Server(stalls) as server, transport(server) as client:
        closed = latencies(carried_out(client, Plan(0, seconds=2)).seconds)
        opened = latencies(carried_out(client, Plan(0, seconds=2, rate=100)).seconds)
    assert opened["count"] == 200
    # A fifth of the open load's requests are due in a stall, and wait for its end; of the closed load's, one per stall.
    assert opened["p99"] > 150 and opened["p95"] > 100
    assert closed["p50"] < opened["p95"]
