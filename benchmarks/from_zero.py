# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cold start of a model that is scaled to zero in Knative mode, compared with other model servers."""

from __future__ import annotations

import os
import socket
import ssl
import time
from http.client import HTTPSConnection
from typing import Any

from benchmarks import served, tools
from benchmarks.results import Report
from benchmarks.served import OURS, SERVERS, Served, Server, Start
from benchmarks.serving import package_versions, start_rows
from local import __main__ as commands
from local import settings
from local.settings import REPOSITORY, Settings

ROUNDS = 3
# The cluster that is created and deleted, unless HASHFOUNDRY_MODE=Knative selects another.
SETTINGS = {
    "HASHFOUNDRY_CLUSTER": "hashfoundry-bench-zero",
    "HASHFOUNDRY_STATE": str(REPOSITORY / ".local-bench-zero"),
    "HASHFOUNDRY_HTTPS_PORT": "49443",
    "HASHFOUNDRY_S3_PORT": "49070",
    "HASHFOUNDRY_MODE": "Knative",
}
# Scale to zero soon after the last request, so that a round does not wait for a minute.
ANNOTATIONS = {
    "serving.kserve.io/deploymentMode": "Knative",
    "autoscaling.knative.dev/window": "6s",
    "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "0s",
}


def measure(rounds: int = ROUNDS) -> Report:
    """Send a prediction request to each model server while it is scaled to zero."""
    config = settings.load()
    if config.mode == "Knative":
        return _measure(config, rounds)
    config = settings.load({**os.environ, **SETTINGS})
    try:
        return _measure(config, rounds)
    finally:
        commands.down(config, commands.rows_of(config))


def _measure(config: Settings, rounds: int) -> Report:
    found = tools.ensure()
    programs = found.versions(("ansible-core", "kubectl", "kserve-manager", "knative-controller", "kourier"))
    report = Report("from_zero", "From no pod to the first answer", {**programs, **package_versions()})
    starts: dict[Server, list[Start]] = {}
    with served.running(config, ANNOTATIONS) as cluster:
        for number in range(rounds):
            for server in SERVERS[number % len(SERVERS) :] + SERVERS[: number % len(SERVERS)]:
                starts.setdefault(server, []).append(_from_zero(cluster, server))
                print(f"    round {number + 1}, {server.label}: {starts[server][-1].seconds:.2f} s", flush=True)
    start_rows(report, "from zero to the first answer", starts)
    report.notes += [
        "Each server is an InferenceService in Knative mode with the same bucket and the limits 1 core and 1 GiB. The "
        "request is sent over TLS through Kourier, and waits in Knative's activator until the pod is ready.",
        f"Images are on the node. model/server logged at its last start: {starts[OURS][-1].log_line or 'nothing'}.",
    ]
    return report


def _from_zero(cluster: Served, server: Server) -> Start:
    """Wait until the service is scaled to zero, then send a prediction request."""
    cluster.annotate(server, "serving.kserve.io/stop=false")
    cluster.wait_until_ready(server)
    cluster.wait_until_deleted(server)
    with cluster.created(server) as created:
        requested = time.time()
        answered = served.first_answer(lambda: _Connection(cluster.settings, server.name), server)
    start = cluster.timeline(server, created[0], answered)
    cluster.stop(server)
    return Start({"to the pod's creation": created[0] - requested, **start.parts}, start.log_line)


class _Connection(HTTPSConnection):
    """A connection to the gateway at 127.0.0.1 with a model's host name, verified with the demo's CA."""

    def __init__(self, config: Settings, name: str) -> None:
        context = ssl.create_default_context(cafile=str(config.state / "ca.crt"))
        host = f"{name}.ml.hashfoundry.local"
        super().__init__(host, config.https_port, timeout=served.TIMEOUT_S, context=context)
        self._create_connection = self._to_this_machine

    def _to_this_machine(self, address: tuple[str, int], *others: Any) -> Any:
        return socket.create_connection(("127.0.0.1", address[1]), *others)
