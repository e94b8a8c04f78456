# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-memory API server over HTTP, with KServe's API and without its controller, for runs of roles."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
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
    "/apis/apps/v1": {"ReplicaSet": ("replicasets", True)},
    "/apis/batch/v1": {"Job": ("jobs", True)},
    "/apis/gateway.networking.k8s.io/v1": {"HTTPRoute": ("httproutes", True)},
    "/apis/policy/v1": {"PodDisruptionBudget": ("poddisruptionbudgets", True)},
    "/apis/networking.k8s.io/v1": {"Ingress": ("ingresses", True)},
    "/apis/serving.kserve.io/v1beta1": {"InferenceService": ("inferenceservices", True)},
}
MODEL = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "sklearnserver"}
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
def cluster(folder: Path) -> Iterator[Cluster]:
    """Serve a cluster, with a kubeconfig in the folder."""
    made = Cluster(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(made)) as server:
        where = {"name": "one", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
        users = [{"name": "one", "user": {"token": "a-token"}}]
        content = {"clusters": [where], "contexts": [context], "users": users, "current-context": "one"}
        made.kubeconfig.write_text(yaml.safe_dump(content))
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()
            server.block_on_close = False


def _handler(made: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
                self._send(200, made.answer(self.command, url.path, query, body))
            except ApiError as error:
                self._send(error.status, {"kind": "Status", "code": error.status, "message": error.text})

        def _send(self, status: int, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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

        def log_message(self, *_words: object) -> None:
            """Print nothing."""

    return Handler
