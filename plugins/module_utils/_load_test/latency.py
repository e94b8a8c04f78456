# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Percentiles and a histogram of durations.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of an ordered sequence, by nearest rank."""
    # Of 1000 values the 999th is p99.9, though 99.9 * 1000 / 100 is slightly more than 999 in binary.
    return ordered[max(0, math.ceil(round(percent * len(ordered) / 100, 6)) - 1)]


def latencies(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Return count, min, mean, percentiles and max of durations, in milliseconds; None without durations."""
    ordered = sorted(value * 1000 for value in seconds)
    if not ordered:
        return {"count": 0, **dict.fromkeys(("min", "mean", *PERCENTILES, "max"))}
    figures = {
        "min": ordered[0],
        "mean": math.fsum(ordered) / len(ordered),
        **{name: percentile(ordered, percent) for name, percent in PERCENTILES.items()},
        "max": ordered[-1],
    }
    return {"count": len(ordered), **{name: round(value, 3) for name, value in figures.items()}}


def buckets(seconds: Sequence[float], count: int) -> tuple[list[float], list[int]]:
    """Return the count + 1 edges in milliseconds, evenly spaced by logarithm, and the number of values in each bucket.

    A model's latencies span several powers of ten: with linear buckets, nearly all would be in the first one.
    """
    values = [max(value * 1000, 0.001) for value in seconds]
    low, high = math.log(min(values)), math.log(max(values))
    if high - low < 0.1:  # nearly equal values are in the middle
        low, high = low - 0.05, high + 0.05
    edges = [math.exp(low + (high - low) * number / count) for number in range(count + 1)]
    counts = [0] * count
    for value in values:
        counts[max(0, min(count - 1, int((math.log(value) - low) / (high - low) * count)))] += 1
    return edges, counts
