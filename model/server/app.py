# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KServe's endpoints for one model, as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from numpy.typing import NDArray
from prometheus_client import make_asgi_app

from . import cloud_events
from .errors import BadRequest, NotFinite, Reason
from .joint import Arrays, JointCalls
from .metrics import CLIENT_CLOSED, V1, V2, ModelMetrics
from .protocol import (
    MOST_DIGITS,
    InferRequest,
    RequestedOutput,
    read_infer_request,
    read_json,
    to_json,
    unpacked,
    write_infer_response,
)
from .rows import Columns
from .sklearn_model import ModelInput, SklearnModel

# A request needs up to 36 times the size of its body in memory, of rows of four floats 6 to 20 times: 107 MiB idle, 263
# MiB with 8 MiB of them. The most is for single values, as objects or because each prediction is ten times as long. A
# pod of 512 MiB can process two requests of rows of floats at a time, one of 1 GiB five.
MAX_BODY_BYTES = 8 * 1024 * 1024
# A request up to the limit is read, and its response written, in the event loop, because a thread costs more. A larger
# one has a thread of its own, so that probes and smaller requests are still answered. 16 KiB are about 700 rows of iris
# and take half a millisecond.
INLINE_BYTES = 16 * 1024
# The rows of a call for several requests: in the event loop, where probes wait for its end, and in a thread. More rows
# would save little: a call of iris takes 67 microseconds for 2 rows, and 150 for 128.
LOOP_ROWS, THREAD_ROWS = 256, 1024

READY = "/v2/health/ready"
INDEX = "/v2/repository/index"
METRICS = "/metrics"
# In the state of a request's scope: when the HTTP server received the last byte, and what it calls when the client has
# closed the connection before the response.
RECEIVED, GONE = "received", "gone"
CODINGS = (b"identity", b"gzip", b"x-gzip")
KSERVE = "0.20.0"  # the version whose model server this one is compatible with

_JSON = (b"content-type", b"application/json")
_JSON_LENGTH = b"inference-header-content-length"
_EVENT = cloud_events.STRUCTURED.encode()
LATIN = "latin-1"  # of headers (RFC 9110, section 5.5)

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
Headers = Mapping[bytes, bytes]
"""By their names in lower case."""


