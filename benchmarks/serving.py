# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serving the iris model: latency, highest rate and cold start, compared with other model servers.

The collection's server predicts the requests that wait at the same time in one call of the model. It is also measured
with one call for each request, and in both ways with the churn model and a forest.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import transport as http_transport
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.plan import Plan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.smoke_test import Check, SmokeTest
from benchmarks import served, tools
from benchmarks.results import MeasurementError, Report, Row
from benchmarks.served import (
    ALONE,
    FASTAPI,
    IRIS,
    KSERVE,
    MLSERVER,
    OTHERS,
    OURS,
    SERVERS,
    TOGETHER,
    Server,
    Start,
    Subject,
)
from local import settings
from local.settings import REPOSITORY

ROUNDS = 3
GENERATOR_CORE = 1
MODEST_RATE, MODEST_SECONDS, WARMUP = 200, 15, 200  # p99 is of 3,000 requests
LIMIT_MS = 100
# A rate is sustained if this part of it is predicted correctly and in time, and requests are not sent late.
SUSTAINED, LATE_MS = 0.99, 20.0
RATE_SECONDS, FIRST_RATE, STEP, HALVINGS = 2, 800.0, 1.5, 3
# How many times as many requests the server predicts together as one by one.
FACTOR = 1.5
PERCENTILES = ("p50", "p95", "p99")
IMAGES = {FASTAPI: "fastapi_iris", MLSERVER: "mlserver_iris", KSERVE: "kserve_iris"}
PACKAGES = ("scikit-learn", "uvicorn", "orjson", "fastapi", "pydantic", "mlserver", "kserve")


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Pin this process, which sends the load, to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def load(address: tuple[str, int], server: Server, protocol: str, rate: float, seconds: float) -> dict[str, Any]:
    """The result of an open load on the NodePort of a server."""
    to = http_server.server(f"http://{address[0]}:{address[1]}", "http", None, None, None, proxy="")
    return load_to(to, server.model, protocol, rate, seconds, server.subject)


def load_to(
    to: http_server.Server, model: str, protocol: str, rate: float, seconds: float, subject: Subject = IRIS
) -> dict[str, Any]:
    """The result of inference_smoke_test for an open load; every prediction is compared."""
    check = Check(
        model,
        protocol,
        subject.instances,
        subject.expected,
        Plan(0, seconds=seconds, rate=rate, warmup=WARMUP),
        retry_for=30,
        thresholds={"error_rate": 1.0},
    )
    with http_transport.HttpTransport(to, None) as transport, on_core(GENERATOR_CORE):
        return SmokeTest(transport, check).run()


def sustained(result: Mapping[str, Any], rate: float) -> bool:
    """Whether an open load was sustained: no errors, and 99 of 100 requests within the limit."""
    sent = result["load"]
    late = sent["behind_ms"]["p99"] > LATE_MS
    return not sent["errors"] and not late and sent["throughput"] >= SUSTAINED * rate and _p99(result) < LIMIT_MS


def _p99(result: Mapping[str, Any]) -> float:
    value = result["latency_ms"]["p99"]
    return float("inf") if value is None else float(value)


def highest(try_rate: Callable[[float], bool], first: float = FIRST_RATE) -> float:
    """The highest sustained rate, by steps up or down and then by bisection; 0 if there is none.

    A rate is tried twice, because other processes on the machine may make it fail once.
    """

    def passes(rate: float) -> bool:
        return try_rate(rate) or try_rate(rate)

    low = first
    if passes(low):
        while passes(low * STEP):
            low *= STEP
    else:
        low /= STEP
        while not passes(low):
            low /= STEP
            if low < 1:
                return 0.0
    high = low * STEP
    for _halving in range(HALVINGS):
        middle = (low + high) / 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low


def measure(rounds: int = ROUNDS) -> Report:
    """Measure one model server after the other, while the others have no pods."""
    if (os.cpu_count() or 1) < 2:
        raise MeasurementError("Two CPU cores are needed, for the server and for the load generator.")
    config = settings.load()
    if config.mode != "Standard":
        raise MeasurementError("HASHFOUNDRY_MODE must be Standard: use the benchmark from_zero for Knative mode.")
    found = tools.ensure()
    programs = found.versions(("ansible-core", "kubectl", "kserve-manager"))
    report = Report("serving", "Serving the iris model from one core", {**programs, **package_versions()})
    latency: dict[tuple[Server, str], list[Mapping[str, float]]] = {}
    rates: dict[tuple[Server, str], list[float]] = {}
    starts: dict[Server, list[Start]] = {}
    with served.running(config, servers=[*SERVERS, *OTHERS, *ALONE.values()]) as cluster:
        # The first pod on a new cluster is slower than all later ones.
        cluster.start(OURS)
        cluster.stop(OURS)
        for number in range(rounds):
            servers = (*SERVERS, ALONE[OURS])
            for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
                start = cluster.start(server)
                starts.setdefault(server, []).append(start)
                print(f"    round {number + 1}, {server.label}: first response after {start.seconds:.2f} s", flush=True)
                address = cluster.address(server)
                for protocol in server.protocols:
                    modest = load(address, server, protocol, MODEST_RATE, MODEST_SECONDS)
                    rate = _highest(address, server, protocol, rates.get((server, protocol), [FIRST_RATE])[-1])
                    latency.setdefault((server, protocol), []).append(modest["latency_ms"])
                    rates.setdefault((server, protocol), []).append(rate)
                    values = ", ".join(f"{name} {modest['latency_ms'][name]:.2f} ms" for name in PERCENTILES)
                    print(f"      {protocol}: {values}; {rate:.0f}/s", flush=True)
                cluster.stop(server)
            for server in [one for pair in ALONE.items() if pair[0] is not OURS for one in pair][:: 1 - number % 2 * 2]:
                cluster.start(server)
                first = rates.get((server, "v1"), [FIRST_RATE])[-1]
                rate = _highest(cluster.address(server), server, "v1", first)
                rates.setdefault((server, "v1"), []).append(rate)
                print(f"    round {number + 1}, {server.label}, {server.subject.label}: {rate:.0f}/s", flush=True)
                cluster.stop(server)
    for protocol in ("v1", "v2"):
        _rows(report, protocol, latency, rates)
    for server in OTHERS:
        _compare_alone(report, server, "v1", rates)
    start_rows(report, "from the creation of the pod to the first response", starts)
    report.notes += _notes(starts)
    return report


