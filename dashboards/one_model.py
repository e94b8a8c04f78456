# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One model: rate, errors and duration, by version, saturation, its input and its pods."""

from __future__ import annotations

from dashboards.fleet import FAILING
from dashboards.model import (
    BUDGET,
    Chart,
    Color,
    Column,
    Dashboard,
    Query,
    Row,
    Stat,
    Step,
    Table,
    Unit,
    Variable,
)

CHOSEN = 'namespace="$namespace", model="$model"'
POD = 'namespace="$namespace", pod=~"$model-predictor-.+"'
CONTAINER = f'{POD}, container="kserve-container"'
ANSWERED = f'{CHOSEN}, protocol=~"v1|v2", code="200"'
SERVER = f"model:requests:rate5m{{{CHOSEN}}}"


def answered(codes: str) -> str:
    """Requests per second with one class of codes: at the gateway, or at the server where no gateway is measured."""
    rates = [f'sum({name}:requests:rate5m{{{CHOSEN}, code=~"{codes}"}})' for name in ("gateway", "model")]
    return " or ".join([*rates, "vector(0)"])


def quantile(name: str) -> str:
    """A quantile of the latency where the model is measured."""
    return f"max(sli:inference_latency_{name}:5m{{{CHOSEN}}})"


def budget(slo: str) -> str:
    """What is left of the error budget of one objective."""
    return f'clamp_min(min(slo:error_budget_remaining:ratio{{{CHOSEN}, slo="{slo}"}}), -1)'


def budget_left(title: str, slo: str, what: str) -> Stat:
    """The number of an error budget."""
    return Stat(
        title, f"What is left of the error budget: {what}.", 3, 4, Query(budget(slo)), Unit.RATIO, BUDGET, Color.BAD, 1
    )


NOW = Row(
    "Now",
    (
        Stat(
            "Version",
            "The version that serves.",
            3,
            4,
            Query(f"max by (version) (kserve_inferenceservice_info{{{CHOSEN}}})", "{{version}}"),
            Unit.COUNT,
            below=Color.CALM,
            text="version",
        ),
        Stat(
            "Ready pods",
            "Pods that receive requests.",
            3,
            4,
            Query(f'sum(kube_pod_status_ready{{{POD}, condition="true"}})'),
            Unit.COUNT,
            (Step(1, Color.GOOD),),
            below=Color.BAD,
        ),
        Stat(
            "Requests/s",
            "Requests per second.",
            3,
            4,
            Query(f"sum(sli:inference_requests:rate5m{{{CHOSEN}}}) or vector(0)"),
            Unit.COUNT,
            decimals=1,
            below=Color.CALM,
        ),
        Stat(
            "Errors",
            "The share of requests that were answered with a 5xx code or not at all.",
            3,
            4,
            Query(f"max(sli:inference_error_rate:5m{{{CHOSEN}}})"),
            Unit.RATIO,
            FAILING,
            decimals=2,
        ),
        Stat("p95", "95 % of the requests take less than this.", 3, 4, Query(quantile("p95")), Unit.SECONDS),
        budget_left("Budget: available", "availability", "requests that failed"),
        budget_left("Budget: p95", "latency_p95", "requests slower than the objective for p95"),
        budget_left("Budget: p99", "latency_p99", "requests slower than the objective for p99"),
    ),
)

RED = Row(
    "Rate, errors, duration",
    (
        Chart(
            "Requests by answer",
            "Requests per second by class of the HTTP status code.",
            8,
            8,
            (
                Query(answered("[123].."), "answered", Color.GOOD),
                Query(answered("4.."), "4xx: the client's fault", Color.WARN),
                Query(answered("5..|0"), "5xx: failed", Color.BAD),
            ),
            Unit.REQUESTS,
            stacked=True,
        ),
        Chart(
            "Errors",
            "The share of requests that failed, and the share that the objective allows.",
            8,
            8,
            (
                Query(f"max(sli:inference_error_rate:5m{{{CHOSEN}}})", "errors", Color.BAD),
                Query(f'1 - max(slo:objective:ratio{{{CHOSEN}, slo="availability"}})', "allowed", Color.FAINT),
            ),
            Unit.RATIO,
        ),
        Chart(
            "Duration",
            "Quantiles of the latency, and the thresholds of the objectives.",
            8,
            8,
            (
                Query(quantile("p50"), "p50", Color.GOOD),
                Query(quantile("p95"), "p95", Color.CALM),
                Query(quantile("p99"), "p99", Color.WARN),
                Query(f"max by (slo) (slo:latency_threshold:seconds{{{CHOSEN}}})", "objective {{slo}}", Color.FAINT),
            ),
            Unit.SECONDS,
        ),
    ),
)

BUDGETS = Row(
    "Error budget",
    (
        Chart(
            "Budget left",
            "100 % is untouched. Below 0 the objective is missed, and -100 % stands for all that is worse.",
            12,
            8,
            (Query(f"clamp_min(min by (slo) (slo:error_budget_remaining:ratio{{{CHOSEN}}}), -1)", "{{slo}}"),),
            Unit.RATIO,
            limits=(Step(0, Color.BAD),),
            minimum=None,
            maximum=1,
        ),
        Chart(
            "Burn rate, availability",
            "At 1 the budget lasts exactly its window. An alert pages from 14.4 over one hour, or 6 over six hours.",
            12,
            8,
            (
                Query(f'max(slo:burn_rate:5m{{{CHOSEN}, slo="availability"}})', "5 minutes", Color.FAINT),
                Query(f'max(slo:burn_rate:1h{{{CHOSEN}, slo="availability"}})', "1 hour", Color.CALM),
                Query(f'max(slo:burn_rate:6h{{{CHOSEN}, slo="availability"}})', "6 hours", Color.WARN),
            ),
            Unit.COUNT,
            limits=(Step(6, Color.WARN), Step(14.4, Color.BAD)),
        ),
    ),
)