class Response(NamedTuple):
    """An HTTP response; rows: that it predicts; reason: why the input was rejected, if it was."""

    body: bytes
    status: int = 200
    headers: tuple[Header, ...] = (_JSON,)
    rows: int = 0
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request that was read; write: makes the response of the answer."""

    input: ModelInput[Any]
    started: float
    read: float
    write: Callable[[Any], Response]


Reader = Callable[[Headers, bytes], ReadRequest]


class Disconnected(Exception):
    """The client has closed the connection before its request was predicted."""


class App:
    """The application; draining: it shuts down soon, so that clients should close their connections.

    Args:
        metrics_port: the port at which the metrics are served, and nothing else; defaults to the port of the API.
        together: whether requests that wait at the same time are predicted in one call.
    """

    def __init__(
        self, model: SklearnModel, metrics: ModelMetrics, metrics_port: int | None = None, together: bool = True
    ) -> None:
        self.draining = False
        # A slow model is predicted in a thread, so that probes are still answered. Large requests do not use this one.
        self._calls = JointCalls(
            model.call,
            model.is_independent if together else lambda _columns, _method: False,
            THREAD_ROWS if model.is_slow else LOOP_ROWS,
            ThreadPoolExecutor(1) if model.is_slow else None,
            metrics.call,
        )
        self._model = model
        self._metrics = metrics
        self._metrics_port = metrics_port
        self._scrape = make_asgi_app()
        path, ready = f"/v2/models/{model.name}", {"name": model.name, "ready": True}
        documents: dict[str, Any] = {
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
        index = [{"name": model.name, "version": model.version or "", "state": "READY", "reason": ""}]
        self._predictions: dict[str, tuple[str, Reader]] = {
            f"/v1/models/{model.name}:predict": (V1, self._read_v1),
            f"{path}/infer": (V2, self._read_v2),
        }
        # MLServer's list of the models that it can load.
        self._index = Response(to_json(index))
        if model.version:
            of_version = f"{path}/versions/{model.version}"
            documents |= {of_version: documents[path], f"{of_version}/ready": ready}
            self._predictions[f"{of_version}/infer"] = (V2, self._read_v2)
        self._static = {path: Response(to_json(content)) for path, content in documents.items()}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Respond to a request."""
        method, path = scope["method"], scope["path"]
        at_metrics_port = scope["server"][1] == self._metrics_port
        if method == "POST" and not at_metrics_port and (found := self._predictions.get(path)):
            await self._respond_with_predictions(*found, scope, receive, send)
        elif method == "GET" and path == METRICS and (at_metrics_port or self._metrics_port is None):
            await self._respond_with_metrics(scope, receive, send)
        elif at_metrics_port:
            await self._send(_error(HTTPStatus.NOT_FOUND, f"This port has only GET {METRICS}."), send)
        else:
            response = self._other(method, path)
            await self._send(response, send)
            self._metrics.other(response.status)

    async def _respond_with_metrics(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            await self._scrape(scope, receive, send)
        except (TypeError, ValueError):  # a header or a query that the library does not understand
            message = "The query or a header, such as Accept, is invalid: leave it out, or correct it."
            await self._send(_error(HTTPStatus.BAD_REQUEST, message), send)

    async def _respond_with_predictions(
        self, protocol: str, reader: Reader, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        response, metrics = _FAILED, self._metrics
        metrics.in_flight += 1
        try:
            response = await self._post(reader, scope, receive)
            await self._send(response, send)
        except Disconnected:
            response = _CLOSED
        finally:
            metrics.in_flight -= 1
            received = scope["state"].get(RECEIVED) if response is not _CLOSED else None
            seconds = None if received is None else perf_counter() - received
            metrics.prediction(protocol, response.status, seconds, response.rows, response.reason)

    async def _send(self, response: Response, send: Send) -> None:
        headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _other(self, method: str, path: str) -> Response:
        """The response to a request that is not for predictions."""
        if method == "POST":
            if path == INDEX:
                return self._index
            # With KServe's model server any client can unload the model, and the pod remains Ready.
            if path.startswith("/v2/repository/"):
                return _error(
                    HTTPStatus.FORBIDDEN, "This server does not load or unload models: deploy another version instead."
                )
        if method == "GET":
            if path == READY and self.draining:
                return _error(HTTPStatus.SERVICE_UNAVAILABLE, "This server is shutting down: send the request again.")
            if path in self._static:
                return self._static[path]
        posted = path in self._predictions or path == INDEX
        if posted or path in self._static or (path == METRICS and self._metrics_port is None):
            allowed = "POST" if posted else "GET"
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} does not support {method}: use {allowed}.")
        name, version = self._model.name, self._model.version
        if path.startswith(f"/v2/models/{name}/versions/"):
            fault = f"has the version {version}: request that" if version else "has no version: leave /versions/ out"
            return _error(HTTPStatus.NOT_FOUND, f"The path {path:.200} was not found: the model {name} {fault}.")
        return _error(HTTPStatus.NOT_FOUND, f"The path {path:.200} was not found: this server serves the model {name}.")

    async def _post(self, reader: Reader, scope: dict[str, Any], receive: Receive) -> Response:
        headers = dict(scope["headers"])
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding not in CODINGS:
            # The body is not read, so the connection cannot be reused.
            message = (
                f"The Content-Encoding {coding.decode(LATIN):.40} is not supported: send gzip, or the body as it is."
            )
            more = ((b"accept-encoding", b"gzip"), (b"connection", b"close"))
            return _error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, *more, reason="UnsupportedEncoding")
        body = await _read(headers, receive)
        if body and coding != b"identity":
            try:
                inline = unpacked(body, INLINE_BYTES) if len(body) <= INLINE_BYTES else None
                body = await asyncio.to_thread(unpacked, body, MAX_BODY_BYTES) if inline is None else inline
            except BadRequest as error:
                return _error(HTTPStatus.BAD_REQUEST, str(error), reason=error.reason)
        if body is None:
            # The rest of the body is not read, so the connection cannot be reused.
            message = f"The request body is larger than {MAX_BODY_BYTES} bytes: send fewer rows per request."
            close = (b"connection", b"close")
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, close, reason="BodyTooLarge")
        try:
            if len(body) <= INLINE_BYTES:
                return await self._predict(reader(headers, body), scope["state"])
            return await asyncio.to_thread(self._predict_alone, reader, headers, body)
        except Disconnected:
            raise
        except BadRequest as error:
            logger.info("Bad request: %s", error)
            return _error(HTTPStatus.BAD_REQUEST, str(error), reason=error.reason)
        except NotFinite as error:
            logger.error("%s", error)
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except Exception as error:
            logger.exception("A request failed")
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    async def _predict(self, request: ReadRequest, state: dict[str, Any]) -> Response:
        """Predict a request with those that wait at the same time."""
        methods = request.input.methods
        futures = [self._calls.predict(request.input.columns, method) for method in methods]
        state[GONE] = partial(_cancel, futures)
        try:
            results = [await futures[0]] if len(futures) == 1 else await asyncio.gather(*futures)
        except asyncio.CancelledError:
            # The futures are also cancelled with the task, at the end of a shutdown.
            if GONE in state:
                raise
            raise Disconnected from None
        finally:
            state.pop(GONE, None)
        return self._answer(request, request.input.answer(dict(zip(methods, results, strict=True))))

    def _predict_alone(self, reader: Reader, headers: Headers, body: bytes) -> Response:
        """Read a request, and predict it in a call of its own."""
        request = reader(headers, body)
        return self._answer(request, request.input.predict(self._call_alone))

    def _call_alone(self, columns: Columns, method: str) -> Arrays:
        self._metrics.call(1)
        return self._model.call(columns, method)

    def _answer(self, request: ReadRequest, answer: Any) -> Response:
        predicted = perf_counter()
        response = request.write(answer)
        self._metrics.steps(request.started, request.read, predicted, perf_counter())
        return response

    def _read_v1(self, headers: Headers, body: bytes) -> ReadRequest:
        """Read a request of the v1 protocol."""
        started = perf_counter()
        event = _decoded(headers) if b"ce-id" in headers else {}
        binary = bool(event) and cloud_events.is_binary(event)
        payload = cloud_events.read_binary(event, body) if binary else read_json(body)
        if cloud_events.is_structured(payload):
            payload = payload["data"]
        is_event = binary or _media_type(headers) == _EVENT
        write = partial(self._write_event, binary) if is_event else _write_v1
        return ReadRequest(self._model.instances(payload), started, perf_counter(), write)

    def _write_event(self, binary: bool, predictions: list[Any]) -> Response:
        body, more = cloud_events.write(self._model.name, {"predictions": predictions}, binary)
        lines = tuple((name.encode(), value.encode()) for name, value in more.items())
        return Response(body, headers=lines, rows=len(predictions))

    def _read_v2(self, headers: Headers, body: bytes) -> ReadRequest:
        """Read a request of the v2 protocol."""
        started = perf_counter()
        length = headers.get(_JSON_LENGTH)
        request = read_infer_request(body, None if length is None else length.decode(LATIN))
        return ReadRequest(self._model.tensors(request), started, perf_counter(), partial(self._write_v2, request))

    def _write_v2(self, request: InferRequest, results: Sequence[tuple[RequestedOutput, NDArray[Any]]]) -> Response:
        text, json_length = write_infer_response(request, self._model.name, self._model.version, results)
        rows = len(results[0][1])
        if json_length is None:
            return Response(text, rows=rows)
        length = (_JSON_LENGTH, str(json_length).encode())
        return Response(text, headers=((b"content-type", b"application/octet-stream"), length), rows=rows)


