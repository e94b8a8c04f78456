# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the role model_monitoring, run by promtool on series as gateways and servers expose them.

Each test asserts all alerts that fire, so that none fires beside the one that is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .rule_files import Promtool, Series, counter, rendered, steady

IRIS = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
# Its own objectives, and measured at its server.
CHURN = {**IRIS, "name": "churn", "exposure": "none", "slo": {"availability": 99, "window": "7d"}}
HERE = 'namespace="ml-models"'
FIRING = 'count by (alertname, severity, model, slo, long, job, namespace) (ALERTS{alertstate="firing"})'
# Tickets are left out where there is no history of days: windows are of the data that there is.
PAGES = FIRING.replace("{", '{severity="critical",')
# Requests in a minute, which is a step.
LOAD = 600.0
HOUR = 60
DAY = 24 * HOUR

ENVOY = {
    "contour": "ml-models_{model}-predictor_80",
    "kourier": "ml-models/{model}-predictor-00001",
}
TARGETS = {
    "contour": ["kserve|kserve-controller-manager-metrics-service", "projectcontour|contour", "projectcontour|envoy"],
    "kourier": ["kserve|kserve-controller-manager-metrics-service", "kourier-system|envoy",
                "knative-serving|knative-serving"],
    "istio": ["kserve|kserve-controller-manager-metrics-service", "istio-system|istiod", "istio-system|envoy",
              "knative-serving|knative-serving"],
}  # fmt: skip


@pytest.fixture(scope="module")
def rules_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Promtool]:
    """The rules for a gateway, rendered once."""
    made: dict[str, Promtool] = {}

    def find(gateway: str) -> Promtool:
        if gateway not in made:
            folder = tmp_path_factory.mktemp(gateway)
            mode = {} if gateway == "contour" else {"platform_deployment_mode": "Knative"}
            mode |= {"platform_networking": gateway} if mode else {}
            objects = rendered(folder, models=[{**IRIS, "scaling": {"max_replicas": 3}}, CHURN], **mode)
            made[gateway] = Promtool(folder / "rules")
            made[gateway].write(objects)
        return made[gateway]

    return find


@pytest.fixture(scope="module")
def contour(rules_of: Callable[[str], Promtool]) -> Promtool:
    return rules_of("contour")


def healthy(steps: int, gateway: str = "contour", without: str = "nothing") -> list[Series]:
    """A platform in which all is well and nobody asks.

    :param without: a word in the names of the series that are missing.
    """
    found = [
        *(
            steady(series, 1, steps)
            for model in ("iris", "churn")
            for series in (
                f'kserve_inferenceservice_info{{{HERE},model="{model}",version="v1",digest="sha256:1"}}',
                f'kserve_inferenceservice_condition{{{HERE},model="{model}",type="Ready"}}',
                f'kserve_inferenceservice_transition{{{HERE},model="{model}",status="UpToDate"}}',
                f'up{{{HERE},pod="{model}-predictor-5f6b-x2x",model="{model}",job="{model}-predictor"}}',
                f'model_server_model_info{{{HERE},pod="{model}-predictor-5f6b-x2x",model="{model}",digest="sha256:1"}}',
                f'kube_pod_container_status_ready{{{HERE},pod="{model}-predictor-5f6b-x2x",container="kserve-container"}}',
                f'kube_pod_container_status_running{{{HERE},pod="{model}-predictor-5f6b-x2x",container="kserve-container"}}',
            )
        ),
        steady('kube_pod_container_status_ready{namespace="kserve",pod="kserve-1-1",container="manager"}', 1, steps),
        steady('kube_endpointslice_endpoints{namespace="a",endpointslice="a-x2x4z",ready="true"}', 1, steps),
        *(
            steady(f'up{{namespace="{space}",job="{job if space == "kserve" else f"{space}/{job}"}"}}', 1, steps)
            for space, _bar, job in (one.partition("|") for one in TARGETS[gateway])
        ),
    ]
    return [one for one in found if without not in one.name]


