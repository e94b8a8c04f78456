# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service level objectives of a model: what an entry may hold, and the constants of Prometheus' rules.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

# Over which the error budget is counted. The burn rates of the alerts are those of the SRE workbook for each.
WINDOWS = ("7d", "28d", "30d", "90d")
PERCENTILES = ("p95", "p99")
# Bounds of histogram buckets that Envoy, Istio and this project's server have in common, in milliseconds: whether a
# request took longer than another threshold is counted by none.
THRESHOLDS = tuple(map(Decimal, ("1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000")))
OPTIONS: dict[str, Any] = {
    "availability": {"type": "float"},
    "latency": {"type": "dict", "options": {percentile: {"type": "str"} for percentile in PERCENTILES}},
    "window": {"type": "str", "choices": list(WINDOWS)},
}
DEFAULT_WINDOW = "30d"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
_LEAST, _MOST = 50, 100


def check(slo: Mapping[str, Any]) -> None:
    """Assert that objectives can be met and measured.

    :param slo: as OPTIONS describe it, each key optional.
    :raises KServeError: the first fault.
    """
    for fault in _faults(slo):
        raise KServeError(fault, reason="InvalidSLO")


def merged(slo: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Return the objectives of a model with what only the default has, and assert that they go together."""
    latency = {**(default.get("latency") or {}), **(slo.get("latency") or {})}
    both = {**default, **slo, **({"latency": latency} if latency else {})}
    if both.get("availability") is not None:
        try:
            # A survey has numbers as strings.
            both["availability"] = float(both["availability"])
        except (TypeError, ValueError):
            raise KServeError(
                f"slo.availability is {both['availability']}, and must be a percentage, such as 99.9",
                reason="InvalidSLO",
            ) from None
    check(both)
    return both


def rule_constants(slo: Mapping[str, Any], source: str) -> list[dict[str, str]]:
    """Return the objectives as labels and values of recording rules.

    :param slo: checked objectives.
    :param source: gateway, whose histograms are in milliseconds, or server, whose are in seconds.
    """
    window = str(slo.get("window") or DEFAULT_WINDOW)
    found = []
    if slo.get("availability") is not None:
        found.append({"slo": "availability", "ratio": _number(Decimal(str(slo["availability"])) / 100)})
    for percentile, given in (slo.get("latency") or {}).items():
        milliseconds = _milliseconds(given)
        found.append(
            {
                "slo": f"latency_{percentile}",
                "ratio": _number(Decimal(percentile[1:]) / 100),
                "seconds": _number(milliseconds / 1000),
                "le": _number(milliseconds if source == "gateway" else milliseconds / 1000),
            }
        )
    return [{**one, "window": window, "source": source} for one in found]


def _faults(slo: Mapping[str, Any]) -> Iterator[str]:
    availability = slo.get("availability")
    if availability is not None:
        if 0 < availability < 1:
            percentage = _number(Decimal(str(availability)) * 100)
            yield f"slo.availability is {availability}, and must be a percentage; write {percentage}"
        elif not _LEAST <= availability < _MOST:
            yield (
                f"slo.availability is {availability:g}, and must be a percentage from {_LEAST} to below {_MOST}, "
                "since a promise without an error budget cannot be kept"
            )
    latency = slo.get("latency") or {}
    for percentile, given in latency.items():
        milliseconds = _milliseconds(given)
        if milliseconds is None:
            yield f"slo.latency.{percentile} is {given}, and must be a duration with its unit, such as 500ms or 2.5s"
            return
        if milliseconds not in THRESHOLDS:
            yield (
                f"slo.latency.{percentile} is {given}, and must be one of {', '.join(map(_duration, THRESHOLDS))}, "
                "which gateways and servers count"
            )
            return
    if {"p95", "p99"} <= latency.keys() and _milliseconds(latency["p99"]) < _milliseconds(latency["p95"]):
        yield (
            f"slo.latency.p99 is {latency['p99']}, and must be at least p95, {latency['p95']}, since p99 counts slower "
            "requests"
        )
    if (window := slo.get("window")) is not None and window not in WINDOWS:
        yield f"slo.window is {window}, and must be one of {', '.join(WINDOWS)}"


def _milliseconds(given: Any) -> Decimal | None:
    matched = _DURATION.fullmatch(str(given).strip())
    return Decimal(matched[1]) * (1000 if matched[2] == "s" else 1) if matched else None


def _number(value: Decimal) -> str:
    """Return a number as Prometheus writes the bound of a bucket, without zeros at its end."""
    return f"{value.normalize():f}"


def _duration(milliseconds: Decimal) -> str:
    return f"{_number(milliseconds / 1000)}s" if milliseconds >= 1000 else f"{_number(milliseconds)}ms"
