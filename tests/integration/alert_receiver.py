# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod to which Alertmanager sends notifications, and queries of Prometheus, for tests of monitoring."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .helpers import wait_until

Json = dict[str, Any]
Kubectl = Callable[..., str]
PORT = 8080
IMAGE = "hashfoundry.local/sklearnserver:v0.20.0"  # on every cluster, and it contains Python
PROMETHEUS = "/api/v1/namespaces/monitoring/services/http:prometheus-operated:9090/proxy/api/v1"
# Prints each notification in a line, with the time and the credentials that it came with.
PROGRAM = f"""
import http.server, json, time
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        seen = {{"at": time.time(), "authorization": self.headers.get("Authorization"), **body}}
        print(json.dumps(seen), flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", {PORT}), Receiver).serve_forever()
"""


@dataclass(frozen=True)
class Receiver:
    """The pod, in a namespace of its own."""

    kubectl: Kubectl
    namespace: str

    @property
    def url(self) -> str:
        """The URL for Alertmanager."""
        return f"http://receiver.{self.namespace}.svc:{PORT}/"

    def alerts(self, severity: str, status: str) -> list[Json]:
        """The notifications that contain an alert with this severity and status, oldest first."""
        lines = self.kubectl("logs", "receiver", "-n", self.namespace, check=False).splitlines()
        return [
            notification
            for notification in map(json.loads, lines)
            for alert in notification["alerts"]
            if alert["labels"]["severity"] == severity and alert["status"] == status
        ]

    def await_alert(self, severity: str, status: str, seconds: float = 180) -> Json:
        """Wait for the first such notification."""
        what = f"the alert of severity {severity} arrives as {status}"
        found: list[Json] = wait_until(lambda: self.alerts(severity, status), seconds=seconds, pause=1, what=what)
        return found[0]


@contextmanager
def receiver(kubectl: Kubectl, folder: Path, namespace: str) -> Iterator[Receiver]:
    """Run the pod, and delete its namespace afterwards."""
    metadata = {"name": "receiver", "namespace": namespace, "labels": {"name": "receiver"}}
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", PROGRAM],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
    }
    things = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, "enableServiceLinks": False},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"name": "receiver"}, "ports": [{"port": PORT}]},
        },
    ]
    file = folder / "receiver.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": things}))
    try:
        kubectl("apply", "--filename", str(file))
        words = ("pod/receiver", "-n", namespace, "--for=condition=Ready", "--timeout=120s", "--request-timeout=0")
        kubectl("wait", *words)
        yield Receiver(kubectl, namespace)
    finally:
        kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")


def query(kubectl: Kubectl, expression: str) -> list[Json]:
    """The series that a query of Prometheus returns now."""
    answer = json.loads(kubectl("get", "--raw", f"{PROMETHEUS}/query?query={quote(expression, safe='')}"))
    found: list[Json] = answer["data"]["result"]
    return found


def firing(kubectl: Kubectl, alert: str, **labels: str) -> list[Json]:
    """The series of an alert with these labels, as long as it fires."""
    wanted = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return query(kubectl, f'ALERTS{{alertname="{alert}",alertstate="firing",{wanted}}}')


def targets(kubectl: Kubectl) -> list[Json]:
    """The active targets of Prometheus."""
    found: list[Json] = json.loads(kubectl("get", "--raw", f"{PROMETHEUS}/targets?state=active"))["data"][
        "activeTargets"
    ]
    return found
