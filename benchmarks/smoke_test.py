# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the smoke test's own share in a latency is, and how much load it can put out honestly from one core."""

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
from benchmarks.results import NotMeasured, Report
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
MANY = 16  # connections
WITHIN_MS, LEAST_RATE = 0.3, 2000
# The rates that are tried, in requests a second, and what makes one honest: it was kept, with every request on time.
RATES = (20000, 16000, 12000, 10000, 8000, 6000, 5000, 4000, 3000, 2500, 2000, 1500, 1000, 500)
KEPT, LATE_MS = 0.99, 5.0

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
def note(response_time, exception, **others):
    if exception is None:
        times.append((time.time(), response_time))

@events.quitting.add_listener
def tell(environment, **others):
    seconds = times[-1][0] - times[0][0]
    print(f"p50_us {statistics.median(took for _, took in times) * 1000:.0f} rate {len(times) / seconds:.1f}")
"""


@contextmanager
def server(found: Tools) -> Iterator[str]:
    """The static answer, on a core of its own; gives its URL."""
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
    """The task that puts as much load on the server as so many connections give, each after its answer."""
    path = f"/v1/models/{MODEL}:predict"
    if tool == OURS:
        return ours(url, concurrency=connections, seconds=SECONDS)
    if tool == WRK:
        script = folder / "post.lua"
        script.write_text(WRK_SCRIPT % BODY)
        words = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={SECONDS}s", "--latency"]
        return _command(*words, f"--script={script}", url + path)
    if tool == HEY:
        words = [str(found.program("hey")), "-cpus", "1", "-c", str(connections), "-z", f"{SECONDS}s", "-m", "POST"]
        return _command(*words, "-T", "application/json", "-d", BODY, url + path)
    file = folder / "locustfile.py"
    file.write_text(LOCUST_FILE % (path, BODY))
    words = [str(found.script("locust")), "--headless", "--only-summary", "--locustfile", str(file), "--host", url]
    return _command(*words, "--users", str(connections), "--spawn-rate", str(connections), "--run-time", f"{SECONDS}s")


def ours(url: str, **load: Any) -> Task:
    """The collection's own."""
    model = {"url": url, "model_name": MODEL, "protocol": "v1", "instances": INSTANCES, "expected": EXPECTED}
    return {"hashfoundry.kserve.inference_smoke_test": {**model, **load}}


def _command(*words: str) -> Task:
    return {"ansible.builtin.command": {"argv": list(words)}}


def figures(tool: str, done: Timed) -> tuple[float, float]:
    """p50 in milliseconds and requests a second, as the tool tells them."""
    if tool == OURS:
        return done.result["latency_ms"]["p50"], done.result["load"]["throughput"]
    said = str(done.result["stdout"])
    patterns = (
        (r"50%+ in ([\d.]+) secs", r"Requests/sec:\s+([\d.]+)") if tool == HEY else (r"p50_us (\d+)", r"rate ([\d.]+)")
    )
    latency, rate = (re.search(pattern, said) for pattern in patterns)
    refused = "Non-2xx" in said or set(re.findall(r"\[(\d+)\]\s+\d+ responses", said)) - {"200"}
    if not latency or not rate or refused:
        raise NotMeasured(f"{tool} did not say what it measured:\n{said[-1000:]}")
    return float(latency[1]) * (1000 if tool == HEY else 0.001), float(rate[1])


def honest(result: dict[str, Any], rate: int) -> bool:
    """Whether an open load was what was asked for: kept, without an error, and no request late by the sender."""
    load = result.get("load")
    if result.get("failed") or not load or load["errors"]:
        return False
    return bool(load["throughput"] >= KEPT * rate and load["behind_ms"]["p99"] <= LATE_MS)


