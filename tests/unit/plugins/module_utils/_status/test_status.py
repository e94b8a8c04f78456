# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of models of a fixed cluster, with a Prometheus over real HTTP."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus import options
from ansible_collections.hashfoundry.kserve.plugins.module_utils._status.status import Asked, status

from ..prometheus_fake import Prometheus
from ..services_fixtures import CRASHING, Api, named, things

NAMESPACE = "models"
DEFAULTS = {name: rule.get("default") for name, rule in options.ARGUMENT["options"].items()}
IRIS, ROSE = {"namespace": NAMESPACE, "model": "iris"}, {"namespace": NAMESPACE, "model": "rose"}
PART_OF = {"alertstate": "firing", "part_of": "hashfoundry-kserve"}


def of_slo(labels: dict[str, str], *values: str) -> list[tuple[dict[str, str], str]]:
    names = ("availability", "latency_p95", "latency_p99")
    return [({**labels, "slo": name}, value) for name, value in zip(names, values, strict=True)]


def alert(name: str, severity: str = "critical", **labels: str) -> tuple[dict[str, str], str]:
    return {"alertname": name, "severity": severity, **PART_OF, **labels}, "1"


def series() -> dict[str, list[tuple[dict[str, str], str]]]:
    """Return the series of two models that are well."""
    found: dict[str, list[tuple[dict[str, str], str]]] = {
        "up": [({**IRIS, "pod": "a"}, "1"), (ROSE, "1"), ({"job": "node"}, "0")],
        "slo:objective:ratio": [*of_slo(IRIS, "0.999", "0.95", "0.99"), *of_slo(ROSE, "0.99", "0.95", "0.99")],
        "slo:latency_threshold:seconds": of_slo(IRIS, "0", "0.5", "1")[1:],
        "slo:error_budget_remaining:ratio": [*of_slo(IRIS, "0.75", "1", "1"), *of_slo(ROSE, "1", "1", "1")],
        "sli:inference_error_rate:5m": [(IRIS, "0.25"), (ROSE, "NaN")],
        "sli:inference_latency_p95:5m": [(IRIS, "0.0125")],
        "sli:inference_latency_p99:5m": [(IRIS, "+Inf")],
        "ALERTS": [],
    }
    return found


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with Prometheus(series()) as made:
        yield made


def cluster(changes: dict[str, Any] | None = None) -> Api:
    """Return a cluster with the models iris and rose; changes: of iris."""
    iris = things(changes=changes)
    for thing in iris:
        if thing["kind"] == "InferenceService":
            thing["metadata"]["labels"] = {"kserve.hashfoundry.io/version": "v7"}
            thing["metadata"]["annotations"] = {
                **(thing["metadata"].get("annotations") or {}),
                "kserve.hashfoundry.io/digest": "sha256:0123456789",
            }
    return Api(*iris, *named("rose", things()))


def read(
    prometheus: Prometheus | None,
    api: Api | None = None,
    expected: Sequence[str] = (),
    alert_namespaces: Sequence[str] = (),
    **given: Any,
) -> Any:
    chosen = {**DEFAULTS, "timeout": 20.0, "proxy": "", "url": prometheus.url if prometheus else None, **given}
    source = options.source(chosen, options.server(chosen), None) if prometheus else None  # type: ignore[arg-type]
    models = [(NAMESPACE, name) for name in expected]
    asked = Asked([NAMESPACE], models, "", source, chosen["labels"], alert_namespaces)
    return status(api or cluster(), asked, {}, [{"name": "kserve", "pods": 1, "ready": 1, "problems": []}])


