# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for the highest rate, and the validation of responses."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.served import is_right, to_seconds
from benchmarks.serving import highest, sustained


@pytest.mark.parametrize("limit", [310.0, 700.0, 1234.0, 5000.0])
def test_the_highest_rate_is_found_within_six_percent(limit: float) -> None:
    found = highest(lambda rate: rate <= limit)
    assert 0.94 * limit <= found <= limit


def test_a_server_that_sustains_no_rate_has_none() -> None:
    assert highest(lambda rate: False) == 0


def test_a_rate_that_fails_once_is_tried_again() -> None:
    failed = set()

    def passes(rate: float) -> bool:
        first = rate not in failed
        failed.add(rate)
        return not first and rate <= 1000

    assert highest(passes) > 900


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"errors": 1}, False),
        ({"throughput": 980.0}, False),
        ({"p99": 100.0}, False),
        ({"p99": None}, False),
        ({"behind": 21.0}, False),
    ],
)
def test_a_rate_is_sustained_if_all_predictions_are_in_time(change: dict[str, Any], expected: bool) -> None:
    facts = {"errors": 0, "throughput": 995.0, "p99": 99.0, "behind": 1.0} | change
    load = {"errors": facts["errors"], "throughput": facts["throughput"], "behind_ms": {"p99": facts["behind"]}}
    assert sustained({"latency_ms": {"p99": facts["p99"]}, "load": load}, 1000) is expected


@pytest.mark.parametrize(
    ("protocol", "body", "right"),
    [
        ("v1", b'{"predictions": [0, 2]}', True),
        ("v1", b'{"predictions": [0, 1]}', False),
        ("v2", b'{"outputs": [{"data": [0, 2]}]}', True),
        ("v2", b'{"predictions": [0, 2]}', False),
        ("v1", b"no healthy upstream", False),
    ],
)
def test_only_the_correct_predictions_are_accepted(protocol: str, body: bytes, right: bool) -> None:
    assert is_right(protocol, body) is right


def test_a_time_of_containerd_has_nanoseconds() -> None:
    assert to_seconds("2026-11-21T09:16:07.102345678Z") == pytest.approx(1795252567.102345)
    assert to_seconds("2026-11-21T09:16:07Z") == 1795252567
