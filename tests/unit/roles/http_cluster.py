# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-memory API server over HTTP, with KServe's API and without its controller, for runs of roles."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

from ..plugins.module_utils.manifests_server import Server

RESOURCES = {
    "/api/v1": {
        "Pod": ("pods", True),
        "ServiceAccount": ("serviceaccounts", True),
        "ResourceQuota": ("resourcequotas", True),
        "LimitRange": ("limitranges", True),
    },
    "/apis/apps/v1": {
        "DaemonSet": ("daemonsets", True),
        "ReplicaSet": ("replicasets", True),
        "StatefulSet": ("statefulsets", True),
    },
    "/apis/batch/v1": {"Job": ("jobs", True)},
    "/apis/gateway.networking.k8s.io/v1": {"HTTPRoute": ("httproutes", True)},
    "/apis/monitoring.coreos.com/v1": {
        "PodMonitor": ("podmonitors", True),
        "PrometheusRule": ("prometheusrules", True),
        "ServiceMonitor": ("servicemonitors", True),
    },
    "/apis/policy/v1": {"PodDisruptionBudget": ("poddisruptionbudgets", True)},
    "/apis/networking.k8s.io/v1": {"Ingress": ("ingresses", True)},
    "/apis/serving.kserve.io/v1beta1": {"InferenceService": ("inferenceservices", True)},
}
MODEL = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "sklearnserver"}
# The status and the content, by method and path.
Answer = Callable[[str, str], tuple[int, Any]]
# Watches stay open so long, as those of a quiet cluster do.
WATCH_SECONDS = 30.0


class Cluster(Server):
    """The API server; seen: method and path of each request; kubeconfig: a file that leads to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        for root, kinds in RESOURCES.items():
            self.kinds.setdefault(root, {}).update(kinds)
        self.seen: list[str] = []
        self.kubeconfig = folder / "kubeconfig.yml"

    def models(self) -> dict[str, dict[str, Any]]:
        """Return the InferenceServices by their names."""
        return {path.rpartition("/")[2]: body for path, body in self.objects.items() if "/inferenceservices/" in path}

    def paths(self, end: str) -> list[str]:
        """Return the requests whose path ends so."""
        return [path for path in self.seen if path.endswith(end)]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Return the JSON that answers a request."""
        if method == "PATCH":
            return self.apply(path, body, **query)
        if method == "DELETE":
            at = self.objects.get(path)
            if at is None:
                raise ApiError("404", 404, f'"{path}" not found')
            self.delete(path, at["metadata"]["uid"], dry_run="dryRun" in query or bool((body or {}).get("dryRun")))
            return {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if path == "/version":
            return {"major": "1", "minor": "35", "gitVersion": "v1.35.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*self._groups()]}
        if path in self.kinds:
            return self._resources(path)
        return self._read(path, query)

    def _groups(self) -> Iterator[dict[str, Any]]:
        for root in self.kinds:
            if root != "/api/v1":
                group, version = root.split("/")[2:]
                entry = {"groupVersion": f"{group}/{version}", "version": version}
                yield {"name": group, "versions": [entry], "preferredVersion": entry}

    def _resources(self, root: str) -> dict[str, Any]:
        verbs = ["create", "delete", "get", "list", "patch", "watch"]
        found = [
            {"name": plural, "singularName": "", "namespaced": spaced, "kind": kind, "verbs": verbs}
            for kind, (plural, spaced) in self.kinds[root].items()
        ]
        version = root.removeprefix("/apis/").removeprefix("/api/")
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": found}

    def _read(self, path: str, query: dict[str, str]) -> Any:
        label = query.get("labelSelector", "")
        if label and not set(label) & set("=!"):  # any value of the label
            found = self.get(path)
            found["items"] = [item for item in found["items"] if label in (item["metadata"].get("labels") or {})]
        else:
            found = self.get(path, **query)
        root = next(root for root in self.kinds if path.startswith(f"{root}/"))
        kinds = {plural: kind for kind, (plural, _spaced) in self.kinds[root].items()}
        plural = path.rpartition("/")[2]
        if plural not in kinds:
            return found
        version = root.removeprefix("/apis/").removeprefix("/api/")
        return {**found, "kind": f"{kinds[plural]}List", "apiVersion": version}


@contextmanager
def cluster(folder: Path, made: Cluster | None = None) -> Iterator[Cluster]:
    """Serve a cluster, by default a new one, with a kubeconfig in the folder."""
    made = made or Cluster(folder)
    with serving(_handler(made)) as url:
        write_kubeconfig(made.kubeconfig, url)
        yield made


def write_kubeconfig(path: Path, server: str) -> Path:
    """Write a kubeconfig with a token for the API server at a URL."""
    where = {"name": "one", "cluster": {"server": server}}
    context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
    users = [{"name": "one", "user": {"token": "PLANTED"}}]
    content = {"clusters": [where], "contexts": [context], "users": users, "current-context": "one", "kind": "Config"}
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP, and yield the server's URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.block_on_close = False


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON, or with bytes."""

    protocol_version = "HTTP/1.1"

    def send(self, status: int, content: Any) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml" if isinstance(content, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Print nothing."""


def answering(answer: Answer) -> type[BaseHTTPRequestHandler]:
    """Return the handler of a server whose answers depend on the method and the path only."""

    class Answers(Handler):
        def _answer(self) -> None:
            self.send(*answer(self.command, urlsplit(self.path).path))

        do_GET = do_HEAD = do_PATCH = do_POST = _answer

    return Answers


def _handler(made: Cluster) -> type[BaseHTTPRequestHandler]:
    class ClusterHandler(Handler):
        def _answer(self) -> None:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            made.seen.append(f"{self.command} {url.path}")
            if query.get("watch"):
                self._watch()
                return
            try:
                self.send(200, made.answer(self.command, url.path, query, body))
            except ApiError as error:
                self.send(error.status, {"kind": "Status", "code": error.status, "message": error.text})

        def _watch(self) -> None:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):
                deadline = time.monotonic() + WATCH_SECONDS
                while time.monotonic() < deadline:
                    self.wfile.flush()
                    time.sleep(0.1)

        do_GET = do_PATCH = do_DELETE = do_POST = _answer

    return ClusterHandler
