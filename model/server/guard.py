# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands between the network and kserve's endpoints, so that a bad request is never a server error."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import Request  # type: ignore[import-not-found]
from fastapi.exceptions import RequestValidationError  # type: ignore[import-not-found]
from fastapi.responses import JSONResponse  # type: ignore[import-not-found]
from kserve.errors import InvalidInput
from kserve.logging import logger
from kserve.protocol.dataplane import DataPlane
from starlette.types import ASGIApp, Message, Receive, Scope, Send  # type: ignore[import-not-found]

from .errors import BadRequest

# A body of rows takes up to 23 times its size until it is answered (measured: 200 MiB at rest, 386 MiB
# with 8 MiB of rows). In a pod of 512 MiB there is room for one of these at a time, in 1 GiB for four.
MAX_BODY_BYTES = 8 * 1024 * 1024

_CLOUD_EVENT = b"application/cloudevents+json"
_BINARY_HEADER = b"inference-header-content-length"


class GuardedDataPlane(DataPlane):
    """kserve's decoding of bodies, whose every failure is the caller's.

    The binary form of the v2 protocol is decoded by indexing into what the caller sent:
    KeyError, TypeError, ValueError and more come out of it, which kserve answers with 500.
    """

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().decode(*args, **kwargs)
        except InvalidInput as error:
            raise BadRequest(str(error)) from error
        except Exception as error:
            raise BadRequest(
                "The request's body does not follow the inference protocol "
                f"({type(error).__name__} while it was decoded)."
            ) from error


class RequestGuard:
    """ASGI middleware for POST: limits the body, mends the content type, and keeps the model loaded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        # The server serves the one model it started with. kserve's POST /v2/repository/models/NAME/unload
        # would let any caller stop it, while the pod stays Ready.
        if scope["path"].startswith("/v2/repository/"):
            await _refuse(scope, receive, send, HTTPStatus.FORBIDDEN, "This server does not load or unload models.")
            return
        body = await _read(scope, receive)
        if body is None:
            sentence = f"The request's body is larger than {MAX_BODY_BYTES} bytes: send fewer rows at a time."
            await _refuse(scope, receive, send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
            return
        scope = {**scope, "headers": _mend_content_type(scope["headers"])}
        await self._app(scope, _replay(body, receive), send)


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or None where it is larger than MAX_BODY_BYTES."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if int(declared) > MAX_BODY_BYTES:  # the HTTP parser has checked that it is a number
        return None
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":  # the caller has hung up
            break
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        more = message.get("more_body", False)
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _mend_content_type(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Call every body JSON, save those of the two other forms kserve knows.

    kserve takes a body as JSON under few exact names: with 'application/json; charset=utf-8' it
    passes bytes to the model in v1, and without a content type it asks for a binary header in v2.
    """
    values = dict(headers)
    if _BINARY_HEADER in values:
        return headers
    media_type = values.get(b"content-type", b"").split(b";")[0].strip().lower()
    content_type = _CLOUD_EVENT if media_type == _CLOUD_EVENT else b"application/json"
    return [(name, value) for name, value in headers if name != b"content-type"] + [(b"content-type", content_type)]


async def _refuse(scope: Scope, receive: Receive, send: Send, status: HTTPStatus, sentence: str) -> None:
    # The rest of the body is not read: the connection cannot be used again.
    response = JSONResponse({"error": sentence}, status_code=status, headers={"connection": "close"})
    await response(scope, receive, send)


async def answer_bad_request(_request: Request, error: BadRequest) -> JSONResponse:
    """400, and one line in the log."""
    logger.info("Bad request: %s", error)
    return JSONResponse({"error": str(error)}, status_code=HTTPStatus.BAD_REQUEST)


async def answer_validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    """400 with the first fault FastAPI found; it would answer 422 and repeat the whole body.

    A body is tried as an InferenceRequest and as bytes; what is wrong with it as bytes helps no one.
    """
    faults = error.errors()
    fault = next((fault for fault in faults if "bytes" not in fault["loc"]), faults[0])
    place = ".".join(str(part) for part in fault["loc"] if part not in ("body", "InferenceRequest"))
    if fault["type"] == "json_invalid":
        sentence = f"The request's body is not JSON: {fault.get('ctx', {}).get('error', fault['msg'])}."
    elif place:
        sentence = f"The request is wrong at '{place}': {fault['msg']}."
    else:
        sentence = f"The request's body must be a JSON object with 'inputs': {fault['msg']}."
    return await answer_bad_request(request, BadRequest(sentence))
