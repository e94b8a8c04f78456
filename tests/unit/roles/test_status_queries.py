# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries of the status, evaluated by promtool on the rules of the role model_monitoring."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._status.series import queries

from .rule_files import Promtool, Series, rendered
from .test_model_monitoring_rules import CHURN, HOUR, IRIS, LOAD, healthy, traffic

NAMESPACE = "ml-models"


def labels(**given: str) -> str:
    """Labels as promtool writes them."""
    named = sorted({"namespace": NAMESPACE, **given}.items())
    return "{" + ", ".join(f'{name}="{value}"' for name, value in named) + "}"


def of_slos(model: str, *values: float) -> dict[str, float]:
    names = ("availability", "latency_p95", "latency_p99")
    return {labels(model=model, slo=slo): value for slo, value in zip(names, values, strict=True)}


def test_each_query_finds_what_the_rules_record(tmp_path: Path) -> None:
    promtool = Promtool(tmp_path / "rules")
    (tmp_path / "rendered").mkdir()
    promtool.write(rendered(tmp_path / "rendered", models=[IRIS, CHURN]))
    asked = queries([NAMESPACE], {})
    minutes = HOUR + 10
    series = [*healthy(minutes), *traffic((LOAD, 0, 0, HOUR), (LOAD, LOAD, 0, 10))]
    alerts = [("Burn", "critical"), ("Burn", "warning"), ("Spent", "warning")]
    iris = {"model": "iris", "slo": "availability"}
    latency = 0.95 * 0.25, 0.99 * 0.25  # all answers are in the bucket of 250 ms
    expected = {
        "objective": {**of_slos("iris", 0.999, 0.95, 0.99), **of_slos("churn", 0.99, 0.95, 0.99)},
        "threshold": {
            labels(model=model, slo=slo): seconds
            for model in ("iris", "churn")
            for slo, seconds in (("latency_p95", 0.5), ("latency_p99", 1.0))
        },
        # Of the model that nobody asked there is no number.
        "current": of_slos("iris", 1, *latency),
        "scraped": {labels(model=model): 1 for model in ("iris", "churn")},
        "alerts": {
            labels(alertname=f"ModelErrorBudget{name}", severity=severity, **iris): 1 for name, severity in alerts
        },
    }
    assert expected.keys() | {"error_budget"} == asked.keys()
    found = [(f"{minutes - 1}m", asked[name], samples) for name, samples in expected.items()]
    # What is left of it is tested with the rules; here, that it is found for each SLO.
    found.append((f"{minutes - 1}m", f"count({asked['error_budget']})", {"{}": 6}))
    promtool.assert_samples(series, found)


def test_the_series_of_one_of_several_clusters_are_found(tmp_path: Path) -> None:
    promtool = Promtool(tmp_path / "rules")
    promtool.write([])
    odd = 'e"u\\'
    here, there = (f'namespace="a.b",model="iris",cluster="{cluster}"' for cluster in ('e\\"u\\\\', "us"))
    series = [
        Series(f"up{{{here}}}", [1] * 5),
        Series(f"up{{{there}}}", [0] * 5),
        Series(f"sli:inference_error_rate:5m{{{here}}}", [0.25] * 5),
        Series(f"sli:inference_error_rate:5m{{{there}}}", [0.5] * 5),
        # A dot of a name is no wildcard.
        Series(f"up{{{here.replace('a.b', 'a-b')}}}", [1] * 5),
    ]
    asked = queries(["a.b", "c"], {"cluster": odd})
    promtool.assert_samples(
        series,
        [
            ("4m", asked["scraped"], {'{model="iris", namespace="a.b"}': 1}),
            ("4m", asked["current"], {'{model="iris", namespace="a.b", slo="availability"}': 0.25}),
            ("4m", asked["alerts"], {}),
        ],
    )
