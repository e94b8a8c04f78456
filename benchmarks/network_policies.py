# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What enforcing NetworkPolicies costs: the iris model and site.yml with and without the agent, in turn."""

from __future__ import annotations

import re
import time
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from benchmarks import tools
from benchmarks.measured_cluster import run_playbook
from benchmarks.results import MeasurementError, Report, Row
from benchmarks.serving import FIRST_RATE, LIMIT_MS, MODEST_RATE, MODEST_SECONDS, RATE_SECONDS, highest_rate, load_to
from local import __main__ as commands
from local import demo, network_policies, settings, table
from local.cluster import Cluster
from local.progress import Progress
from local.run import run
from local.settings import Settings

ROUNDS = 3
MODEL, PROTOCOL = "iris-classifier", "v1"
WITH, WITHOUT = "enforced", "not enforced"
METRICS = "http://127.0.0.1:20241/metrics"  # local/kube-router.yaml
SYNC = "kube_router_controller_iptables_sync_time"


def measure(rounds: int = ROUNDS) -> Report:
    """Measure the demo's model and a run of site.yml without changes, with the agent and without it in turn."""
    config = settings.load()
    versions = tools.ensure().versions(("ansible-core", "kubectl", "kserve-manager", "contour", "kube-router"))
    report = Report("network_policies", "What the enforcement of NetworkPolicies costs", versions)
    progress = Progress()
    cluster = commands.up(config, table.load().of_mode(config.mode), progress)
    if not cluster.built():
        raise MeasurementError("The node image was pulled, whose network always enforces NetworkPolicies.")
    demo.run_demo(cluster, progress)
    measured: dict[str, dict[str, list[float]]] = {}
    agent: dict[str, list[float]] = {}
    try:
        for number in range(rounds):
            for tool in (WITH, WITHOUT) if number % 2 else (WITHOUT, WITH):
                (network_policies.enforce if tool == WITH else network_policies.stop)(cluster)
                for figure, value in _figures(config).items():
                    measured.setdefault(figure, {}).setdefault(tool, []).append(value)
                    print(f"    round {number + 1}, {tool}: {figure}: {value:.2f}", flush=True)
                if tool == WITH:
                    for name, value in agent_figures(_metrics(cluster)).items():
                        agent.setdefault(name, []).append(value)
    finally:
        network_policies.apply(cluster, built=True)
    for figure, values in measured.items():
        unit = "requests/s" if "rate" in figure else "ms" if " p" in figure else "s"
        report.compare(figure, WITH, values, unit=unit)
    for name, numbers in agent.items():
        report.rows.append(Row(name, "kube-router", numbers, unit="MiB" if "memory" in name else "s"))
    report.notes += [
        f"Requests of two rows are sent over TLS to 127.0.0.1:{config.https_port}, and pass the node's port, Envoy and "
        "the model's pod. Every packet of new connections is checked at Envoy and at the model.",
        "The agent's figures are those of its own metrics after each round, since it was started in that round.",
    ]
    return report


def _figures(config: Settings) -> dict[str, float]:
    to = http_server.server(
        f"https://{MODEL}.{demo.DOMAIN}:{config.https_port}", "https", None, None, "127.0.0.1", proxy="",
        ca_path=str(config.state / "ca.crt"),
    )  # fmt: skip

    def load(rate: float, seconds: float) -> dict[str, Any]:
        return load_to(to, MODEL, PROTOCOL, rate, seconds)

    latency = load(MODEST_RATE, MODEST_SECONDS)["latency_ms"]
    rate = highest_rate(lambda rate: load(rate, RATE_SECONDS), FIRST_RATE)
    return {
        f"{MODEST_RATE} requests/s: p50": latency["p50"],
        f"{MODEST_RATE} requests/s: p99": latency["p99"],
        f"highest rate at p99 < {LIMIT_MS} ms": rate,
        "site.yml again": site(config),
    }


def site(config: Settings) -> float:
    """The seconds of a run of site.yml that changes nothing."""
    began = time.monotonic()
    output = run_playbook(config, "playbooks/site.yml")
    seconds = time.monotonic() - began
    if not re.search(r"changed=0 ", output):
        raise MeasurementError(f"site.yml changed something:\n{output[-3000:]}")
    return seconds


def _metrics(cluster: Cluster) -> str:
    command = ["docker", "exec", cluster.node, "curl", "--silent", "--fail", METRICS]
    return run(command, env=cluster.engine.env, hint="inspect the agent.")


def agent_figures(text: str) -> dict[str, float]:
    """Figures of the agent in the text of its metrics."""
    values = {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}
    return {
        "one sync of all rules, mean": values[f"{SYNC}_sum"] / values[f"{SYNC}_count"],
        "CPU time of the agent": values["process_cpu_seconds_total"],
        "memory of the agent": values["process_resident_memory_bytes"] / 2**20,
    }
