# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests and answers of HTTP/1.1 as bytes, for a client that must not take long over them.

Read strictly by RFC 9112: what a careful client must not guess at is an error.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_HEAD = 65536  # bytes of a status line with its header, and of the size line of a chunk
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: .*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class MessageError(Exception):
    """The bytes are no answer of HTTP/1.1; the text says why, to follow a colon."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes


def request(method: str, target: str, header: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request as bytes; Content-Length is added where there is a body.

    :raises MessageError: a value contains an end of line, with which a header could be smuggled in, or is not ASCII.
    """
    fields = dict(header)
    if body or method == "POST":
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise MessageError("a header holds an end of line")
    try:
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body
    except UnicodeEncodeError:
        raise MessageError("a header holds a character outside ASCII") from None


class AnswerReader:
    """The answers on one connection, read as their bytes come in, one for each request.

    started: whether any byte of the answer has come; reusable: whether the connection can take another
    request after the last answer.
    """

    def __init__(self, to_connect: bool = False) -> None:
        """Begin; to_connect: the request is CONNECT, so an answer of success has no body."""
        self._to_connect = to_connect
        self._buffer = bytearray()
        self._status = 0
        self._left: int | None = None  # bytes of the body that must come; None where the end of the connection ends it
        self._chunks: bytearray | None = None
        self._in_body = False
        self.reusable = True

    @property
    def started(self) -> bool:
        """Tell whether an answer has begun."""
        return self._in_body or bool(self._buffer)

    def feed(self, data: bytes) -> Answer | None:
        """Take in bytes and return the answer once it is whole.

        :raises MessageError: it is no answer of HTTP/1.1, or there is more than one.
        """
        self._buffer += data
        while not self._in_body:
            if not self._head():
                return None
        if self._chunks is not None:
            return self._answer(bytes(self._chunks)) if self._chunked(self._chunks) else None
        if self._left is None or len(self._buffer) < self._left:
            return None
        body = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        return self._answer(body)

    def end(self) -> Answer:
        """Return the answer that the end of the connection ends.

        :raises MessageError: it is not whole.
        """
        if self._in_body and self._left is None and self._chunks is None:
            body = bytes(self._buffer)
            self._buffer.clear()
            return self._answer(body)
        raise MessageError("the connection ended in the middle of the answer")

    def _answer(self, body: bytes) -> Answer:
        if self._buffer:
            raise MessageError("more bytes than the answer came")
        answer = Answer(self._status, body)
        self._in_body, self._chunks, self._left = False, None, None
        return answer

    def _head(self) -> bool:
        """Read a status line with its header, and return whether it was there."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
            raise MessageError("its header is too long")
        if end < 0:
            return False
        first, *lines = bytes(buffer[:end]).split(b"\r\n")
        del buffer[: end + 4]
        matched = _STATUS.fullmatch(first)
        if not matched:
            raise MessageError("it does not begin with a status line of HTTP/1.1")
        fields: dict[bytes, bytes] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if not colon or not _NAME.fullmatch(name):
                raise MessageError("a line of its header is none")
            fields[name] = fields[name] + b"," + value if name in fields else value
        self._status = int(matched[2])
        if self._status >= 200:  # the answer itself follows one such as 100 Continue
            self._framing(fields, matched[1] == b"1")
        return True

    def _framing(self, fields: Mapping[bytes, bytes], persistent: bool) -> None:
        """Find out how the body ends and whether the connection stays open: RFC 9112, sections 6.3 and 9.3."""
        options = {option.strip().lower() for option in fields.get(b"connection", b"").split(b",")}
        self.reusable = b"close" not in options and (persistent or b"keep-alive" in options)
        self._in_body, self._left, self._chunks = True, None, None
        coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if self._status in (204, 304) or (self._to_connect and self._status < 300):
            self._left = 0
        elif coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise MessageError("its Transfer-Encoding is not understood")
            self._chunks = bytearray()
        elif length is not None:
            sizes = {size.strip() for size in length.split(b",")}
            size = sizes.pop()
            if sizes or not size.isdigit() or len(size) > 15:
                raise MessageError("its Content-Length is no number")
            self._left = int(size)
        else:
            self.reusable = False

    def _chunked(self, body: bytearray) -> bool:
        """Move whole chunks to the body, and return whether the last one and the trailer have come."""
        buffer = self._buffer
        while True:
            end = buffer.find(b"\r\n")
            if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
                raise MessageError("the size of a chunk is too long")
            if end < 0:
                return False
            matched = _SIZE.fullmatch(bytes(buffer[:end]))
            if not matched:
                raise MessageError("the size of a chunk is no number")
            size, at = int(matched[1], 16), end + 2
            if size == 0:
                return self._trailer(at)
            if len(buffer) < at + size + 2:
                return False
            if buffer[at + size : at + size + 2] != b"\r\n":
                raise MessageError("a chunk is not as long as it says")
            body += buffer[at : at + size]
            del buffer[: at + size + 2]

    def _trailer(self, at: int) -> bool:
        """Drop the last chunk with the trailer after it, once they are there."""
        buffer = self._buffer
        end = at if buffer[at : at + 2] == b"\r\n" else buffer.find(b"\r\n\r\n", at) + 2
        if len(buffer) > at + MAX_HEAD:
            raise MessageError("its trailer is too long")
        if end < at or len(buffer) < end + 2:
            return False
        del buffer[: end + 2]
        return True