def _highest(found: Tools, url: str) -> float:
    """The highest rate that is honest; 0 where none is."""
    for rate in RATES:
        one = {"name": "load", **ours(url, rate=rate, seconds=SECONDS), "ignore_errors": True}
        result = dict(play(found, [one], core=GENERATOR_CORE).tasks["load"].result)
        if honest(result, rate):
            return float(rate)
        print(f"    {rate}/s: {result.get('msg') or result['load']}", flush=True)
    return 0.0


def _single(url: str) -> dict[str, dict[str, float]]:
    """What single requests take with each library: milliseconds to the first answer, and of each after it."""
    found = {}
    for tool in single_requests.TOOLS:
        command = ["taskset", "--cpu-list", str(GENERATOR_CORE), sys.executable, "-m", "benchmarks.single_requests"]
        environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS.parent)}
        done = subprocess.run(
            [*command, tool, f"{url}/v1/models/{MODEL}:predict", BODY],
            cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise NotMeasured(f"Single requests by {tool} failed:\n{done.stderr[-1000:]}")
        found[tool] = json.loads(done.stdout)
        print(f"    single requests, {tool}: {found[tool]}", flush=True)
    return found


def measure(rounds: int = ROUNDS) -> Report:
    """Load a static answer with every tool, in turns, from one core."""
    if (os.cpu_count() or 1) < 2:
        raise NotMeasured("The server and what loads it need a core each.")
    found = tools.ensure("hey", "predictor")
    versions = found.versions(("ansible-core", "requests", WRK, HEY, LOCUST))
    report = Report("smoke_test", "A static answer, measured from one core", versions)
    latency: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    rate: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    highest = []
    singles = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, server(found) as url:
        for number in range(rounds):
            for tool in TOOLS[number % len(TOOLS) :] + TOOLS[: number % len(TOOLS)]:
                tasks = [
                    {"name": str(connections), **task(tool, found, url, connections, Path(name))}
                    for connections in (1, MANY)
                ]
                done = play(found, tasks, core=GENERATOR_CORE).tasks
                latency[tool].append(figures(tool, done["1"])[0])
                rate[tool].append(figures(tool, done[str(MANY)])[1])
                print(f"    round {number + 1}, {tool}: {latency[tool][-1]:.3f} ms, {rate[tool][-1]:.0f}/s", flush=True)
            singles.append(_single(url))
            highest.append(_highest(found, url))
            print(f"    round {number + 1}, highest honest rate: {highest[-1]:.0f}/s", flush=True)
    medians = {tool: statistics.median(values) for tool, values in latency.items()}
    best = min(value for tool, value in medians.items() if tool != OURS)
    met = medians[OURS] <= best + WITHIN_MS
    report.compare("p50, one connection", OURS, latency, unit="ms", limit=f"within {WITHIN_MS} ms of the best", met=met)
    report.compare(f"closed load, {MANY} connections", OURS, rate, unit="requests/s")
    met = statistics.median(highest) >= LEAST_RATE
    limit = f"at least {LEAST_RATE:,} a second"
    report.compare("highest honest rate, open load", OURS, {OURS: highest}, unit="requests/s", limit=limit, met=met)
    for figure, what in (
        ("single requests, each", "each"),
        ("single requests, from the start of Python's imports to the first answer", "first"),
    ):
        values = {tool: [one[tool][what] for one in singles] for tool in single_requests.TOOLS}
        report.compare(figure, next(iter(values)), values, unit="ms")
    report.notes += [
        f"Every tool, with the playbook that starts it, is pinned to core {GENERATOR_CORE}, the server to core "
        f"{SERVER_CORE}; the server is benchmarks/go/predictor, over HTTP with connections kept.",
        f"A rate is honest when at least {KEPT:.0%} of it is answered, rightly, and the sender's own delay is at most "
        f"{LATE_MS:.0f} ms (p99). The others' loads are closed: they wait for an answer before they send again.",
        "hey tells latencies to 0.1 ms. Only inference_smoke_test compares every prediction with what it must be.",
    ]
    return report
