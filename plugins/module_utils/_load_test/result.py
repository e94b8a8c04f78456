# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a load has measured, and whether that is good enough.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Effort

from .latency import PERCENTILES, latencies
from .plan import Plan, PlannedLoad

LATENCY_THRESHOLDS = {f"{name}_ms": name for name in (*PERCENTILES, "max")}
THRESHOLDS = (*LATENCY_THRESHOLDS, "error_rate", "throughput")

# An open load must be sent at nine tenths of its rate at least, or the result is for another load.
_MIN_RATE = 0.9
# A generator that uses or waits for a core for more than this share of the time is saturated.
_BUSY = 0.9
# The generator's own delay is reported if it exceeds this many milliseconds and a tenth of the latency.
_REPORTED_DELAY_MS = 1.0


def figures(plan: Plan, load: PlannedLoad, effort: Effort) -> dict[str, Any]:
    """Return latency_ms and load, as the module's RETURN describes them."""
    errors = sum(load.errors.values())
    answered = len(load.seconds) + errors
    # The last request of an open load has its share of the time as well: 10 at 10 a second take a second.
    planned = load.sent / plan.rate if plan.rate else 0.0
    seconds = max(load.ended - load.began, planned)
    send_delays = latencies(load.send_delays)
    result: dict[str, Any] = {
        "model": "open" if plan.rate else "closed",
        "requests": answered,
        "errors": errors,
        "error_rate": round(errors / answered, 6) if answered else 0.0,
        "error_causes": [{"cause": cause, "count": count} for cause, count in load.errors.most_common()],
        "seconds": round(seconds, 3),
        "throughput": round(len(load.seconds) / seconds, 3) if seconds else 0.0,
        "concurrency": plan.connections,
        "rate": plan.rate,
        "generator_cpu": round(effort.cpu / seconds, 3) if seconds else 0.0,
        "generator_waited": round(effort.waited / seconds, 3) if seconds else 0.0,
    }
    if plan.rate:
        result["behind_ms"] = {name: send_delays[name] for name in ("p50", "p99", "max")}
    return {"latency_ms": latencies(load.seconds), "load": result}


def missed_thresholds(thresholds: Mapping[str, float | None], measured: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each threshold that is missed."""
    found = {}
    for name in THRESHOLDS:
        limit = thresholds.get(name)
        if limit is None:
            continue
        place = LATENCY_THRESHOLDS.get(name)
        value = measured["latency_ms"][place] if place else measured["load"][name]
        if value is None:
            found[name] = f"{name} was not measured, since no request was answered"
        elif name == "throughput":
            if value < limit:
                found[name] = f"{name} is {value:.6g} a second and must be at least {limit:g}"
        elif value > limit:
            found[name] = f"{name} is {value:.6g} and must be at most {limit:g}"
    return found


def rate_not_reached(plan: Plan, load: PlannedLoad, measured: Mapping[str, Any]) -> str | None:
    """Return a sentence where this side, and not the server, kept an open load from its rate."""
    took = load.last_sent - load.began
    if not plan.rate or took <= 0 or not _busy(measured):
        return None
    reached = (load.sent - 1) / took
    if reached >= _MIN_RATE * plan.rate:
        return None
    return (
        f"Requests went out at {reached:.0f} a second instead of {plan.rate:g}, since the machine that sends them is "
        "not fast enough; lower rate, or give it an idle core."
    )


def client_bottleneck(plan: Plan, measured: Mapping[str, Any]) -> str | None:
    """Return a sentence where the figures are in good part this side's own; they are too bad then, never too good."""
    if plan.rate:
        delay, latency = measured["load"]["behind_ms"]["p99"], measured["latency_ms"]["p99"]
        if delay is None or latency is None or delay < max(_REPORTED_DELAY_MS, latency / 10):
            return None
        return (
            f"The machine that sends was itself up to {delay:.3g} ms late (p99), which is in the latencies; give it an "
            "idle core, or lower rate."
        )
    if not _busy(measured):
        return None
    return (
        "The machine that sends was busy all the time, so throughput and latencies are its limit and not the server's; "
        "set rate, or give it an idle core."
    )


def _busy(measured: Mapping[str, Any]) -> bool:
    load = measured["load"]
    return bool(load["generator_cpu"] + load["generator_waited"] > _BUSY)
