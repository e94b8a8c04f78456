# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server over real HTTP, with responses and faults in a fixed order."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client import ApiClient, Configuration

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client as kube_client


@dataclass(frozen=True)
class Listed:
    """The response to a list."""

    version: int
    items: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Watched:
    """The response to a watch: events of type and object, and how it ends.

    end: "over" like a watch at its timeout, "dropped" by a broken connection, "cut" within an event, "silent" for one
    that stays open until the client ends it.
    """

    events: tuple[tuple[str, Any], ...] = ()
    end: str = "over"


@dataclass(frozen=True)
class Refused:
    """An error with an HTTP status."""

    status: int
    message: str = "refused"


class ApiServer:
    """Responds to each request with the next step. While it is stopped, connections to its port are refused."""

    def __init__(self, *steps: Listed | Watched | Refused) -> None:
        self.steps = list(steps)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ended_by_client = threading.Semaphore(0)
        self._port = 0
        self._http: ThreadingHTTPServer | None = None
        self.start()

    def start(self) -> None:
        """Listen, on the same port after the first time."""
        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def api(self) -> kube_client.RestApi:
        """Return the KubeApi port of the real client."""
        client = ApiClient(Configuration(host=f"http://127.0.0.1:{self._port}"))
        return kube_client.connect(lambda: _Holder(_Holder(client)))

    def kinds(self) -> list[str]:
        """Return the requests, each as list, or as watch with its resourceVersion."""
        return [f"watch {query['resourceVersion']}" if query.get("watch") else "list" for _path, query in self.requests]


class _Holder:
    """The client as kubernetes.core wraps it."""

    def __init__(self, client: Any) -> None:
        self.client = client


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            server.requests.append((url.path, dict(parse_qsl(url.query))))
            step = server.steps.pop(0) if server.steps else Refused(599, "the script is over")
            if isinstance(step, Watched):
                self._watch(step)
            elif isinstance(step, Listed):
                answer = {"metadata": {"resourceVersion": str(step.version)}, "items": step.items}
                self._answer(200, json.dumps(answer).encode())
            else:
                body = {"kind": "Status", "code": step.status, "message": step.message}
                self._answer(step.status, json.dumps(body).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "3600")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def _watch(self, step: Watched) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            lines = [json.dumps({"type": kind, "object": thing}) + "\n" for kind, thing in step.events]
            self._chunks([*lines, '{"type": "MODIF'] if step.end == "cut" else lines)
            if step.end == "silent":
                with suppress(OSError):
                    self.connection.recv(1)
                server.ended_by_client.release()
            elif step.end == "dropped":
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.wfile.write(b"0\r\n\r\n")

        def _chunks(self, lines: Iterable[str]) -> None:
            for line in lines:
                self.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
