# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service level objectives: what is rejected, and what Prometheus' rules get."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.filter.slo_objectives import FilterModule
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._model_list import checked
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._slo import check

IRIS: dict[str, Any] = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
DEFAULT = {"availability": 99.9, "latency": {"p95": "500ms", "p99": "1s"}, "window": "30d"}
objectives = FilterModule().filters()["slo_objectives"]


@pytest.mark.parametrize(
    ("slo", "fault"),
    [
        ({"availability": 0.999}, "slo.availability is 0.999, and must be a percentage; write 99.9"),
        ({"availability": 0.5}, "slo.availability is 0.5, and must be a percentage; write 50"),
        ({"availability": 1.0}, "slo.availability is 1, and must be a percentage from 50 to below 100"),
        ({"availability": 9.99}, "slo.availability is 9.99, and must be a percentage from 50"),
        ({"availability": 100.0}, "slo.availability is 100, and must be a percentage from 50 to below 100"),
        ({"availability": float("nan")}, "slo.availability is nan, and must be a percentage from 50"),
        ({"latency": {"p95": "500"}}, "slo.latency.p95 is 500, and must be a duration with its unit, such as 500ms"),
        ({"latency": {"p95": "fast"}}, "slo.latency.p95 is fast, and must be a duration"),
        ({"latency": {"p99": "200ms"}}, "slo.latency.p99 is 200ms, and must be one of 1ms, 5ms"),
        ({"latency": {"p99": "0s"}}, "slo.latency.p99 is 0s, and must be one of 1ms"),
        ({"latency": {"p95": "1s", "p99": "500ms"}}, "slo.latency.p99 is 500ms, and must be at least p95, 1s"),
        ({"window": "31d"}, "slo.window is 31d, and must be one of 7d, 28d, 30d, 90d"),
    ],
)
def test_an_objective_that_cannot_be_met_or_measured_is_rejected(slo: dict[str, Any], fault: str) -> None:
    with pytest.raises(KServeError) as caught:
        check(slo)
    assert str(caught.value).startswith(fault)
    assert caught.value.reason == "InvalidSLO"
    _models, (found,) = checked([{**IRIS, "slo": slo}])
    # Of an unknown window Ansible's validator says so first.
    assert found.startswith("Model iris: ") and (found.endswith("(InvalidSLO).") or "must be one of" in found)


@pytest.mark.parametrize(
    "slo",
    [
        {"availability": [99.9]},
        {"availability": "99.9%"},
        {"latency": "500ms"},
        {"availabilty": 99.9},
        {"latency": {"p50": "1s"}},
        "99.9",
    ],
    ids=str,
)
def test_an_entry_of_another_form_is_rejected(slo: Any) -> None:
    _models, faults = checked([{**IRIS, "slo": slo}])
    assert faults and all(fault.startswith("Model iris: ") for fault in faults)


def test_numbers_of_an_entry_may_be_strings() -> None:
    (model,), faults = checked([{**IRIS, "slo": {"availability": "99.5", "window": None}}])
    assert (model["slo"], faults) == ({"availability": 99.5}, [])


def test_an_entry_is_merged_into_the_default() -> None:
    models = [{**IRIS, "slo": {"availability": 99.5, "latency": {"p95": "0.25s"}}}, {"name": "churn"}]
    found = objectives(models, DEFAULT, ["iris"])
    common = {"model": "iris", "window": "30d", "source": "gateway"}
    assert found[:3] == [
        {**common, "slo": "availability", "ratio": "0.995"},
        {**common, "slo": "latency_p95", "ratio": "0.95", "seconds": "0.25", "le": "250"},
        {**common, "slo": "latency_p99", "ratio": "0.99", "seconds": "1", "le": "1000"},
    ]
    # Seconds are the unit of the server.
    assert [(one["source"], one.get("le")) for one in found[3:]] == [
        ("server", None),
        ("server", "0.5"),
        ("server", "1"),
    ]


def test_no_float_of_ratio_is_rounded() -> None:
    assert objectives([{"name": "iris"}], {"availability": "99.9"})[0]["ratio"] == "0.999"


def test_no_default_is_no_objective() -> None:
    assert objectives([{"name": "iris"}], {}) == []


@pytest.mark.parametrize(
    ("slo", "default", "fault"),
    [
        ({"latency": {"p95": "2.5s"}}, DEFAULT, "slo.latency.p99 is 1s, and must be at least p95, 2.5s"),
        ({}, {"availability": "much"}, "slo.availability is much, and must be a percentage"),
    ],
)
def test_what_does_not_go_together_with_the_default_is_rejected(
    slo: dict[str, Any], default: dict[str, Any], fault: str
) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        objectives([{"name": "iris", "slo": slo}], default)
    assert fault in str(caught.value) and "(InvalidSLO)" in str(caught.value)