VERSIONS = Row(
    "By version",
    (
        Chart(
            "Requests by version",
            "As counted by the servers.",
            8,
            8,
            (Query(f"sum by (version) ({SERVER})", "{{version}}"),),
            Unit.REQUESTS,
            stacked=True,
        ),
        Chart(
            "Errors by version",
            "The share of requests to which the server answered with a 5xx code.",
            8,
            8,
            (
                Query(
                    f'(sum by (version) (model:requests:rate5m{{{CHOSEN}, code=~"5.."}}) '
                    f"or sum by (version) ({SERVER}) * 0) / sum by (version) ({SERVER})",
                    "{{version}}",
                ),
            ),
            Unit.RATIO,
        ),
        Chart(
            "Duration by version, p95",
            "As measured by the servers, without the network and the gateway.",
            8,
            8,
            (
                Query(
                    "histogram_quantile(0.95, sum by (version, le) "
                    f"(model:request_duration_seconds_bucket:rate5m{{{CHOSEN}}}))",
                    "{{version}}",
                ),
            ),
            Unit.SECONDS,
        ),
    ),
)

SATURATION = Row(
    "Saturation",
    (
        Chart(
            "In flight",
            "Requests that are being answered, by pod.",
            6,
            8,
            (Query(f"sum by (pod) (model_server_requests_in_flight{{{CHOSEN}}})", "{{pod}}"),),
            Unit.COUNT,
        ),
        Chart(
            "CPU",
            "Cores in use by pod, and the limit of one pod.",
            6,
            8,
            (
                Query(
                    f"sum by (pod) (rate(container_cpu_usage_seconds_total{{{CONTAINER}}}[$__rate_interval]))",
                    "{{pod}}",
                ),
                Query(
                    f'max(kube_pod_container_resource_limits{{{CONTAINER}, resource="cpu"}})',
                    "limit",
                    Color.FAINT,
                ),
            ),
            Unit.CORES,
        ),
        Chart(
            "Memory",
            "Memory in use by pod, and the limit of one pod.",
            6,
            8,
            (
                Query(f"sum by (pod) (container_memory_working_set_bytes{{{CONTAINER}}})", "{{pod}}"),
                Query(
                    f'max(kube_pod_container_resource_limits{{{CONTAINER}, resource="memory"}})',
                    "limit",
                    Color.FAINT,
                ),
            ),
            Unit.BYTES,
        ),
        Chart(
            "Pods",
            "Ready pods, and the maximum of the autoscaler.",
            6,
            8,
            (
                Query(f'sum(kube_pod_status_ready{{{POD}, condition="true"}})', "ready", Color.CALM),
                Query(
                    "max(kube_horizontalpodautoscaler_spec_max_replicas"
                    '{namespace="$namespace", horizontalpodautoscaler="$model-predictor"})',
                    "maximum",
                    Color.FAINT,
                ),
            ),
            Unit.COUNT,
        ),
    ),
)

INPUT = Row(
    "Input",
    (
        Chart(
            "Rows",
            "Rows per second for which a prediction was requested, by version.",
            8,
            8,
            (Query(f"sum by (version) (rate(model_server_rows_total{{{CHOSEN}}}[$__rate_interval]))", "{{version}}"),),
            Unit.ROWS,
            stacked=True,
        ),
        Chart(
            "Rows per request",
            "Of the answered requests. Large requests are slow ones.",
            8,
            8,
            (
                Query(
                    f"sum(rate(model_server_rows_total{{{CHOSEN}}}[$__rate_interval])) "
                    f"/ sum(rate(model_server_requests_total{{{ANSWERED}}}[$__rate_interval]))",
                    "rows",
                    Color.CALM,
                ),
            ),
            Unit.COUNT,
        ),
        Chart(
            "Rejected input",
            "Requests per second that were rejected before the model saw them, by reason.",
            8,
            8,
            (
                Query(
                    f"sum by (reason) (rate(model_server_rejected_total{{{CHOSEN}}}[$__rate_interval]))", "{{reason}}"
                ),
            ),
            Unit.REQUESTS,
            stacked=True,
        ),
    ),
)

PODS = Row(
    "Pods",
    (
        Table(
            "Pods",
            "What each pod serves. The digest is that of the loaded files.",
            24,
            6,
            labels=(("pod", "Pod"), ("version", "Version"), ("digest", "Digest")),
            columns=(
                Column(
                    "Loaded in",
                    f"max by (pod, version, digest) (model_server_model_info{{{CHOSEN}}} * on (pod) group_left () "
                    f"max by (pod) (model_server_model_load_seconds{{{CHOSEN}}}))",
                    Unit.SECONDS,
                    below=Color.CALM,
                    decimals=2,
                ),
                Column(
                    "Restarts in 1 h",
                    f"max by (pod, version, digest) (model_server_model_info{{{CHOSEN}}} * on (pod) group_left () "
                    f"sum by (pod) (increase(kube_pod_container_status_restarts_total{{{POD}}}[1h])))",
                    steps=(Step(1, Color.BAD),),
                    decimals=0,
                ),
            ),
        ),
    ),
)

MODEL = Dashboard(
    uid="hashfoundry-model",
    title="Models: one model",
    description="One model: rate, errors and duration, by version, saturation, its input and its pods.",
    variables=(
        Variable("namespace", "Namespace", 'kserve_inferenceservice_condition{type="Ready"}'),
        Variable("model", "Model", 'kserve_inferenceservice_condition{namespace="$namespace", type="Ready"}'),
    ),
    rows=(NOW, RED, BUDGETS, VERSIONS, SATURATION, INPUT, PODS),
)
