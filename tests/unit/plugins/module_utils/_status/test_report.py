# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines and the sentence for people, of which no line may be wider than a screen."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._status.report import (
    PROBLEMS,
    ROWS,
    TEXT,
    WIDTH,
    lines,
    summary,
)

CLUSTER = {"uid": "u", "version": "v1.35.4"}
COMPONENTS = {
    "kserve": {"installed": True, "version": "v0.20.0", "problems": []},
    "gateway_api": {"installed": True, "version": None, "problems": []},
}
ANSWERS = {"place": "Prometheus at http://p:9090", "state": "answers", "clock_difference": None, "problems": []}


def slo(name: str, objective: float, seconds: float | None, now: float | None, budget: float | None) -> dict[str, Any]:
    values = {"threshold_seconds": seconds, "current": now, "error_budget_remaining": budget}
    return {"name": name, "objective": objective, **values}


SLO = [
    slo("availability", 0.999, None, 0.9999996, 0.8768),
    slo("latency_p95", 0.95, 0.5, 0.0123, 1.0),
    slo("latency_p99", 0.99, 1.0, None, None),
]


def model(name: str = "iris", **changes: Any) -> dict[str, Any]:
    return {
        "namespace": "ml-models",
        "name": name,
        "version": "v1",
        "digest": "sha256:0123456789abcdef",
        "replicas": {"ready": 1, "wanted": 1},
        "verdict": "serving",
        "scraped": True,
        "slo": SLO,
        "alerts": [],
        "problems": [],
        **changes,
    }


def status(*models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    problems = [text for entry in models for text in entry["problems"]]
    return {
        "well": not problems,
        "problems": problems,
        "namespaces": [{"name": "kserve", "pods": 2, "ready": 2, "problems": []}],
        "models": list(models),
        "alerts": [],
        "prometheus": ANSWERS,
        **changes,
    }


def shown(found: dict[str, Any]) -> list[str]:
    result = lines(found, CLUSTER, COMPONENTS)
    assert all(len(line) <= WIDTH for line in result), max(result, key=len)
    # A callback that prints YAML folds a line at the first single space that is too far to the right.
    assert [line for line in result if re.search(r"\S \S", line[TEXT:])] == []
    return result


def table(found: dict[str, Any]) -> list[str]:
    """Return the rows of the models."""
    result = shown(found)
    begin = next(number for number, line in enumerate(result) if line.startswith("MODEL"))
    return result[begin + 1 : result.index("", begin)]


def test_everything_is_well() -> None:
    assert shown(status(model())) == [
        "Everything is well: 1 model serves, 2 pods of the platform run, 2",
        "  components are healthy and no alert fires.",
        "",
        "MODEL  VERSION  DIGEST    READY  VERDICT  AVAILABILITY   P95         P99   BUDGET  ALERTS",
        "iris   v1       01234567  1/1    serving  99.999%/99.9%  12ms/500ms  -/1s  87%     -",
        "",
        "Versions: Kubernetes v1.35.4, kserve v0.20.0, gateway api ?",
        "Pods: kserve 2/2",
        "Monitoring: Prometheus at http://p:9090 answers",
    ]


def test_without_monitoring_there_is_nothing_of_it() -> None:
    result = "\n".join(shown(status(model(slo=[], scraped=None), prometheus=None)))
    assert "BUDGET" not in result and "Monitoring" not in result and "alert" not in result


def test_what_is_unknown_is_marked() -> None:
    away = {**ANSWERS, "state": "unreachable", "problems": ["It does not answer."]}
    problems = ["It does not answer."]
    found = status(
        model(slo=None, alerts=None, scraped=None), prometheus=away, alerts=None, well=False, problems=problems
    )
    result = shown(found)
    assert result[0] == "Not well: It does not answer."
    assert result[3].split() == ["iris", "v1", "01234567", "1/1", "serving", "?", "?", "?", "?", "?"]
    assert result[-1] == "Monitoring: Prometheus at http://p:9090 does not answer"


@pytest.mark.parametrize(
    ("changes", "availability", "budget"),
    [
        ({"current": 1.0, "error_budget_remaining": 1.0}, "100%/99.9%", "100%"),
        ({"current": 0.99899, "error_budget_remaining": -0.2}, "99.899%/99.9%", "-20%"),
        ({"current": 0.5, "error_budget_remaining": 0.005}, "50%/99.9%", "0%"),
        ({"current": None, "error_budget_remaining": None}, "-/99.9%", "?"),
        ({"objective": None}, "99.999%/?", "87%"),
    ],
)
def test_numbers(changes: dict[str, Any], availability: str, budget: str) -> None:
    row = table(status(model(slo=[{**SLO[0], **changes}])))[0].split()
    assert (row[5], row[8]) == (availability, budget)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00082, "0.82ms"), (0.0096, "9.6ms"), (0.9994, "999ms"), (1.25, "1.2s"), (10.0, "10s")]
)
def test_times(seconds: float, text: str) -> None:
    row = table(status(model(slo=[{**SLO[1], "current": seconds}])))[0].split()
    assert row[6] == f"{text}/500ms"


def test_long_names_are_cut_in_the_middle() -> None:
    names = [f"customer-churn-of-the-north-western-region-{n:05}" for n in range(2)]
    wide = {"version": "2026-11-29-release-candidate-1", "verdict": "progressing"}
    rows = table(status(*(model(name, **wide) for name in names)))
    assert [row.split()[0] for row in rows] != [rows[0].split()[0]] * 2
    assert all("…" in row.split()[0] and row.endswith("-") for row in rows)


def test_models_of_several_namespaces() -> None:
    rows = table(status(model(), model(namespace="research")))
    assert [row.split()[0] for row in rows] == ["ml-models/iris", "research/iris"]


def test_of_many_models_those_that_are_not_well_are_shown_first() -> None:
    sick = [f"Model m{n}: It does not run." for n in range(90, 90 + PROBLEMS + 3)]
    models = [model(f"m{n}", problems=[text for text in sick if text.startswith(f"Model m{n}:")]) for n in range(110)]
    result = shown(status(*models))
    rows = [line for line in result if line.startswith("m")]
    assert len(rows) == ROWS and rows[0].startswith("m90 ")
    assert f"{110 - ROWS} more models are in the result." in result
    assert result[-1] == "* 3 more problems are in the result."
    assert len(result) < 60


def test_the_sentence_counts_what_is_not_well() -> None:
    down = model("rose", verdict="failed", problems=["Model rose: It crashes."], alerts=[{}])
    spent = model(slo=[{**SLO[0], "error_budget_remaining": -1}], scraped=False, problems=["Model iris: It burns."])
    odd = {**ANSWERS, "state": "partial", "clock_difference": 60.0, "problems": ["It is late."]}
    spaces = [{"name": "kserve", "pods": 2, "ready": 1, "problems": ["Pod a."]}]
    found = status(down, spent, prometheus=odd, alerts=[{}, {}], namespaces=spaces)
    broken = {**COMPONENTS, "kserve": {**COMPONENTS["kserve"], "problems": ["no endpoint"]}}
    assert summary(found, broken) == (
        "Not well: 1 of 2 models does not serve, 1 component is not healthy, 1 pod or workload of the platform does "
        "not run, 2 alerts fire, the error budget of 1 model is spent, Prometheus has no fresh series of 1 model, "
        "Prometheus answers in part only and its clock is wrong."
    )
    assert summary(status(model(problems=["Model iris: It burns."])), COMPONENTS) == "Not well: Model iris: It burns."