def traffic(*phases: tuple[float, float, float, int], model: str = "iris", gateway: str = "contour") -> list[Series]:
    """What the gateway counts. Each phase: answers, of them errors, of them slower than a second, and steps."""
    if gateway == "istio":
        at = (
            f'reporter="source",source_workload="istio-ingressgateway",destination_service_namespace="ml-models",'
            f'destination_service_name="{model}-predictor-00001-private"'
        )
        requests, code, milliseconds = "istio_requests_total", "response_code", "istio_request_duration_milliseconds"
    else:
        at = f'envoy_cluster_name="{ENVOY[gateway].format(model=model)}"'
        at += ',namespace="projectcontour",instance="10.0.0.1:8002"'
        requests, code, milliseconds = (
            "envoy_cluster_upstream_rq",
            "envoy_response_code",
            "envoy_cluster_upstream_rq_time",
        )
    failed = counter(f'{requests}{{{at},{code}="503"}}', *((errors, n) for _all, errors, _slow, n in phases))
    return [
        counter(f'{requests}{{{at},{code}="200"}}', *((all_ - errors, n) for all_, errors, _slow, n in phases)),
        # Envoy creates it with the first error.
        Series(failed.name, [value or None for value in failed.values]),
        *(
            counter(f'{milliseconds}_bucket{{{at},le="{bound}"}}', *((all_ - slow, n) for all_, _e, slow, n in phases))
            # As Prometheus 2 and Prometheus 3 write bounds.
            for bound in ("250", "500.0", "1000")
        ),
        counter(f'{milliseconds}_bucket{{{at},le="+Inf"}}', *((all_, n) for all_, _e, _slow, n in phases)),
    ]


