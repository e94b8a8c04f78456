# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that connect to each other all the time, and print which attempts succeed, for tests of NetworkPolicies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .helpers import wait_until

Json = dict[str, Any]
Kubectl = Callable[..., str]
PORT = 8080
IMAGE = "hashfoundry.local/sklearnserver:v0.20.0"  # on every cluster, and it contains Python
# Answers each message on a connection with the same one.
SERVER = f"""
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(64):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", {PORT}), Echo).serve_forever()
"""
# Opens a connection about ten times a second, and sends a message on one that remains open. Prints a line for each.
CLIENT = f"""
import socket, sys, time
def connect():
    return socket.create_connection((sys.argv[1], {PORT}), timeout=1)
def sent(connection):
    connection.sendall(b"x")
    return connection.recv(1) == b"x"
kept = None
while True:
    for name in ("new", "kept"):
        began, works = time.time(), False
        try:
            if name == "new":
                with connect() as one:
                    works = sent(one)
                kept = kept or connect()
            elif kept:
                works = sent(kept)
        except OSError:
            pass
        print(f"{{began:.3f}} {{name}} {{'open' if works else 'closed'}}", flush=True)
    time.sleep(0.1)
"""


@dataclass(frozen=True)
class Attempt:
    """One attempt of a client: a new connection, or a message on the one that it has kept open."""

    when: float
    kind: str
    open: bool


@dataclass(frozen=True)
class Pods:
    """The pods of a test, in one namespace unless another is named; beside: a second namespace."""

    kubectl: Kubectl
    folder: Path
    namespace: str
    beside: str = ""

    def apply(self, *things: Json) -> None:
        file = self.folder / "objects.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(things)}))
        self.kubectl("apply", "--filename", str(file))

    def server(self, name: str) -> str:
        """Start a server, and return its IP address."""
        self._start(name, self.namespace, SERVER, [])
        words = ("get", "pod", name, "-n", self.namespace, "-o", "jsonpath={.status.podIP}")
        return wait_until(lambda: self.kubectl(*words), what=f"pod {name} has an IP address")

    def service(self, name: str) -> str:
        """Create a Service of the pod with this name, and return its IP address."""
        spec = {"selector": {"name": name}, "ports": [{"port": PORT, "protocol": "TCP"}]}
        metadata = {"name": name, "namespace": self.namespace}
        self.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        return self.kubectl("get", "service", name, "-n", self.namespace, "-o", "jsonpath={.spec.clusterIP}")

    def client(self, name: str, address: str, namespace: str = "") -> None:
        """Start a client of the server with this IP address, and wait for its first attempt."""
        self._start(name, namespace or self.namespace, CLIENT, [address])
        wait_until(lambda: self.attempts(name, namespace=namespace), what=f"client {name} runs")

    def _start(self, name: str, namespace: str, program: str, arguments: Sequence[str]) -> None:
        container = {
            "name": "main",
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", program, *arguments],
            "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
        }
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "enableServiceLinks": False}
        metadata = {"name": name, "namespace": namespace, "labels": {"name": name}}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        words = (f"pod/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=120s", "--request-timeout=0")
        self.kubectl("wait", *words)

    def attempts(self, name: str, since: float = 0, namespace: str = "") -> list[Attempt]:
        """The attempts of a client that began after a time."""
        found = []
        for line in self.kubectl("logs", name, "-n", namespace or self.namespace, check=False).splitlines():
            when, kind, state = line.split()
            if float(when) > since:
                found.append(Attempt(float(when), kind, state == "open"))
        return found

    def await_state(self, name: str, opened: bool, namespace: str = "") -> float:
        """Wait until the last new connections all succeed or all fail, and return the time when that began."""

        def last() -> list[Attempt]:
            return [one for one in self.attempts(name, namespace=namespace) if one.kind == "new"][-5:]

        def stable(found: list[Attempt]) -> bool:
            return len(found) == 5 and all(one.open is opened for one in found)

        what = f"the connections of {name} {'succeed' if opened else 'fail'}"
        return wait_until(last, stable, 60, what=what)[0].when

    def policy(self, name: str, sources: Sequence[Json], server: str = "server") -> Json:
        """A NetworkPolicy that allows a server's ingress from these peers only."""
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "podSelector": {"matchLabels": {"name": server}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": list(sources), "ports": [{"protocol": "TCP", "port": PORT}]}] if sources else [],
            },
        }


def named(name: str) -> Json:
    """A peer: the pods with this label in the namespace of the policy."""
    return {"podSelector": {"matchLabels": {"name": name}}}


def states(attempts: Sequence[Attempt], kind: str = "new") -> set[bool]:
    """Which results the attempts of one kind had."""
    return {one.open for one in attempts if one.kind == kind}


@contextmanager
def running(kubectl: Kubectl, folder: Path, *namespaces: str) -> Iterator[Pods]:
    """Create namespaces without labels; the pods run in the first. Delete all afterwards."""
    names = [f"{name}-{int(time.time())}" for name in namespaces]
    try:
        for name in names:
            kubectl("create", "namespace", name)
        yield Pods(kubectl, folder, *names)
    finally:
        kubectl("delete", "namespace", *names, "--ignore-not-found", "--wait=false")
