# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Prometheus over real HTTP that fails as real ones do, and the same behind the API server's proxy."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import AnswerTimeout, ApiError

Labels = Mapping[str, str]
LOGIN = b"<!DOCTYPE html><html><title>Sign in</title></html>"


class Prometheus:
    """Answers instant queries of its series, which are by name: labels and value, as text.

    weather: what happens instead, for all queries or for those that contain a text: slow, drip, reset, html, redirect,
    starting, unauthorized, cut, bad_data, timeout, matrix, missing (no such path), other_json.
    """

    def __init__(self, series: Mapping[str, Sequence[tuple[Labels, str]]] | None = None) -> None:
        self.series = {name: list(entries) for name, entries in (series or {}).items()}
        self.weather: dict[str, str] = {}
        self.warnings: list[str] = []
        self.ahead = 0.0
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Prometheus:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def queries(self) -> list[str]:
        """The queries that have been asked, without that for its clock."""
        return [query["query"] for _header, query in self.asked if query["query"] != "time()"]

    def of_weather(self, query: str) -> str:
        """What happens to a query."""
        return next((kind for text, kind in self.weather.items() if text in query), "")

    def answer(self, query: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, header and body for a query."""
        kind = self.of_weather(query)
        plain, html = {"Content-Type": "text/plain"}, {"Content-Type": "text/html"}
        if kind == "html":
            return 200, html, LOGIN
        if kind == "redirect":
            return (
                302,
                {**html, "Location": "https://login.example.com/"},
                b'<a href="https://login.example.com/">Found</a>',
            )
        if kind == "starting":
            return 503, plain, b"Service Unavailable"
        if kind == "unauthorized":
            return 401, plain, b"Unauthorized\n"
        if kind == "missing":
            return 404, plain, b"404 page not found\n"
        if kind == "other_json":
            return 200, {}, b'[{"status": "UP"}]'
        if kind in ("bad_data", "timeout", "execution"):
            status = {"bad_data": 400, "timeout": 503, "execution": 422}[kind]
            return status, {}, json.dumps({"status": "error", "errorType": kind, "error": "it went wrong"}).encode()
        data = self._data(query)
        if kind == "matrix":
            data["resultType"] = "matrix"
        document: dict[str, Any] = {"status": "success", "data": data}
        if self.warnings:
            document["warnings"] = self.warnings
        body = json.dumps(document).encode()
        return 200, {}, body[: len(body) // 2] if kind == "cut" else body

    def _data(self, query: str) -> dict[str, Any]:
        now = time.time() + self.ahead
        if query == "time()":
            return {"resultType": "scalar", "result": [now, f"{now:.3f}"]}
        result = [entry for part in query.split(" or ") for entry in self._part(part, now)]
        return {"resultType": "vector", "result": result}

    def _part(self, query: str, now: float) -> list[dict[str, Any]]:
        """Evaluate `min|max by (labels) (name{matchers})`, also within label_replace(…, "name", "value", "", "")."""
        found = re.search(
            r"(min|max) by \(([^)]*)\) \(([\w:]+)\{(.*?)\}\)(?:, \"(\w+)\", \"(\w+)\", \"\", \"\"\))?$", query
        )
        assert found, f"PromQL that this server does not know: {query}"
        choose = {"min": min, "max": max}[found[1]]
        matchers = [
            (name, kind, json.loads(f'"{value}"'))
            for name, kind, value in re.findall(r'(\w+)(!=|=~|=)"((?:[^"\\]|\\.)*)"', found[4])
        ]
        groups: dict[tuple[str, ...], list[str]] = {}
        names = found[2].split(", ")
        for labels, value in self.series.get(found[3], ()):
            if all(_matches(labels.get(name, ""), kind, text) for name, kind, text in matchers):
                groups.setdefault(tuple(labels.get(name, "") for name in names), []).append(value)
        added = {found[5]: found[6]} if found[5] else {}
        return [
            {
                "metric": {**{name: text for name, text in zip(names, key, strict=True) if text}, **added},
                "value": [now, choose(values, key=float)],
            }
            for key, values in groups.items()
        ]


def _matches(value: str, kind: str, text: str) -> bool:
    return {"=": value == text, "!=": value != text, "=~": bool(re.fullmatch(text, value))}[kind]


def _handler(prometheus: Prometheus) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            prometheus.asked.append((self.headers.get("Authorization", ""), query))
            kind = prometheus.of_weather(query.get("query", ""))
            if not url.path.endswith("/api/v1/query"):
                return self._send(404, {}, b"404 page not found\n")
            if kind == "slow":
                prometheus.ended.wait(30)
            if kind == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return None
            return self._send(*prometheus.answer(query.get("query", "")), drip=kind == "drip")

        def _send(self, status: int, header: Mapping[str, str], body: bytes, drip: bool = False) -> None:
            with suppress(OSError):
                self.send_response(status)
                for name, value in header.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for byte in body if drip else ():
                    self.wfile.write(bytes([byte]))
                    if prometheus.ended.wait(0.2):
                        break
                if not drip:
                    self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler


class Proxied:
    """The API server's proxy to it, as the Kubernetes client reports its answers; refusal: its own, with a message."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self.refusal: tuple[int, str] | None = None
        self.paths: list[str] = []

    def read(
        self, method: str, path: str, query: Mapping[str, Any], *, read_timeout: float = 30, accept: str = ""
    ) -> bytes:
        """See RestApi."""
        assert method == "GET" and read_timeout <= 30
        self.paths.append(f"{path}?{urlencode(query)}")
        self._prometheus.asked.append(("", dict(query)))
        if self.refusal:
            raise ApiError("The API server refuses.", *self.refusal)
        if self._prometheus.of_weather(query["query"]) == "slow":
            raise AnswerTimeout("The API server has not answered in time; see whether it is overloaded.")
        status, _header, body = self._prometheus.answer(query["query"])
        if status >= 300:
            raise ApiError("The API server refuses.", status, body.decode().strip())
        return body
