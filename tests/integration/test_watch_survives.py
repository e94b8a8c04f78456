# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wait returns the right verdict after a dropped watch, an expired resourceVersion and an API server restart.

The module connects to the real API server through a proxy that can drop, end and delay responses. This file sorts after
the other tests, since the API server is unavailable for some seconds.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from local.settings import Settings
from tests.integration.conftest import OnNode

from .helpers import iris_model, wait_until
from .trap_cluster import Cluster, Outcome, cluster, service

SOURCES = 5  # InferenceService, Deployments, ReplicaSets, Pods and HTTPRoutes are watched


@dataclass
class Proxy:
    """Forwards GET requests to the API server, with the client certificate of the kubeconfig."""

    address: str
    context: ssl.SSLContext = field(repr=False)
    kubeconfig: Path
    open: threading.Event = field(default_factory=threading.Event)
    clean: bool = True
    watched: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def hold(self, clean: bool) -> None:
        """End every watch, cleanly as the server does at its timeout, or by a broken connection; delay requests."""
        self.open.clear()
        self.clean = clean
        sockets, self.sockets = self.sockets, []
        for each in sockets:
            each.shutdown(socket.SHUT_RDWR)

    def until_watching(self, process: subprocess.Popen[str]) -> None:
        wait_until(
            lambda: len(self.sockets) >= SOURCES or process.poll() is not None,
            pause=0.05,
            what="every source is watched",
        )
        assert process.poll() is None, process.communicate()[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def do_GET(self) -> None:
        proxy = self.proxy
        watch = "watch=true" in self.path
        proxy.open.wait(120)
        (proxy.watched if watch else proxy.listed).append(self.path)
        upstream = HTTPSConnection(proxy.address, context=proxy.context, timeout=120)
        try:
            upstream.connect()
            link = upstream.sock
            upstream.request("GET", self.path, headers={"Accept": "application/json"})
            answer = upstream.getresponse()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if watch:
                proxy.sockets.append(link)
            for line in iter(answer.readline, b""):
                if watch:
                    proxy.lines.append(line)
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
        except (OSError, HTTPException):
            if not (watch and proxy.clean):
                self.close_connection = True
                return  # without the last chunk: the client sees a broken connection
        finally:
            upstream.close()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def proxied(settings: Settings, folder: Path) -> Iterator[Proxy]:
    """A proxy to the API server of the kubeconfig, and a kubeconfig for it."""
    config = yaml.safe_load(settings.kubeconfig.read_text())
    there, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(there["certificate-authority-data"]).decode())
    pair = folder / "pair.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
    context.load_cert_chain(pair)
    proxy = Proxy(urlsplit(there["server"]).netloc, context, folder / "kubeconfig")
    proxy.open.set()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"proxy": proxy})) as server:
        server.daemon_threads = True
        here = {"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
        only = {"name": "proxy", "context": {"cluster": "proxy", "user": ""}}
        own = {"apiVersion": "v1", "kind": "Config", "clusters": [here], "contexts": [only], "current-context": "proxy"}
        proxy.kubeconfig.write_text(yaml.safe_dump(own))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.open.set()
            server.shutdown()


def kill_api_server(on_node: OnNode) -> None:
    """Kill the API server; the kubelet restarts the container of the static pod."""
    on_node("sh", "-c", "kill -9 $(pidof kube-apiserver)")


@pytest.fixture(scope="module")
def made(settings: Settings) -> Iterator[Cluster]:
    model = iris_model(settings)
    with cluster(settings, {"iris/v1/model.joblib": model}) as found:
        # KServe does not reconcile such a service, so its status does not change.
        held = {"model": {"storageUri": "ftp://store/iris/"}}
        late = {"nodeSelector": {"hashfoundry.local/gpu": "yes"}}
        iris = {"storageUri": f"s3://{found.namespace}/iris/v1/"}
        found.apply(
            service("dropped", found.namespace, **held),
            service("expired", found.namespace, **held),
            service("late", found.namespace, predictor=late, model=iris),
        )
        yield found


@dataclass
class Wait:
    """A run of the module through a proxy, started and watching."""

    made: Cluster
    name: str
    proxy: Proxy

    def __post_init__(self) -> None:
        self.options = {"timeout": 240, "grace_period": 200}
        self.process = self.made.start(self.name, kubeconfig=str(self.proxy.kubeconfig), **self.options)
        self.proxy.until_watching(self.process)

    def outcome(self) -> Outcome:
        return self.made.outcome(self.process, self.options)


def changed(made: Cluster, name: str, change: dict[str, object]) -> bool:
    """Patch an InferenceService; False while the API server or KServe's webhook is unavailable."""
    try:
        words = ("inferenceservice", name, "-n", made.namespace, "--type=merge", "--request-timeout=5s")
        made.kubectl("patch", *words, "-p", json.dumps(change))
    except AssertionError:
        return False
    return True


STOP = {"metadata": {"annotations": {"serving.kserve.io/stop": "true"}}}


def test_a_change_while_the_watch_is_dropped(settings, made, tmp_path):
    with proxied(settings, tmp_path) as proxy:
        wait = Wait(made, "dropped", proxy)
        lists = len(proxy.listed)
        proxy.hold(clean=False)
        assert changed(made, "dropped", STOP)
        proxy.open.set()
        outcome = wait.outcome()
    assert outcome.verdict == ("failed", "Stopped")
    assert len(proxy.listed) > lists


@pytest.fixture(scope="module")
def restarted(settings, made, on_node, tmp_path_factory) -> dict[str, tuple[Outcome, Proxy]]:
    """Two waits during a restart of the API server; the watches of one ended before it, as at the server's timeout."""
    folders = [tmp_path_factory.mktemp(name) for name in ("expired", "late")]
    with proxied(settings, folders[0]) as of_expired, proxied(settings, folders[1]) as of_late:
        expired, late = Wait(made, "expired", of_expired), Wait(made, "late", of_late)
        of_expired.hold(clean=True)
        of_late.clean = False
        kill_api_server(on_node)
        wait_until(lambda: changed(made, "expired", STOP), pause=0.05, what="a patch is accepted")
        of_expired.lines.clear()
        of_expired.open.set()
        unpinned = {"spec": {"predictor": {"nodeSelector": None}}}
        wait_until(lambda: changed(made, "late", unpinned), pause=0.05, what="a patch is accepted")
        outcome = {"expired": (expired.outcome(), of_expired), "late": (late.outcome(), of_late)}
    made.kubectl(
        "wait",
        "pods",
        "-l",
        "control-plane=kserve-controller-manager",
        "-n",
        "kserve",
        "--for=condition=Ready",
        "--timeout=60s",
    )
    return outcome


def test_an_expired_resource_version(restarted):
    outcome, proxy = restarted["expired"]
    events = [json.loads(line) for line in proxy.lines]
    refused = [event["object"] for event in events if event["type"] == "ERROR"]
    assert {410} == {status["code"] for status in refused}  # the API server's "too old resource version"
    assert outcome.verdict == ("failed", "Stopped")


def test_an_api_server_that_restarts_during_a_wait(restarted):
    outcome, proxy = restarted["late"]
    assert not outcome.failed
    assert outcome.verdict == ("serving", "ModelReady")
    assert outcome.result["generation"] == 2
    assert len(proxy.watched) > SOURCES