def test_models_that_are_well(prometheus: Prometheus) -> None:
    found = read(prometheus)
    assert (found["well"], found["problems"], found["alerts"]) == (True, [], [])
    assert found["prometheus"]["state"] == "answers"
    iris, rose = found["models"]
    assert iris["slo"] == [
        {"name": "availability", "objective": 0.999, "threshold_seconds": None, "current": 0.75,
         "error_budget_remaining": 0.75},
        {"name": "latency_p95", "objective": 0.95, "threshold_seconds": 0.5, "current": 0.0125,
         "error_budget_remaining": 1.0},
        {"name": "latency_p99", "objective": 0.99, "threshold_seconds": 1.0, "current": None,
         "error_budget_remaining": 1.0},
    ]  # fmt: skip
    assert (iris["version"], iris["digest"], iris["replicas"]) == ("v7", "sha256:0123456789", {"ready": 2, "wanted": 2})
    assert (iris["verdict"], iris["scraped"], iris["alerts"]) == ("serving", True, [])
    # There is no number without traffic.
    assert (rose["version"], rose["digest"], rose["slo"][0]["current"]) == (None, None, None)


def test_the_number_of_queries_does_not_grow_with_the_models(prometheus: Prometheus) -> None:
    read(prometheus, Api(*things()))
    few = len(prometheus.asked)
    prometheus.asked.clear()
    read(prometheus, Api(*(thing for n in range(20) for thing in named(f"m{n}", things()))))
    assert len(prometheus.asked) == few == 7


def test_a_cluster_without_monitoring_is_not_asked_for_any() -> None:
    found = read(None)
    assert found["well"] and found["prometheus"] is None
    assert [(entry["slo"], entry["alerts"], entry["scraped"]) for entry in found["models"]] == [([], [], None)] * 2


def test_a_model_that_does_not_serve(prometheus: Prometheus) -> None:
    found = read(prometheus, cluster(CRASHING))
    assert not found["well"] and found["models"][0]["verdict"] == "degraded"
    (problem,) = found["problems"]
    assert problem.startswith("Model models/iris: ") and "PLANTED" not in str(found)


def test_a_model_of_the_list_that_is_missing(prometheus: Prometheus) -> None:
    found = read(prometheus, expected=["iris", "lily", "lily"])
    lily = found["models"][2]
    assert (lily["name"], lily["verdict"], lily["reason"]) == ("lily", "failed", "NotFound")
    assert lily["replicas"] == {"ready": 0, "wanted": None}
    (problem,) = found["problems"]
    assert (
        problem
        == "Model models/lily: The InferenceService does not exist; deploy it, or remove it from the list of models."
    )


def test_a_cluster_without_kserve_has_no_models(prometheus: Prometheus) -> None:
    api = Api()
    api.missing = ("inferenceservices",)
    assert read(prometheus, api)["models"] == []
    assert read(prometheus, api, expected=["iris"])["models"][0]["reason"] == "NotFound"


def test_alerts_are_of_their_model_or_of_the_platform(prometheus: Prometheus) -> None:
    prometheus.series["ALERTS"] = [
        alert("ModelErrorBudgetBurn", **IRIS, slo="availability", long="1h", short="5m"),
        alert("ModelErrorBudgetBurn", **IRIS, slo="availability", long="6h", short="30m"),
        alert("ModelErrorBudgetSpent", "warning", **IRIS, slo="latency_p95"),
        alert("JobFailed", "warning", namespace=NAMESPACE),
        alert("WebhookWithoutEndpoints", namespace="kserve"),
        alert("CertificateExpiringSoon", "warning"),
        # Not ours to report: another inventory's namespace, another severity, another platform's, and not firing.
        alert("ModelNotReady", namespace="elsewhere", model="iris"),
        alert("Watchdog", "none"),
        ({"alertname": "Theirs", "severity": "critical", "alertstate": "firing", "namespace": NAMESPACE}, "1"),
        ({"alertname": "Later", "severity": "critical", **PART_OF, "alertstate": "pending", **IRIS}, "1"),
    ]
    found = read(prometheus)
    assert [entry["name"] for entry in found["models"][0]["alerts"]] == [
        "ModelErrorBudgetBurn",
        "ModelErrorBudgetSpent",
    ]
    assert found["models"][1]["alerts"] == [] and len(found["alerts"]) == 5
    assert found["problems"] == [
        "Model models/iris: 2 alerts fire: ModelErrorBudgetBurn (critical, availability), ModelErrorBudgetSpent "
        "(warning, latency p95); follow the runbook that the alert names.",
        "Namespace kserve: an alert fires: WebhookWithoutEndpoints (critical); follow the runbook that the alert "
        "names.",
        "The platform: an alert fires: CertificateExpiringSoon (warning); follow the runbook that the alert names.",
        "Namespace models: an alert fires: JobFailed (warning); follow the runbook that the alert names.",
    ]


