# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations of the tasks and stages, and the comparison of site.yml with the script."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from benchmarks import platform
from benchmarks.platform import BY_HAND, OURS, Measured, Runs
from benchmarks.results import Report


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


def grown(per_model: float, requests: Callable[[int], int]) -> dict[int, list[Measured]]:
    return {
        count: [
            Measured(10 + per_model * count, 0, {"Apply": 0.01 * count}, {"get pods": requests(count), "bucket": count})
        ]
        for count in platform.COUNTS
    }


@pytest.mark.parametrize(
    ("per_model", "requests", "met"),
    [
        (0.15, lambda count: 3 * count, (True, True)),
        (0.25, lambda count: count * count, (False, False)),
        (0.0, lambda _count: 7, (True, True)),
    ],
)
def test_the_cost_of_each_further_model(
    per_model: float, requests: Callable[[int], int], met: tuple[bool, bool]
) -> None:
    report = Report("platform", "", {})
    platform.further(report, "s3", grown(per_model, requests))
    rows = {row.figure: row for row in report.rows}
    each = rows["each further model from the bucket"]
    assert each.median == pytest.approx(per_model) and each.met is met[0]
    assert rows["kinds of requests whose number grows faster than the models from the bucket"].met is met[1]
    assert "Apply 0.010 s" in report.notes[1]


def test_the_requests_to_the_bucket_are_those_of_the_results() -> None:
    upload = {"what": "ok", "task": "hashfoundry.kserve.model_storage : Upload the models", "result": {"requests": 24}}
    find = {
        "what": "ok",
        "task": "Find the models that are not uploaded from the controller",
        "result": {"results": [{"requests": 1}, {"requests": 2}, {"skipped": True}]},
    }
    start, other = {"what": "start", "task": "Upload the models"}, {**upload, "task": "Apply the InferenceServices"}
    assert platform.bucket_requests([json.dumps(row) for row in (start, upload, find, other)]) == 27
