# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role model_monitoring applies and deletes, on the in-memory API server."""

from __future__ import annotations

import copy

import pytest

from .conftest import Run
from .http_cluster import MODEL, Cluster

GROUP = "/apis/monitoring.coreos.com/v1"
ROLE = ["model_monitoring"]
ON = {"platform_monitoring": "managed"}


@pytest.fixture(autouse=True)
def namespaces(api: Cluster) -> None:
    """The namespaces that addons.yml has created."""
    api.namespaces |= {"kserve", "projectcontour", "monitoring"}


def names(api: Cluster, kind: str, namespace: str = "models") -> set[str]:
    """The names of the objects in a namespace."""
    start = f"{GROUP}/namespaces/{namespace}/{kind}/"
    return {path.removeprefix(start) for path in api.objects if path.startswith(start)}


def test_what_is_no_longer_listed_is_deleted_and_the_rest_is_unchanged(run: Run, api: Cluster) -> None:
    models = [{**MODEL, "name": name, "version": "v1"} for name in ("iris", "churn")]
    code, output = run(ROLE, "v1", models=models, **ON)
    assert code == 0, output
    assert names(api, "servicemonitors") == {"iris", "churn"}
    assert "iris: 99.9 % of the requests answered in 30d, measured at the gateway." in output
    code, output = run(ROLE, "v1", models=models, **ON)
    assert code == 0 and "changed=0" in output, output
    code, output = run(ROLE, "v1", models=models[:1], **ON)
    assert code == 0, output
    assert names(api, "servicemonitors") == {"iris"}
    rules = {"models-slo-alerts", "models-model-rules", "models-model-alerts"}
    assert names(api, "prometheusrules") == rules


def test_all_is_deleted_but_what_others_have_applied(run: Run, api: Cluster) -> None:
    code, output = run(ROLE, "v1", **ON)
    assert code == 0, output
    path = f"{GROUP}/namespaces/models/prometheusrules"
    foreign = copy.deepcopy(api.objects[f"{path}/models-model-rules"])
    foreign["metadata"] |= {"name": "foreign", "uid": "another"}
    for entry in foreign["metadata"]["managedFields"]:
        entry["manager"] = "kubectl"
    api.objects[f"{path}/foreign"] = foreign
    code, output = run(ROLE, "v1", model_monitoring_state="absent")
    assert code == 0, output
    assert {path for path in api.objects if path.startswith(GROUP)} == {f"{path}/foreign"}


def test_a_cluster_without_the_operator_has_nothing_to_delete(run: Run, api: Cluster) -> None:
    del api.kinds[GROUP]
    code, output = run(ROLE, "v1", model_monitoring_state="absent")
    assert code == 0 and "changed=0" in output, output


def test_a_cluster_without_the_operator_cannot_be_monitored(run: Run, api: Cluster) -> None:
    del api.kinds[GROUP]
    code, output = run(ROLE, "v1", **ON)
    assert code == 2
    assert "monitoring.coreos.com/v1" in output and not names(api, "servicemonitors")


@pytest.mark.parametrize(
    ("slo", "fault"),
    [
        ({"availability": 0.999}, "Model iris: slo.availability is 0.999, and must be a percentage; write 99.9"),
        ({"latency": {"p95": "5s"}}, "Model iris: with the default objectives, slo.latency.p99 is 1s, and must be at"),
    ],
)
def test_an_objective_that_cannot_be_fails_before_anything_is_applied(
    slo: dict[str, object], fault: str, run: Run, api: Cluster
) -> None:
    code, output = run(ROLE, "v1", models=[{**MODEL, "version": "v1", "slo": slo}], **ON)
    assert code == 2
    assert fault in output and "InvalidSLO" in output
    assert not [path for path in api.objects if path.startswith(GROUP)]