def _highest(address: tuple[str, int], server: Server, protocol: str, first: float) -> float:
    return highest_rate(lambda rate: load(address, server, protocol, rate, RATE_SECONDS), first)


def highest_rate(try_load: Callable[[float], Mapping[str, Any]], first: float = FIRST_RATE) -> float:
    """The highest sustained rate of a function that sends a load of a rate for RATE_SECONDS."""

    def try_rate(rate: float) -> bool:
        try:
            return sustained(try_load(rate), rate)
        except KServeError as error:
            print(f"      {rate:.0f}/s: {error}", flush=True)
            return False

    return highest(try_rate, first)


def _compare_alone(
    report: Report, server: Server, protocol: str, rates: Mapping[tuple[Server, str], list[float]]
) -> None:
    """Add the highest rate of the server with calls for several requests, and with one for each."""
    values = {one.label: rates[one, protocol] for one in (server, ALONE[server])}
    alone, together = (statistics.median(values[one.label]) for one in (ALONE[server], server))
    figure = f"{protocol}, {server.subject.label or 'iris'}, highest rate at p99 < {LIMIT_MS} ms"
    limit = f"at least {FACTOR} times that with {TOGETHER}=false"
    report.compare(figure, server.label, values, unit="requests/s", limit=limit, met=together >= FACTOR * alone)


def _rows(
    report: Report,
    protocol: str,
    latency: Mapping[tuple[Server, str], list[Mapping[str, float]]],
    rates: Mapping[tuple[Server, str], list[float]],
) -> None:
    """Add the rows of one protocol, for the servers that support it."""
    compared = [server for server in SERVERS if protocol in server.protocols]
    for name in PERCENTILES:
        values = {server.label: [one[name] for one in latency[server, protocol]] for server in compared}
        best = min(statistics.median(values[server.label]) for server in compared[1:])
        met = statistics.median(values[OURS.label]) <= best
        figure = f"{protocol}, {MODEST_RATE} requests/s: {name}"
        values[ALONE[OURS].label] = [one[name] for one in latency[ALONE[OURS], protocol]]
        report.compare(figure, OURS.label, values, unit="ms", limit="not worse than any other", met=met)
    values = {server.label: rates[server, protocol] for server in compared}
    best = max(statistics.median(values[server.label]) for server in compared[1:])
    met = statistics.median(values[OURS.label]) >= best
    figure = f"{protocol}, highest rate at p99 < {LIMIT_MS} ms"
    report.compare(figure, OURS.label, values, unit="requests/s", limit="not worse than any other", met=met)
    _compare_alone(report, OURS, protocol, rates)


def start_rows(report: Report, figure: str, starts: Mapping[Server, list[Start]]) -> None:
    """Add the start time of each server with its phases, and check ours against the best other server."""
    values = {server.label: [start.seconds for start in starts[server]] for server in SERVERS}
    best = min(statistics.median(values[server.label]) for server in SERVERS[1:])
    met = statistics.median(values[OURS.label]) <= best
    report.compare(figure, OURS.label, values, limit="not worse than any other", met=met)
    for part in starts[OURS][0].parts:
        for server in SERVERS:
            report.rows.append(Row(f"of which {part}", server.label, [start.parts[part] for start in starts[server]]))


def _notes(starts: Mapping[Server, list[Start]]) -> list[str]:
    return [
        "Each server is an InferenceService in Standard mode on the demo cluster, with the same bucket and the "
        "limits 1 core and 1 GiB; only one has a pod at a time. Requests of two rows are sent to a NodePort over HTTP, "
        f"without a gateway, from core {GENERATOR_CORE}; the control plane runs on the same two cores.",
        "FastAPI is benchmarks/images/fastapi_iris, with uvloop and httptools and without an access "
        "log. MLServer is KServe's runtime kserve-mlserver with MLSERVER_PARALLEL_WORKERS=0, so that it predicts "
        "in the process of the HTTP server, like the other servers. KServe's server is the code of its Go module. "
        "These two write an access log, which is their default.",
        f"A rate is sustained if {SUSTAINED:.0%} of it is reached, all predictions are correct and p99 is under "
        f"{LIMIT_MS} ms; one that fails is tried again. The load is open and lasts {RATE_SECONDS} s.",
        f"With {TOGETHER}=false the collection's server calls the model once for each request. The churn model has "
        "numbers and strings.",
        "The images are loaded on the node. "
        f"The log of the last start of model/server: {starts[OURS][-1].log_line or 'nothing'}.",
    ]


def package_versions() -> dict[str, str]:
    """The versions of packages in the images, from their lock files."""
    locks = [REPOSITORY / "model" / "server", *(tools.FOLDER / "images" / name for name in IMAGES.values())]
    found: dict[str, str] = {"python-kubernetes": version("kubernetes")}
    for folder in locks:
        text = (folder / "requirements.txt").read_text()
        for package in PACKAGES:
            if pinned := re.search(rf"^{package}==(\S+)", text, re.MULTILINE):
                found.setdefault(package, pinned[1])
    return found