def alerts(**labels: str) -> str:
    """The labels of an alert, as promtool writes them."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def burn(long: str, slo: str = "availability", severity: str = "critical", model: str = "iris") -> str:
    return alerts(
        alertname="ModelErrorBudgetBurn", severity=severity, long=long, slo=slo, model=model, namespace="ml-models"
    )


@pytest.mark.parametrize("gateway", ["contour", "kourier", "istio"])
def test_an_outage_pages_within_four_minutes(gateway: str, rules_of: Callable[[str], Promtool]) -> None:
    series = traffic((LOAD, 0, 0, HOUR), (LOAD, LOAD, 0, 10), gateway=gateway)
    within = PAGES.replace("{", '{long="1h",')
    rules_of(gateway).assert_samples(
        healthy(2 * HOUR, gateway) + series, [("1h", within, {}), ("1h4m", within, {burn("1h"): 1})]
    )


def test_a_slow_breach_pages_within_its_window(contour: Promtool) -> None:
    # A rate of 20: 14.4 of it are spent after 43 minutes.
    series = traffic((LOAD, 0, 0, 7 * HOUR), (LOAD, LOAD * 0.02, 0, 3 * HOUR))
    contour.assert_samples(
        healthy(11 * HOUR) + series,
        [("7h", PAGES, {}), ("7h30m", PAGES, {}), ("7h50m", PAGES, {burn("1h"): 1}),
         ("9h30m", PAGES, {burn("1h"): 1, burn("6h"): 1})],
    )  # fmt: skip


def test_an_alert_ends_soon_after_the_breach(contour: Promtool) -> None:
    series = traffic((LOAD, 0, 0, 7 * HOUR), (LOAD, LOAD, 0, 4), (LOAD, 0, 0, HOUR))
    contour.assert_samples(
        healthy(9 * HOUR) + series, [("7h4m", PAGES, {burn("1h"): 1, burn("6h"): 1}), ("7h10m", PAGES, {burn("6h"): 1}),
                                     ("7h40m", PAGES, {})]
    )  # fmt: skip


def test_a_blip_does_not_page(contour: Promtool) -> None:
    # Half of the answers of a minute. It is not the first error of this Envoy, which Prometheus would not see.
    series = traffic((LOAD, 1, 0, 1), (LOAD, 0, 0, 7 * HOUR - 1), (LOAD, LOAD / 2, 0, 1), (LOAD, 0, 0, HOUR))
    at = [f"7h{minutes}m" for minutes in range(60)]
    contour.assert_samples(healthy(9 * HOUR) + series, [(time, PAGES, {}) for time in at])


@pytest.mark.parametrize(("every", "expression"), [("1m", PAGES), ("5m", FIRING)])
def test_an_error_of_a_model_with_few_requests_alerts_nobody(every: str, expression: str, contour: Promtool) -> None:
    # A request in ten minutes, one of which fails.
    quiet = [(1.0, 0.0, 0.0, 1), (0.0, 0.0, 0.0, 9)]
    series = traffic((1, 1, 0, 1), *(quiet * 6), (1, 1, 0, 1), (0, 0, 0, 9), *(quiet * 6))
    at = [f"{minutes}m" for minutes in range(60, 120, 5)]
    contour.assert_samples(healthy(2 * HOUR) + series, [(time, expression, {}) for time in at], every)


@pytest.mark.parametrize("gateway", ["contour", "kourier"])
def test_no_traffic_is_no_breach_and_no_ratio(gateway: str, rules_of: Callable[[str], Promtool]) -> None:
    series = traffic((LOAD, 0, 0, HOUR), (0, 0, 0, 2 * HOUR), gateway=gateway)
    whole = {f'{{{HERE}, slo="{slo}"}}': 1.0 for slo in ("availability", "latency_p95", "latency_p99")}
    names = 'model="iris"'
    rules_of(gateway).assert_samples(
        healthy(3 * HOUR, gateway) + series,
        [
            ("2h30m", FIRING, {}),
            ("2h30m", f'{{__name__=~"sli:inference_(error_rate|latency_p..):5m|slo:burn_rate:5m",{names}}}', {}),
            ("2h30m", f"sum by (namespace, slo) (slo:error_budget_remaining:ratio{{{names}}})", whole),
        ],
    )


def test_a_model_that_is_scaled_to_zero_is_no_outage(rules_of: Callable[[str], Promtool]) -> None:
    steps = 2 * HOUR
    gone = healthy(steps, "kourier")
    gone = [
        Series(one.name, [*one.values[:HOUR], *([None] * HOUR)] if "iris-predictor" in one.name else one.values)
        for one in gone
    ]
    series = traffic((LOAD, 0, 0, HOUR), (0, 0, 0, HOUR), gateway="kourier")
    rules_of("kourier").assert_samples(gone + series, [("1h", FIRING, {}), ("1h55m", FIRING, {})])


def test_a_model_that_was_never_asked_has_no_series_and_no_alert_but_its_budget(contour: Promtool) -> None:
    contour.assert_samples(
        healthy(HOUR),
        [
            ("55m", FIRING, {}),
            ("55m", "gateway:requests:rate5m", {}),
            ("55m", "count(slo:error_budget_remaining:ratio == 1)", {"{}": 6}),
        ],
    )


def test_slow_answers_page(contour: Promtool) -> None:
    series = traffic((LOAD, 0, 0, 7 * HOUR), (LOAD, 0, LOAD, 15))
    contour.assert_samples(
        healthy(8 * HOUR) + series,
        [
            ("7h", PAGES, {}),
            ("7h12m", PAGES, {burn("1h", "latency_p99"): 1}),
            ("7h10m", 'round(slo:burn_rate:5m{slo="latency_p95"})', {
                f'{{model="iris", {HERE}, slo="latency_p95"}}': 20}),
        ],
    )  # fmt: skip


def test_errors_above_the_objective_become_a_ticket(contour: Promtool) -> None:
    series = traffic((LOAD, 0, 0, DAY), (LOAD, LOAD * 0.005, 0, 2 * DAY))
    fast = FIRING.replace("{", '{alertname="ModelErrorBudgetBurn",')
    contour.assert_samples(
        healthy(4 * DAY) + series,
        [
            ("24h", FIRING, {}),
            ("48h", fast, {burn("1d", severity="warning"): 1, burn("3d", severity="warning"): 1}),
        ],
        every="5m",
    )


def test_the_budget_is_weighted_by_requests(contour: Promtool) -> None:
    # 1 of 2000 is answered by an error: half of the budget. The second day has no requests.
    series = traffic((1000, 0.5, 0, DAY), (0, 0, 0, DAY))
    left = 'slo:error_budget_remaining:ratio{slo="availability",model="iris"}'
    contour.assert_samples(
        healthy(2 * DAY) + series,
        [(at, f"round(sum({left}), 0.01)", {"{}": 0.5}) for at in ("12h", "24h", "40h")],
        every="5m",
    )


def test_a_spent_budget_is_told_once(contour: Promtool) -> None:
    series = traffic((LOAD, 0, 0, DAY), (LOAD, LOAD, 0, 10), (LOAD, 0, 0, DAY))
    spent = alerts(
        alertname="ModelErrorBudgetSpent", severity="warning", slo="availability", model="iris", namespace="ml-models"
    )
    contour.assert_samples(healthy(2 * DAY) + series, [("36h", FIRING, {spent: 1})], every="5m")


def server(*phases: tuple[float, float, int], model: str = "churn") -> list[Series]:
    """What a server counts. Each phase: answers, of them errors, and steps."""
    at = f'{HERE},model="{model}",version="v1",pod="{model}-predictor-5f6b-x2x",model_name="{model}"'
    return [
        counter(f'model_server_requests_total{{{at},protocol="v2",code="200"}}', *((a - e, n) for a, e, n in phases)),
        counter(f'model_server_requests_total{{{at},protocol="v2",code="500"}}', *((e, n) for _a, e, n in phases)),
        # Probes are no requests of users.
        counter(f'model_server_requests_total{{{at},protocol="other",code="503"}}', (LOAD, 9 * HOUR)),
        *(
            counter(
                f'model_server_request_duration_seconds_bucket{{{at},protocol="v2",le="{bound}"}}',
                *((a, n) for a, _e, n in phases),
            )
            for bound in ("0.25", "0.5", "1.0", "+Inf")
        ),
        counter(f'model_server_request_duration_seconds_count{{{at},protocol="v2"}}', *((a, n) for a, _e, n in phases)),
        counter(f'model_server_request_duration_seconds_sum{{{at},protocol="v2"}}', *((a, n) for a, _e, n in phases)),
    ]


def test_a_model_without_a_route_is_measured_at_its_server(contour: Promtool) -> None:
    # The objective is 99 %.
    series = server((LOAD, 0, 7 * HOUR), (LOAD, LOAD, 15))
    contour.assert_samples(
        healthy(8 * HOUR) + series,
        [("7h", PAGES, {}), ("7h13m", PAGES, {burn("1h", model="churn"): 1})],
    )


def test_the_names_of_dashboards_have_data(contour: Promtool) -> None:
    series = (
        traffic((LOAD, LOAD * 0.1, LOAD * 0.5, HOUR)) + server((LOAD, 0, HOUR)) + server((LOAD, 0, HOUR), model="iris")
    )
    iris = f'{{model="iris", {HERE}}}'
    version = f'model="iris", {HERE}, pod="iris-predictor-5f6b-x2x", version="v1"'
    expected: list[tuple[str, dict[str, float]]] = [
        ("sum by (namespace, model) (sli:inference_error_rate:5m{model='iris'})", {iris: 0.1}),
        ("sum by (namespace, model) (sli:inference_requests:rate5m{model='iris'})", {iris: 10}),
        ("sum by (service, model) (rate(inference_request_total[5m]))", {
            '{model="iris", service="iris-predictor"}': 10,
            '{model="churn", service="churn-predictor"}': 10}),
        ("gateway:requests:rate5m", {
            f'gateway:requests:rate5m{{code="200", model="iris", {HERE}}}': 9,
            f'gateway:requests:rate5m{{code="503", model="iris", {HERE}}}': 1}),
        ("sli:inference_latency_p50:5m{model='iris'}", {f"sli:inference_latency_p50:5m{iris}": 0.25}),
        # Above the highest bound that is known.
        ("sli:inference_latency_p95:5m{model='iris'}", {f"sli:inference_latency_p95:5m{iris}": 1}),
        ("kserve_model_request_duration_seconds{model='iris',quantile='0.95'}", {
            f'kserve_model_request_duration_seconds{{model="iris", {HERE}, quantile="0.95"}}': 0.2375}),
        ("kserve_model_request_duration_seconds_count{model='iris'}", {
            f"kserve_model_request_duration_seconds_count{{{version}}}": LOAD * HOUR}),
        ("slo:latency_threshold:seconds{model='iris',slo='latency_p95'}", {
            f'slo:latency_threshold:seconds{{model="iris", {HERE}, slo="latency_p95"}}': 0.5}),
        ("slo:objective:ratio{model='churn',slo='availability'}", {
            f'slo:objective:ratio{{model="churn", {HERE}, slo="availability", source="server", window="7d"}}': 0.99}),
    ]  # fmt: skip
    contour.assert_samples(healthy(HOUR) + series, [("59m", expression, samples) for expression, samples in expected])


def pod(model: str = "iris") -> str:
    return f"{model}-predictor-5f6b-x2x"


def alert(name: str, severity: str = "warning", **labels: str) -> str:
    return alerts(alertname=name, severity=severity, **labels)


MODEL = {"model": "iris", "namespace": "ml-models"}
HPA = f'{HERE},horizontalpodautoscaler="iris-predictor"'
SLICE = (
    'kube_endpointslice_endpoints{namespace="kserve",endpointslice="kserve-webhook-server-service-x2x4z",ready="true"}'
)
HOOK = (
    'kube_validatingwebhookconfiguration_webhook_clientconfig_service{validatingwebhookconfiguration="a",'
    'webhook_name="b",service_namespace="kserve",service_name="kserve-webhook-server-service"}'
)
CERTIFICATE = '{namespace="projectcontour",name="models"}'
DAYS = 86400.0


# What is changed in the healthy platform: a series that replaces one, or is added; the word without which others stay.
BROKEN: dict[str, tuple[str, list[tuple[str, float]], str]] = {
    "not ready": (
        'condition{namespace="ml-models",model="iris"',
        [(f'kserve_inferenceservice_condition{{{HERE},model="iris",type="Ready"}}', 0)],
        alert("ModelNotReady", "critical", **MODEL),
    ),
    "deleted": ('{namespace="ml-models",model="iris",', [], alert("ModelStateMissing", **MODEL)),
    "another digest": (
        'model_server_model_info{namespace="ml-models",pod="iris',
        [(f'model_server_model_info{{{HERE},pod="{pod()}",model="iris",digest="sha256:2"}}', 1)],
        alert("ModelWrongDigest", "critical", **MODEL),
    ),
    "load failed": (
        "nothing",
        [(f'kserve_inferenceservice_transition{{{HERE},model="iris",status="BlockedByFailedLoad"}}', 1)],
        alert("ModelLoadFailed", **MODEL),
    ),
    "downloading": (
        "nothing",
        [(f'kube_pod_init_container_status_running{{{HERE},pod="iris-predictor-7a7a-b1b",'
          'container="storage-initializer"}', 1)],
        alert("ModelLoadingSlow", **MODEL),
    ),
    "starting in Knative mode": (
        "nothing",
        [(f'kube_pod_container_status_running{{{HERE},pod="iris-predictor-00001-deployment-7a7a-b1b",'
          'container="kserve-container"}', 1)],
        alert("ModelLoadingSlow", **MODEL),
    ),
    "crashing": (
        "nothing",
        [(f'kube_pod_container_status_waiting_reason{{{HERE},pod="iris-predictor-7a7a-b1b",'
          'container="kserve-container",reason="CrashLoopBackOff"}', 1)],
        alert("PodCrashLooping", **MODEL),
    ),
    "storage-initializer crashing": (
        "nothing",
        [(f'kube_pod_init_container_status_waiting_reason{{{HERE},pod="iris-predictor-7a7a-b1b",'
          'container="storage-initializer",reason="CrashLoopBackOff"}', 1)],
        alert("PodCrashLooping", **MODEL),
    ),
    "platform crashing": (
        "nothing",
        [('kube_pod_container_status_waiting_reason{namespace="kserve",pod="kserve-1-1",container="manager",'
          'reason="CrashLoopBackOff"}', 1)],
        alert("PodCrashLooping", "critical", namespace="kserve"),
    ),
    "job": (
        "nothing",
        [(f'kube_job_failed{{{HERE},job_name="batch-inference-1",condition="true"}}', 1)],
        alert("JobFailed", namespace="ml-models"),
    ),
    "autoscaler at its maximum": (
        "nothing",
        [(f"kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}", 3),
         (f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}", 3),
         (f"kube_horizontalpodautoscaler_spec_min_replicas{{{HPA}}}", 1)],
        alert("AutoscalerAtMaximum", **MODEL),
    ),
    "autoscaler unable": (
        "nothing",
        [(f'kube_horizontalpodautoscaler_status_condition{{{HPA},condition="ScalingActive",status="false"}}', 1),
         (f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}", 3),
         (f"kube_horizontalpodautoscaler_spec_min_replicas{{{HPA}}}", 1)],
        alert("AutoscalerUnable", **MODEL),
    ),
    "quota": (
        "nothing",
        [(f'kube_resourcequota{{{HERE},resourcequota="models",resource="pods",type="used"}}', 37),
         (f'kube_resourcequota{{{HERE},resourcequota="models",resource="pods",type="hard"}}', 40)],
        alert("ResourceQuotaNearlyFull", namespace="ml-models"),
    ),
    "volume": (
        "nothing",
        [(f'kubelet_volume_stats_available_bytes{{{HERE},persistentvolumeclaim="models"}}', 9),
         (f'kubelet_volume_stats_capacity_bytes{{{HERE},persistentvolumeclaim="models"}}', 100)],
        alert("VolumeNearlyFull", namespace="ml-models"),
    ),
    "webhook": ("nothing", [(HOOK, 1)], alert("WebhookWithoutEndpoints", "critical", namespace="kserve")),
    "certificate": (
        "nothing",
        [(f"certmanager_certificate_expiration_timestamp_seconds{CERTIFICATE}", 10 * DAYS),
         (f"certmanager_certificate_renewal_timestamp_seconds{CERTIFICATE}", 0)],
        alert("CertificateExpiringSoon", namespace="projectcontour"),
    ),
    "certificate of the gateway": (
        "nothing",
        [('envoy_server_days_until_first_cert_expiring{namespace="projectcontour",pod="envoy-1"}', 5)],
        alert("CertificateExpiringSoon", "critical", namespace="projectcontour"),
    ),
    "server does not answer": (
        f'up{{{HERE},pod="iris',
        [(f'up{{{HERE},pod="{pod()}",model="iris",job="iris-predictor"}}', 0)],
        alert("ScrapeTargetDown", job="iris-predictor", **MODEL),
    ),
    "gateway does not answer": (
        'job="projectcontour/envoy"',
        [('up{namespace="projectcontour",job="projectcontour/envoy"}', 0)],
        alert("ScrapeTargetDown", job="projectcontour/envoy", namespace="projectcontour"),
    ),
    "gateway is no target": (
        'job="projectcontour/envoy"',
        [],
        alert("ScrapeTargetMissing", job="projectcontour/envoy", namespace="projectcontour"),
    ),
    "model is no target": (f'up{{{HERE},pod="iris', [], alert("ModelMetricsMissing", **MODEL)),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_fault_fires_its_alert(case: str, contour: Promtool) -> None:
    without, added, expected = BROKEN[case]
    series = healthy(3 * HOUR, without=without) + [steady(name, value, 3 * HOUR) for name, value in added]
    contour.assert_samples(
        series, [("1m", FIRING, {expected: 1} if case == "job" else {}), ("2h30m", FIRING, {expected: 1})]
    )


SERVICE = 'k8s_namespace_name="ml-models",kn_service_name="iris-predictor",kn_revision_name="iris-predictor-00001"'


@pytest.mark.parametrize(
    ("desired", "requested", "count", "expected"),
    [
        (1, 1, 1, None),
        (0, 0, 0, None),
        (3, 3, 3, "AutoscalerAtMaximum"),
        (2, 2, 1, "AutoscalerUnable"),
    ],
)
def test_knatives_autoscaler_is_watched(
    desired: float, requested: float, count: float, expected: str | None, rules_of: Callable[[str], Promtool]
) -> None:
    pods = [
        steady(f"kn_revision_pods_desired{{{SERVICE}}}", desired, HOUR),
        steady(f"kn_revision_pods_requested{{{SERVICE}}}", requested, HOUR),
        steady(f"kn_revision_pods_count{{{SERVICE}}}", count, HOUR),
    ]
    told = {alert(expected, **MODEL): 1.0} if expected else {}
    rules_of("kourier").assert_samples([*healthy(HOUR, "kourier"), *pods], [("55m", FIRING, told)])


# What resembles it and is none.
FINE: dict[str, list[tuple[str, float]]] = {
    "an autoscaler with nothing to scale": [
        (f"kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}", 1),
        (f'kube_horizontalpodautoscaler_status_condition{{{HPA},condition="ScalingActive",status="false"}}', 1),
        (f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}", 1),
        (f"kube_horizontalpodautoscaler_spec_min_replicas{{{HPA}}}", 1),
    ],
    "a webhook with an endpoint": [(HOOK, 1), (SLICE, 1)],
    "a certificate that is renewed later": [
        (f"certmanager_certificate_expiration_timestamp_seconds{CERTIFICATE}", 10 * DAYS),
        (f"certmanager_certificate_renewal_timestamp_seconds{CERTIFICATE}", 5 * DAYS),
    ],
    "a model that nobody has listed": [
        (f'kube_pod_container_status_ready{{{HERE},pod="other-predictor-1a-2b",container="kserve-container"}}', 1),
    ],
    "a Job of another namespace": [('kube_job_failed{namespace="other",job_name="a",condition="true"}', 1)],
    "a stopped model": [
        (f'kserve_inferenceservice_condition{{{HERE},model="halted",type="Ready"}}', 0),
        (f'kserve_inferenceservice_condition{{{HERE},model="halted",type="Stopped"}}', 1),
    ],
    "a quota of nothing": [
        (f'kube_resourcequota{{{HERE},resourcequota="models",resource="pods",type="used"}}', 0),
        (f'kube_resourcequota{{{HERE},resourcequota="models",resource="pods",type="hard"}}', 0),
    ],
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_fine_is_not_told(case: str, contour: Promtool) -> None:
    series = healthy(3 * HOUR) + [steady(name, value, 3 * HOUR) for name, value in FINE[case]]
    contour.assert_samples(series, [("2h", FIRING, {})])


def test_a_model_without_uri_version_and_digest_is_known_by_its_conditions(contour: Promtool) -> None:
    contour.assert_samples(healthy(HOUR, without="inferenceservice_info"), [("55m", FIRING, {})])


def test_without_kube_state_metrics_the_alert_is_about_it(contour: Promtool) -> None:
    series = [one for one in healthy(HOUR) if not one.name.startswith(("kube_", "kserve_"))]
    missing = {alert("ModelStateMissing", model=model, namespace="ml-models"): 1.0 for model in ("churn", "iris")}
    target = alert("ScrapeTargetMissing", job="kube-state-metrics", namespace="kserve")
    contour.assert_samples(series, [("30m", FIRING, {**missing, target: 1})])


def test_an_alert_has_words_for_people(contour: Promtool) -> None:
    told = {
        "eval_time": "10m",
        "alertname": "ModelNotReady",
        "exp_alerts": [
            {
                "exp_labels": {"severity": "critical", "part_of": "hashfoundry-kserve", **MODEL},
                "exp_annotations": {
                    "summary": "The model ml-models/iris is not ready.",
                    "description": "Its InferenceService has not been Ready for 5 minutes.",
                    "runbook_url": "https://hashfoundry.github.io/kserve/collections/hashfoundry/kserve/docsite/"
                    "runbook.html#modelnotready",
                },
            }
        ],
    }
    condition = f'kserve_inferenceservice_condition{{{HERE},model="iris",type="Ready"}}'
    contour.test({"alert_rule_test": [told]}, [*healthy(HOUR, without='type="Ready"'), steady(condition, 0, HOUR)])


def test_the_rules_grow_by_constants_only(tmp_path: Path) -> None:
    models = [{**IRIS, "name": name} for name in ("a", "b", "c")]
    objects = [thing for thing in rendered(tmp_path, models=models) if thing["kind"] == "PrometheusRule"]
    rules = [rule for thing in objects for group in thing["spec"]["groups"] for rule in group["rules"]]
    about_one = [rule for rule in rules if "model" in rule.get("labels", {}) or '"a"' in rule["expr"]]
    # Where it is measured, its three objectives, and two thresholds.
    assert len(about_one) == 3 * 6
    assert all(rule["expr"].startswith("vector(") for rule in about_one)