def _write_v1(predictions: list[Any]) -> Response:
    return Response(to_json({"predictions": predictions}), rows=len(predictions))


def _cancel(futures: Iterable[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def disconnect(state: dict[str, Any]) -> None:
    """Leave a request out of calls that have not begun, because its client has closed the connection."""
    if cancel := state.pop(GONE, None):
        cancel()


def _decoded(headers: Headers) -> dict[str, str]:
    return {name.decode(LATIN): value.decode(LATIN) for name, value in headers.items()}


def _media_type(headers: Headers) -> bytes:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


def _error(status: HTTPStatus, message: str, *headers: Header, reason: Reason | None = None) -> Response:
    return Response(to_json({"error": message}), status, (_JSON, *headers), reason=reason)


# How a prediction request is counted that ends without a response of this module: uvicorn answers 500 to one that it
# cancels at the end of a shutdown.
_FAILED, _CLOSED = Response(b"", 500), Response(b"", CLIENT_CLOSED)


async def _read(headers: Headers, receive: Receive) -> bytes | None:
    """The complete body, or None if it is larger than MAX_BODY_BYTES.

    Raises:
        Disconnected: the client closed the connection before the body was read.
    """
    # The HTTP parser has validated the number, but not how many zeros it begins with.
    if int(headers.get(b"content-length", b"0")[-MOST_DIGITS:]) > MAX_BODY_BYTES:
        return None
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        complete = bytearray(body)
        while message.get("more_body", False):
            message = await receive()
            complete += message.get("body", b"")
            if len(complete) > MAX_BODY_BYTES:
                return None
        body = bytes(complete)
    if message["type"] == "http.disconnect":
        raise Disconnected
    return body
