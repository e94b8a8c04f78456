# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the server writes to a connection, and when."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from model.tests.serving import NAME, iris_folder, raw, serving

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

V1 = f"/v1/models/{NAME}:predict"
SETOSA, VIRGINICA = [5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(iris_folder(tmp_path_factory.mktemp("models")), tmp_path_factory.mktemp("log") / "log") as number:
        yield number


def prediction(*rows: list[float], more: str = "") -> bytes:
    body = json.dumps({"instances": rows}).encode()
    return f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


class Recorded(asyncio.Transport):
    """A connection that records what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Any] = []

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append("close")


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


def test_the_head_of_a_response_is_written_with_its_body() -> None:
    from model.server.http_server import OneWrite

    recorded = Recorded()
    transport = OneWrite(recorded)
    transport.write(HEAD)
    assert recorded.done == []
    transport.write(b"{}")
    transport.write(b"more\r\n\r\n")
    assert recorded.done == [HEAD + b"{}", b"more\r\n\r\n"]


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_head_without_a_body_is_written_at_the_end(end: str) -> None:
    from model.server.http_server import OneWrite

    recorded = Recorded()
    transport = OneWrite(recorded)
    transport.write(HEAD)
    getattr(transport, end)()
    assert recorded.done[0] == HEAD


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        # A response that is complete, and a part of a body that looks like the end of a head.
        HEAD + b"{}",
        b"5\r\nHTTP/\r\n\r\n",
    ],
)
def test_what_is_no_head_does_not_wait(data: bytes) -> None:
    from model.server.http_server import OneWrite

    recorded = Recorded()
    OneWrite(recorded).write(data)
    assert recorded.done == [data]


def test_the_response_to_head_has_no_body_and_the_connection_remains(port: int) -> None:
    answer = raw(
        port,
        b"HEAD /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    first, _empty, rest = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 405 ")
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b'{"live":true}')


def test_a_client_may_wait_for_100_continue(port: int) -> None:
    request = prediction(SETOSA, more="Expect: 100-continue\r\nConnection: close\r\n")
    head, _empty, body = request.partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"predictions":[0]}')


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(port: int) -> None:
    rows = [SETOSA, VIRGINICA, VIRGINICA, SETOSA, VIRGINICA]
    requests = [prediction(row, more="Connection: close\r\n" * (number == 4)) for number, row in enumerate(rows)]
    answer = raw(port, b"".join(requests))
    found = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert found == [{"predictions": [prediction]} for prediction in (0, 2, 2, 0, 2)]


def test_an_answer_is_one_packet(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for _number in range(20):
            connection.sendall(prediction(SETOSA))
            assert connection.recv(65536).endswith(b'{"predictions":[0]}')
