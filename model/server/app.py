# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KServe's endpoints for one model, as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from prometheus_client import REGISTRY, Histogram
from prometheus_client.exposition import choose_encoder

from . import cloud_events
from .errors import BadRequest
from .protocol import read_infer_request, read_json, to_json, write_infer_answer
from .sklearn_model import SklearnModel

# A body of rows takes up to 23 times its size until it is answered (measured: 124 MiB at rest, 303 MiB with 8 MiB of
# rows). In a pod of 512 MiB there is room for two of these at a time, in 1 GiB for five.
MAX_BODY_BYTES = 8 * 1024 * 1024
# What takes less is answered at once: a thread would cost more than the prediction of a few rows takes. What takes
# longer goes to a thread, so that probes are answered meanwhile. 16 KiB, some 700 rows of iris, take half a
# millisecond.
AT_ONCE_BYTES = 16 * 1024
AT_ONCE_SECONDS = 0.005

READY = "/v2/health/ready"
KSERVE = "0.20.0"  # as whose model server this one answers

_JSON = (b"content-type", b"application/json")
_JSON_LENGTH = "inference-header-content-length"

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]


class Answer(NamedTuple):
    """What goes back."""

    body: bytes
    status: int = 200
    headers: tuple[Header, ...] = (_JSON,)


Handler = Callable[[Mapping[str, str], bytes], Answer]


def _histogram(verb: str) -> Histogram:
    # The names of KServe's model servers.
    return Histogram(f"request_{verb}_seconds", f"{verb} request latency", ["model_name"])


_READING, _PREDICTING, _WRITING = map(_histogram, ("preprocess", "predict", "postprocess"))


class App:
    """The application; draining: it is about to end, and asks callers to go elsewhere."""

    def __init__(self, model: SklearnModel) -> None:
        self.draining = False
        self._model = model
        self._observe = [times.labels(model.name).observe for times in (_READING, _PREDICTING, _WRITING)]
        path, ready = f"/v2/models/{model.name}", {"name": model.name, "ready": True}
        said: dict[str, Any] = {
            "/": {"status": "alive"},
            "/v1/models": {"models": [model.name]},
            f"/v1/models/{model.name}": ready,
            "/v2": {"name": "sklearnserver", "version": KSERVE, "extensions": ["binary_tensor_data"]},
            "/v2/health/live": {"live": True},
            READY: {"ready": True},
            "/v2/models": {"models": [model.name]},
            path: model.metadata(),
            f"{path}/ready": ready,
        }
        self._said = {place: Answer(to_json(content)) for place, content in said.items()}
        self._posts = {f"/v1/models/{model.name}:predict": self._predict, f"{path}/infer": self._infer}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        answer = await self._answer(scope, receive)
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"]
        if method == "POST":
            if answer := self._posts.get(path):
                return await self._post(answer, scope, receive)
            # KServe's model server would let any caller stop the model, while the pod stays Ready.
            if path.startswith("/v2/repository/"):
                return _error(HTTPStatus.FORBIDDEN, "This server does not load or unload models.")
        if method == "GET":
            if path == "/metrics":
                return _metrics(scope)
            if path == READY and self.draining:
                return _error(HTTPStatus.SERVICE_UNAVAILABLE, "This server is about to end.")
            if path in self._said:
                return self._said[path]
        if path in self._posts or path in self._said or path == "/metrics":
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} is not for {method}.")
        return _error(HTTPStatus.NOT_FOUND, f"There is no {path:.200} here: the model is {self._model.name}.")

    async def _post(self, answer: Handler, scope: dict[str, Any], receive: Receive) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _read(headers, receive)
        if body is None:
            # The rest of the body is not read: the connection cannot be used again.
            sentence = f"The request's body is larger than {MAX_BODY_BYTES} bytes: send fewer rows at a time."
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence, (b"connection", b"close"))
        try:
            if len(body) <= AT_ONCE_BYTES and self._model.seconds <= AT_ONCE_SECONDS:
                return answer(headers, body)
            return await asyncio.to_thread(answer, headers, body)
        except BadRequest as error:
            logger.info("Bad request: %s", error)
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            logger.exception("A request failed")
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def _predict(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Version 1."""
        began = perf_counter()
        binary = "ce-id" in headers and cloud_events.is_binary(headers)
        payload = cloud_events.read_binary(headers, body) if binary else read_json(body)
        if cloud_events.is_structured(payload):
            payload = payload["data"]
        read = perf_counter()
        predictions = self._model.predict(payload)
        predicted = perf_counter()
        content = {"predictions": predictions.tolist()}
        if binary or _media_type(headers) == cloud_events.STRUCTURED:
            body, more = cloud_events.write(self._model.name, content, binary)
            answer = Answer(body, headers=tuple((name.encode(), value.encode()) for name, value in more.items()))
        else:
            answer = Answer(to_json(content))
        self._note(began, read, predicted)
        return answer

    def _infer(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Version 2."""
        began = perf_counter()
        request = read_infer_request(body, headers.get(_JSON_LENGTH))
        read = perf_counter()
        results = self._model.infer(request)
        predicted = perf_counter()
        text, json_length = write_infer_answer(request, self._model.name, self._model.version, results)
        self._note(began, read, predicted)
        if json_length is None:
            return Answer(text)
        length = (_JSON_LENGTH.encode(), str(json_length).encode())
        return Answer(text, headers=((b"content-type", b"application/octet-stream"), length))

    def _note(self, began: float, read: float, predicted: float) -> None:
        reading, predicting, writing = self._observe
        reading(read - began)
        predicting(predicted - read)
        writing(perf_counter() - predicted)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _error(status: HTTPStatus, sentence: str, *headers: Header) -> Answer:
    return Answer(to_json({"error": sentence}), status, (_JSON, *headers))


def _metrics(scope: dict[str, Any]) -> Answer:
    encode, content_type = choose_encoder(dict(scope["headers"]).get(b"accept", b"").decode("latin-1"))
    return Answer(encode(REGISTRY), headers=((b"content-type", content_type.encode()),))


async def _read(headers: Mapping[str, str], receive: Receive) -> bytes | None:
    """The whole body, or None where it is larger than MAX_BODY_BYTES."""
    if int(headers.get("content-length", 0)) > MAX_BODY_BYTES:  # the HTTP parser has checked that it is a number
        return None
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    whole = bytearray(body)
    while message.get("more_body", False):  # none where the caller has hung up
        message = await receive()
        whole += message.get("body", b"")
        if len(whole) > MAX_BODY_BYTES:
            return None
    return bytes(whole)
