# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The overhead of the smoke test in a latency, and the highest load that it generates on one core."""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import single_requests, tools
from benchmarks.playbook import Task, Timed, play
from benchmarks.results import MeasurementError, Report
from benchmarks.tools import Tools
from local.galaxy import COLLECTIONS
from local.settings import REPOSITORY

ROUNDS = 3
OURS, WRK, HEY, LOCUST = "inference_smoke_test", "wrk", "hey", "locust"
TOOLS = (OURS, WRK, HEY, LOCUST)
MODEL, INSTANCES, EXPECTED = "fixed", [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], [0, 2]
BODY = json.dumps({"instances": INSTANCES})
SERVER_CORE, GENERATOR_CORE = 0, 1
SECONDS = 4
CONNECTIONS = 16  # connections
MARGIN_MS, MIN_RATE = 0.3, 2000
# The rates in requests per second. One is sustained if this part of it was reached, and requests were sent on time.
RATES = (20000, 16000, 12000, 10000, 8000, 6000, 5000, 4000, 3000, 2500, 2000, 1500, 1000, 500)
SUSTAINED, LATE_MS = 0.99, 5.0

WRK_SCRIPT = """
wrk.method, wrk.body, wrk.headers["Content-Type"] = "POST", '%s', "application/json"
done = function(summary, latency, requests)
  io.write(string.format("p50_us %%d rate %%.1f\\n", latency:percentile(50), summary.requests * 1e6 / summary.duration))
end
"""
LOCUST_FILE = """
import statistics, time
from locust import FastHttpUser, events, task
times = []

class User(FastHttpUser):
    @task
    def predict(self):
        self.client.post("%s", data='%s', headers={"Content-Type": "application/json"})

@events.request.add_listener
def record(response_time, exception, **others):
    if exception is None:
        times.append((time.time(), response_time))

@events.quitting.add_listener
def report(environment, **others):
    seconds = times[-1][0] - times[0][0]
    print(f"p50_us {statistics.median(took for _, took in times) * 1000:.0f} rate {len(times) / seconds:.1f}")
"""


