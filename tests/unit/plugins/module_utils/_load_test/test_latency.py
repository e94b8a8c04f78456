# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.chart import HEIGHT, WIDTH, latency_chart
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.latency import (
    buckets,
    latencies,
    percentile,
)

SVG = "{http://www.w3.org/2000/svg}"


def test_latencies_are_nearest_ranks_of_the_measurements() -> None:
    figures = latencies([n / 1000 for n in range(1000, 0, -1)])
    assert figures == {
        "count": 1000, "min": 1.0, "mean": 500.5,
        "p50": 500.0, "p95": 950.0, "p99": 990.0, "p999": 999.0, "max": 1000.0,
    }  # fmt: skip
    assert latencies([0.0031]) == {
        "count": 1, "min": 3.1, "mean": 3.1, "p50": 3.1, "p95": 3.1, "p99": 3.1, "p999": 3.1, "max": 3.1,
    }  # fmt: skip
    assert latencies([0.003, 0.001, 0.002])["p50"] == 2.0
    assert latencies([])["count"] == 0 and latencies([])["p50"] is None


@pytest.mark.parametrize(
    ("count", "percent", "rank"), [(20, 95, 19), (19, 95, 19), (100, 99, 99), (99, 99, 99), (1000, 99.9, 999)]
)
def test_how_many_values_a_percentile_needs(count: int, percent: float, rank: int) -> None:
    assert percentile([float(n) for n in range(1, count + 1)], percent) == rank


def test_every_value_is_in_a_bucket() -> None:
    draw = random.Random(1)
    values = [draw.lognormvariate(-5, 1) for _value in range(1000)]
    edges, counts = buckets(values, 60)
    assert sum(counts) == len(values) and len(edges) == 61 and edges == sorted(edges)
    assert counts[0] and counts[-1]
    assert edges[0] == pytest.approx(min(values) * 1000) and edges[-1] == pytest.approx(max(values) * 1000)


@pytest.mark.parametrize("values", [[0.005], [0.005] * 9, [0.0, 0.001], [0.0]])
def test_equal_and_tiny_values(values: list[float]) -> None:
    edges, counts = buckets(values, 60)
    assert sum(counts) == len(values) and edges[0] < edges[-1]


@pytest.mark.parametrize(
    "values", [[], [0.005], [0.005] * 50, [0.001, 2.5], [0.001 * 1.01**n for n in range(500)], [0.0]]
)
def test_a_chart_stays_within_its_frame(values: list[float]) -> None:
    drawn = latency_chart("Latency of <iris> & co", "closed load", values, latencies(values))
    root = ElementTree.fromstring(drawn)
    assert root.findtext(f"{SVG}title") == "Latency of <iris> & co"
    counted = 0
    for part in root.iter(f"{SVG}rect"):
        if part.get("class") == "bar":
            x, y, width, height = (float(part.get(name, "nan")) for name in ("x", "y", "width", "height"))
            assert x >= 0 and x + width <= WIDTH and y >= 0 and y + height <= HEIGHT and height > 0
            counted += int(part.findtext(f"{SVG}title", "").rsplit(" ", 1)[1])
    assert counted == len(values)
    labels = {(text.text or "").split()[0] for text in root.iter(f"{SVG}text") if (text.text or "").startswith("p")}
    assert "p50" in labels or not values
    assert "prefers-color-scheme: dark" in drawn and "<script" not in drawn and "href" not in drawn
