# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import (
    MAX_HEAD,
    Answer,
    AnswerReader,
    MessageError,
    request,
)


def test_a_request() -> None:
    assert (
        request("POST", "/a", {"Host": "iris"}, b"{}")
        == b"POST /a HTTP/1.1\r\nHost: iris\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert request("GET", "/a", {"Host": "iris"}) == b"GET /a HTTP/1.1\r\nHost: iris\r\n\r\n"
    assert b"Content-Length: 0\r\n" in request("POST", "/a", {})


def test_no_header_can_be_injected() -> None:
    with pytest.raises(MessageError, match="end of line"):
        request("GET", "/", {"Authorization": "Bearer a\r\nX-Other: b"})


def test_a_header_outside_ascii_is_rejected() -> None:
    with pytest.raises(MessageError, match="outside ASCII"):
        request("GET", "/a", {"Authorization": "Bearer \u201cquoted\u201d"})


WHOLE = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Answer(200, b"abc"), True),
    "nothing": (b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", Answer(200, b""), True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, b""), True),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
        Answer(200, b"abc"),
        True,
    ),
    "trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ: a\r\n\r\n",
        Answer(200, b"0123456789"),
        True,
    ),
    "continue": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        Answer(200, b"a"),
        True,
    ),
    "close": (b"HTTP/1.1 503 No\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na", Answer(503, b"a"), False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", Answer(200, b"a"), False),
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", Answer(200, b"a"), True),
    "same length twice": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        Answer(200, b"a"),
        True,
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_responses_in_chunks_of_any_size(case: str) -> None:
    data, wanted, reusable = WHOLE[case]
    for size in (1, 2, 7, len(data)):
        reader = AnswerReader()
        got = [reader.feed(data[at : at + size]) for at in range(0, len(data), size)]
        assert got == [None] * (len(got) - 1) + [wanted]
        assert reader.reusable is reusable and not reader.started


def test_one_answer_after_another() -> None:
    reader = AnswerReader()
    for case in ("length", "chunks", "no content", "continue", "trailer"):
        data, wanted, _reusable = WHOLE[case]
        assert reader.feed(data) == wanted


def test_the_end_of_the_connection_ends_an_answer_without_length() -> None:
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nab") is None
    assert reader.feed(b"c") is None
    assert reader.end() == Answer(200, b"abc") and not reader.reusable


def test_a_tunnel_has_no_body() -> None:
    assert AnswerReader(to_connect=True).feed(b"HTTP/1.1 200 Established\r\n\r\n") == Answer(200, b"")
    refused = b"HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx"
    assert AnswerReader(to_connect=True).feed(refused) == Answer(407, b"x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    ],
)
def test_a_truncated_response_is_an_error(data: bytes) -> None:
    reader = AnswerReader()
    assert reader.feed(data) is None
    with pytest.raises(MessageError, match="in the middle"):
        reader.end()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<html>\r\n\r\n", "status line"),
        (b"HTTP/2 200\r\n\r\n", "status line"),
        (b"HTTP/1.1 999 OK\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "line of its header"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "line of its header"),
        (b"HTTP/1.1 200 OK\r\n folded: b\r\n\r\n", "line of its header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "chunk is no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "not as long as it says"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", "more bytes"),
        (b"a" * (MAX_HEAD + 1), "header is too long"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * (MAX_HEAD + 1), "chunk is too long"),
    ],
)
def test_an_ambiguous_response_is_an_error(data: bytes, says: str) -> None:
    with pytest.raises(MessageError, match=says):
        AnswerReader().feed(data)
