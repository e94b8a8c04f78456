# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which labels an existing Prometheus asks for, and why it would not select the objects."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.filter.monitoring_labels import FilterModule

monitoring_labels = FilterModule().filters()["monitoring_labels"]
EVERYTHING = {
    f"{kind}{where}Selector": {} for kind in ("serviceMonitor", "podMonitor", "rule") for where in ("", "Namespace")
}


def prometheus(name: str = "k8s", **spec: Any) -> dict[str, Any]:
    whole = {key: value for key, value in {**EVERYTHING, **spec}.items() if value is not None}
    return {"metadata": {"name": name, "namespace": "monitoring"}, "spec": whole}


def spaces(**labels: dict[str, str]) -> list[dict[str, Any]]:
    return [{"metadata": {"name": name.replace("_", "-"), "labels": given}} for name, given in labels.items()]


MODELS = spaces(ml_models={"team": "ml"})
RELEASE = {"matchLabels": {"release": "stack"}}
WITHOUT_RELEASE = {"matchExpressions": [{"key": "release", "operator": "DoesNotExist"}]}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("spec", "wanted", "labels"),
    [
        ({}, {}, {}),
        ({}, {"team": "ml"}, {"team": "ml"}),
        # As kube-prometheus-stack sets it.
        (
            {"serviceMonitorSelector": RELEASE, "podMonitorSelector": RELEASE, "ruleSelector": RELEASE},
            {},
            {"release": "stack"},
        ),
        (
            {"serviceMonitorSelector": RELEASE, "ruleSelector": expression("role", "In", "alerts", "records")},
            {},
            {"release": "stack", "role": "alerts"},
        ),
        ({"ruleSelector": expression("role", "In", "alerts", "records")}, {"role": "records"}, {"role": "records"}),
        ({"ruleSelector": expression("observed", "Exists")}, {}, {"observed": "hashfoundry-kserve"}),
        ({"ruleSelector": expression("team", "NotIn", "web")}, {}, {}),
        # The selectors of all kinds count before a value is chosen.
        (
            {"serviceMonitorSelector": expression("team", "Exists"), "ruleSelector": expression("team", "In", "a")},
            {},
            {"team": "a"},
        ),
        (
            {
                "serviceMonitorSelector": expression("team", "In", "a", "b"),
                "ruleSelector": expression("team", "In", "b"),
            },
            {},
            {"team": "b"},
        ),
        ({"ruleNamespaceSelector": {"matchLabels": {"team": "ml"}}}, {}, {}),
    ],
)
def test_the_labels_satisfy_each_selector(spec: dict[str, Any], wanted: dict[str, str], labels: dict[str, str]) -> None:
    found = monitoring_labels([prometheus(**spec)], MODELS, wanted, "monitoring")
    assert found == {"prometheus": "monitoring/k8s", "labels": labels, "fault": "", "reason": ""}


@pytest.mark.parametrize(
    ("spec", "wanted", "says"),
    [
        ({"podMonitorSelector": None}, {}, "selects no PodMonitors, because its podMonitorSelector is not set"),
        (
            {"ruleNamespaceSelector": None},
            {},
            "selects PrometheusRules of its own namespace only, and not of ml-models",
        ),
        (
            {"serviceMonitorNamespaceSelector": {"matchLabels": {"observed": "yes"}}},
            {},
            "selects ServiceMonitors of namespaces with observed=yes: set these labels on the namespace ml-models",
        ),
        ({"ruleSelector": RELEASE}, {"release": "mine"}, "with release=stack, and their label release is mine"),
        (
            {"serviceMonitorSelector": RELEASE, "ruleSelector": WITHOUT_RELEASE},
            {},
            "with no label release, and their label release is stack",
        ),
        (
            {"serviceMonitorSelector": RELEASE, "ruleSelector": expression("release", "In", "a", "b")},
            {},
            "with release in (a, b), and their label release is stack",
        ),
    ],
)
def test_what_is_in_the_way_is_said_in_one_sentence(spec: dict[str, Any], wanted: dict[str, str], says: str) -> None:
    found = monitoring_labels([prometheus(**spec)], MODELS, wanted, "monitoring")
    assert found["reason"] == "MonitoringSelectorNotMet" and found["labels"] == {}
    assert found["fault"].startswith("Prometheus monitoring/k8s ") and says in found["fault"]
    assert found["fault"].count(".") == 1


@pytest.mark.parametrize("operator", ["DoesNotExist", "NotIn"])
def test_a_selector_that_excludes_the_label_of_another_is_not_met(operator: str) -> None:
    excluding = expression("team", operator, *(["a"] if operator == "NotIn" else []))
    spec = {"serviceMonitorSelector": excluding, "podMonitorSelector": expression("team", "In", "a")}
    found = monitoring_labels([prometheus(**spec)], MODELS, {}, "monitoring")
    assert found["reason"] == "MonitoringSelectorNotMet" and "selects ServiceMonitors with" in found["fault"]


def test_the_own_namespace_of_prometheus_needs_no_selector() -> None:
    found = monitoring_labels([prometheus(ruleNamespaceSelector=None)], spaces(monitoring={}), {}, "monitoring")
    assert found["fault"] == ""


def test_the_first_prometheus_that_selects_everything_is_taken() -> None:
    several = [prometheus("b", ruleSelector=RELEASE), prometheus("a", ruleSelector=None)]
    assert monitoring_labels(several, MODELS, {}, "monitoring")["prometheus"] == "monitoring/b"


def test_without_a_prometheus_the_sentence_names_the_namespace() -> None:
    found = monitoring_labels([], MODELS, {}, "observability")
    assert found["reason"] == "PrometheusNotFound" and "observability" in found["fault"]