def test_alerts_of_further_namespaces(prometheus: Prometheus) -> None:
    prometheus.series["ALERTS"] = [
        alert("WebhookWithoutEndpoints", namespace="cert-manager"),
        alert("JobFailed", "warning", namespace="elsewhere"),
    ]
    found = read(prometheus, alert_namespaces=["cert-manager"])
    assert [entry["name"] for entry in found["alerts"]] == ["WebhookWithoutEndpoints"]
    assert [entry["name"] for entry in found["namespaces"]] == ["kserve"]


def test_an_error_budget_that_is_spent(prometheus: Prometheus) -> None:
    prometheus.series["slo:error_budget_remaining:ratio"] = of_slo(IRIS, "-0.5", "1", "-0.01")
    (problem,) = read(prometheus)["problems"]
    assert problem.startswith("Model models/iris: The error budget for availability, latency p99 is spent;")
    prometheus.series["ALERTS"] = [alert("ModelErrorBudgetSpent", "warning", **IRIS, slo="availability")]
    fires, left = read(prometheus)["problems"]
    assert "An alert fires: ModelErrorBudgetSpent" in fires and "The error budget for latency p99 is spent" in left


@pytest.mark.parametrize(
    ("up", "says"),
    [
        ([(ROSE, "1")], "Prometheus has no series of it; create its ServiceMonitor or PodMonitor"),
        ([(ROSE, "1"), ({**IRIS, "pod": "a"}, "0")], "Prometheus cannot scrape it; check the NetworkPolicies"),
    ],
)
def test_a_model_without_series(prometheus: Prometheus, up: Any, says: str) -> None:
    prometheus.series["up"] = up
    found = read(prometheus)
    assert [entry["scraped"] for entry in found["models"]] == [False, True]
    (problem,) = found["problems"]
    assert problem.startswith(f"Model models/iris: {says}")


def test_a_model_that_is_down_is_not_blamed_for_its_series(prometheus: Prometheus) -> None:
    prometheus.series["up"] = [(ROSE, "1"), (IRIS, "0")]
    (problem,) = read(prometheus, cluster(CRASHING))["problems"]
    assert "Prometheus" not in problem


def test_the_prometheus_of_another_cluster_is_one_problem() -> None:
    with Prometheus() as empty:
        found = read(empty)
    assert [entry["scraped"] for entry in found["models"]] == [False, False]
    (problem,) = found["problems"]
    assert "has no series of any of the 2 models; check that it is the Prometheus of this cluster" in problem
    assert found["prometheus"]["state"] == "answers"


def test_models_that_are_missing_have_no_series_to_miss() -> None:
    api = Api()
    api.missing = ("inferenceservices",)
    with Prometheus() as empty:
        found = read(empty, api, expected=["iris", "rose"])
    assert len(found["problems"]) == 2 and all("does not exist" in problem for problem in found["problems"])


def test_series_of_several_clusters_in_one_prometheus(prometheus: Prometheus) -> None:
    for entries in prometheus.series.values():
        entries[:] = [({**labels, "cluster": "us"}, value) for labels, value in entries]
    prometheus.series["ALERTS"] = [alert("ModelNotReady", **IRIS, cluster="us"), alert("JobFailed", cluster='e"u')]
    assert [entry["name"] for entry in read(prometheus, labels={"cluster": "us"})["alerts"]] == ["ModelNotReady"]
    found = read(prometheus, labels={"cluster": 'e"u'})
    assert [entry["name"] for entry in found["alerts"]] == ["JobFailed"] and found["models"][0]["slo"] == []