@contextmanager
def server(found: Tools) -> Iterator[str]:
    """A server with a static response, pinned to a separate core; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["taskset", "--cpu-list", str(SERVER_CORE), str(found.program("predictor"))]
    command += ["-listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            for _attempt in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def task(tool: str, found: Tools, url: str, connections: int, folder: Path) -> Task:
    """The task that loads the server over the connections; each sends a request after the previous response."""
    path = f"/v1/models/{MODEL}:predict"
    if tool == OURS:
        return ours(url, concurrency=connections, seconds=SECONDS)
    if tool == WRK:
        script = folder / "post.lua"
        script.write_text(WRK_SCRIPT % BODY)
        argv = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={SECONDS}s", "--latency"]
        return _command(*argv, f"--script={script}", url + path)
    if tool == HEY:
        argv = [str(found.program("hey")), "-cpus", "1", "-c", str(connections), "-z", f"{SECONDS}s", "-m", "POST"]
        return _command(*argv, "-T", "application/json", "-d", BODY, url + path)
    file = folder / "locustfile.py"
    file.write_text(LOCUST_FILE % (path, BODY))
    argv = [str(found.script("locust")), "--headless", "--only-summary", "--locustfile", str(file), "--host", url]
    return _command(*argv, "--users", str(connections), "--spawn-rate", str(connections), "--run-time", f"{SECONDS}s")


def ours(url: str, **load: Any) -> Task:
    """The task with the module of the collection."""
    model = {"url": url, "model_name": MODEL, "protocol": "v1", "instances": INSTANCES, "expected": EXPECTED}
    return {"hashfoundry.kserve.inference_smoke_test": {**model, **load}}


def _command(*argv: str) -> Task:
    return {"ansible.builtin.command": {"argv": list(argv)}}


def figures(tool: str, timed: Timed) -> tuple[float, float]:
    """p50 in milliseconds and requests per second, as the tool reports them."""
    if tool == OURS:
        return timed.result["latency_ms"]["p50"], timed.result["load"]["throughput"]
    output = str(timed.result["stdout"])
    patterns = (
        (r"50%+ in ([\d.]+) secs", r"Requests/sec:\s+([\d.]+)") if tool == HEY else (r"p50_us (\d+)", r"rate ([\d.]+)")
    )
    latency, rate = (re.search(pattern, output) for pattern in patterns)
    errors = "Non-2xx" in output or set(re.findall(r"\[(\d+)\]\s+\d+ responses", output)) - {"200"}
    if not latency or not rate or errors:
        raise MeasurementError(f"{tool} did not report its measurement:\n{output[-1000:]}")
    return float(latency[1]) * (1000 if tool == HEY else 0.001), float(rate[1])


def sustained(result: dict[str, Any], rate: int) -> bool:
    """Whether an open load was sustained: without errors, and no request was sent late."""
    load = result.get("load")
    if result.get("failed") or not load or load["errors"]:
        return False
    return bool(load["throughput"] >= SUSTAINED * rate and load["behind_ms"]["p99"] <= LATE_MS)


def _highest(found: Tools, url: str) -> float:
    """The highest sustained rate; 0 if there is none."""
    for rate in RATES:
        one = {"name": "load", **ours(url, rate=rate, seconds=SECONDS), "ignore_errors": True}
        result = dict(play(found, [one], core=GENERATOR_CORE).tasks["load"].result)
        if sustained(result, rate):
            return float(rate)
        print(f"    {rate}/s: {result.get('msg') or result['load']}", flush=True)
    return 0.0


def _single(url: str) -> dict[str, dict[str, float]]:
    """The duration of single requests with each library, in milliseconds: of the first, and of each after it."""
    found = {}
    for tool in single_requests.TOOLS:
        command = ["taskset", "--cpu-list", str(GENERATOR_CORE), sys.executable, "-m", "benchmarks.single_requests"]
        environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS.parent)}
        timed = subprocess.run(
            [*command, tool, f"{url}/v1/models/{MODEL}:predict", BODY],
            cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if timed.returncode:
            raise MeasurementError(f"Single requests by {tool} failed:\n{timed.stderr[-1000:]}")
        found[tool] = json.loads(timed.stdout)
        print(f"    single requests, {tool}: {found[tool]}", flush=True)
    return found


def measure(rounds: int = ROUNDS) -> Report:
    """Load a static response with each tool in turn, from one core."""
    if (os.cpu_count() or 1) < 2:
        raise MeasurementError("Two CPU cores are needed, for the server and for the load generator.")
    found = tools.ensure("hey", "predictor")
    versions = found.versions(("ansible-core", "requests", WRK, HEY, LOCUST))
    report = Report("smoke_test", "Load on a static response, generated on one core", versions)
    latency: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    rate: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    highest = []
    singles = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, server(found) as url:
        for number in range(rounds):
            for tool in TOOLS[number % len(TOOLS) :] + TOOLS[: number % len(TOOLS)]:
                tasks = [
                    {"name": str(connections), **task(tool, found, url, connections, Path(name))}
                    for connections in (1, CONNECTIONS)
                ]
                timed = play(found, tasks, core=GENERATOR_CORE).tasks
                latency[tool].append(figures(tool, timed["1"])[0])
                rate[tool].append(figures(tool, timed[str(CONNECTIONS)])[1])
                print(f"    round {number + 1}, {tool}: {latency[tool][-1]:.3f} ms, {rate[tool][-1]:.0f}/s", flush=True)
            singles.append(_single(url))
            highest.append(_highest(found, url))
            print(f"    round {number + 1}, highest sustained rate: {highest[-1]:.0f}/s", flush=True)
    medians = {tool: statistics.median(values) for tool, values in latency.items()}
    best = min(value for tool, value in medians.items() if tool != OURS)
    met = medians[OURS] <= best + MARGIN_MS
    report.compare("p50, one connection", OURS, latency, unit="ms", limit=f"within {MARGIN_MS} ms of the best", met=met)
    report.compare(f"closed load, {CONNECTIONS} connections", OURS, rate, unit="requests/s")
    met = statistics.median(highest) >= MIN_RATE
    limit = f"at least {MIN_RATE:,} requests/s"
    report.compare("highest sustained rate, open load", OURS, {OURS: highest}, unit="requests/s", limit=limit, met=met)
    for figure, what in (
        ("single requests, each", "each"),
        ("single requests, from the start of Python's imports to the first response", "first"),
    ):
        values = {tool: [one[tool][what] for one in singles] for tool in single_requests.TOOLS}
        report.compare(figure, next(iter(values)), values, unit="ms")
    report.notes += [
        f"Each tool, with the playbook that starts it, is pinned to core {GENERATOR_CORE}, the server to core "
        f"{SERVER_CORE}. The server is benchmarks/go/predictor, over HTTP with persistent connections.",
        f"A rate is sustained if at least {SUSTAINED:.0%} of it is reached without errors, and the sender's delay is "
        f"at most {LATE_MS:.0f} ms (p99). wrk, hey and locust generate closed loads: a request waits for the previous "
        "response.",
        "hey reports latencies with a resolution of 0.1 ms. Only inference_smoke_test validates each prediction.",
    ]
    return report
