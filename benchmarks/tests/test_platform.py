# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations of the tasks and stages, and the comparison of site.yml with the script."""

from __future__ import annotations

import json

import pytest

from benchmarks import platform
from benchmarks.platform import BY_HAND, OURS, Measured, Runs


def test_the_durations_of_tasks_with_the_same_name_are_summed() -> None:
    rows = [("start", "a", 1.0), ("ok", "a", 3.0), ("start", "b", 3.0), ("skipped", "b", 3.5), ("start", "a", 4.0)]
    rows.append(("failed", "a", 5.0))
    lines = [json.dumps({"what": what, "task": task, "time": time}) for what, task, time in rows]
    assert platform.tasks(lines) == {"a": 3.0, "b": 0.5}


def test_a_stage_ends_when_the_next_one_starts() -> None:
    output = '1795252772 gateway\n1795252780 kserve\n{"predictions":[0,2]}\n1795252830 end\n'
    assert platform.stages(output) == {"gateway": 8.0, "kserve": 50.0}


def runs(*seconds: tuple[float, float]) -> Runs:
    first, again = ([Measured(one[place], 100, {"a": 1.0}) for one in seconds] for place in (0, 1))
    return Runs(first, again, again, {"Secret kserve/ca", "Pod x/y"})


@pytest.mark.parametrize(("seconds", "met"), [((60.0, 5.0), True), ((80.0, 12.0), False)])
def test_the_thresholds_compare_runs_of_the_same_round(seconds: tuple[float, float], met: bool) -> None:
    class Found:
        def versions(self, _names: object) -> dict[str, str]:
            return {}

    report = platform._report({OURS: runs(seconds), BY_HAND: runs((60.0, 15.0))}, Found())  # type: ignore[arg-type]
    thresholds = {row.figure: (row.values, row.met) for row in report.rows if row.limit}
    assert thresholds == {
        "first install, relative to helm and kubectl": ([seconds[0] / 60.0], met),
        "again, relative to helm and kubectl": ([seconds[1] / 15.0], met),
        "again in the execution environment, relative to helm and kubectl": ([seconds[1] / 15.0], met),
    }
    assert {row.unit for row in report.rows if "requests" in row.figure} == {"requests"}


def test_objects_of_only_one_tool_are_listed_without_random_names() -> None:
    output = platform._difference(
        OURS, {"Secret a/ca", "Secret a/default-token-x7k2p", "Secret a/sh.helm.release.v1.k.v1"}
    )
    assert output == "Only site.yml creates 1 objects: Secret a/ca."
    assert platform._difference(OURS, set()) == "Only site.yml creates 0 objects."