def test_a_model_that_is_scaled_to_zero_has_nothing_to_scrape(prometheus: Prometheus) -> None:
    prometheus.series["up"] = [(ROSE, "1")]
    asleep = copy.deepcopy(things("standard_serving"))
    for thing in asleep:
        if thing["kind"] == "Deployment":
            thing["spec"]["replicas"] = 0
            thing["status"] = {"observedGeneration": thing["metadata"]["generation"]}
        elif thing["kind"] == "InferenceService":
            thing["spec"]["predictor"]["minReplicas"] = 0
            annotations = thing["metadata"].setdefault("annotations", {})
            annotations["serving.kserve.io/autoscalerClass"] = "external"
    asleep = [thing for thing in asleep if thing["kind"] not in ("Pod", "ReplicaSet")]
    found = read(prometheus, Api(*asleep, *named("rose", things())))
    iris = found["models"][0]
    assert (iris["verdict"], iris["replicas"]) == ("serving", {"ready": 0, "wanted": 0}), iris["message"]
    assert iris["scraped"] is None and found["problems"] == []


@pytest.mark.parametrize("kind", ["starting", "html", "slow", "reset", "cut", "bad_data"])
def test_without_an_answer_everything_of_the_cluster_is_there(prometheus: Prometheus, kind: str) -> None:
    with_it = read(prometheus)
    prometheus.weather[""] = kind
    found = read(prometheus, timeout=1.0 if kind == "slow" else 20.0)
    unknown = {"slo": None, "alerts": None, "scraped": None, "target": None}
    assert found["models"] == [{**entry, **unknown} for entry in with_it["models"]]
    assert found["alerts"] is None and found["prometheus"]["state"] == "unreachable"
    assert found["prometheus"]["reason"].startswith("Prometheus") and not found["well"]
    (problem,) = found["problems"]
    assert "Unknown for that reason: objective, threshold, error budget, current, scraped, alerts." in problem


def test_an_answer_in_part_leaves_the_rest(prometheus: Prometheus) -> None:
    prometheus.weather["ALERTS"] = "execution"
    found = read(prometheus)
    assert found["prometheus"]["state"] == "partial" and found["prometheus"]["missing"] == ["alerts"]
    assert found["alerts"] is None and found["models"][0]["slo"][0]["objective"] == 0.999
    assert found["problems"][0].endswith("Unknown for that reason: alerts.")


def test_what_is_missing_in_a_part_of_an_answer_is_unknown(prometheus: Prometheus) -> None:
    prometheus.warnings = ["store 10.0.0.1 does not respond."]
    prometheus.series["up"] = [(ROSE, "1")]
    found = read(prometheus)
    assert [entry["scraped"] for entry in found["models"]] == [None, True]
    assert found["prometheus"]["reason"] == "PrometheusPartial"
    (problem,) = found["problems"]
    assert "answered in part only: store 10.0.0.1 does not respond; see its log." in problem


def test_clocks_that_are_apart_are_reported(prometheus: Prometheus) -> None:
    prometheus.ahead = -320
    (problem,) = read(prometheus)["problems"]
    assert "is 320 seconds behind that of this controller" in problem


def test_a_component_that_is_not_healthy_or_missing() -> None:
    parts = {
        "kserve": {"installed": True, "problems": ["Deployment kserve/x is not ready: it makes no progress."]},
        "net_kourier": {"installed": False, "problems": []},
    }
    found = status(cluster(), Asked([]), parts, [])
    assert found["problems"] == [
        "The component kserve is not healthy: Deployment kserve/x is not ready: it makes no progress.",
        "The component net kourier is not installed; run the playbook addons.",
    ]


def test_a_cluster_that_cannot_be_read_is_an_error(prometheus: Prometheus) -> None:
    api = cluster()

    def refuse(path: str, **_query: Any) -> Any:
        raise ApiError("The credentials lack a permission.", 403)

    api.get = refuse  # type: ignore[method-assign]
    with pytest.raises(ApiError):
        read(prometheus, api)
