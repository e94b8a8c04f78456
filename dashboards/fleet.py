# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All models on one page: does each keep its promise, and which one does not."""

from __future__ import annotations

from dashboards.model import (
    BUDGET,
    NONE,
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

CHOSEN = 'namespace=~"$namespace"'
EACH = "sum by (namespace, model)"
NAME = "{{namespace}}/{{model}}"
INFO = f"kserve_inferenceservice_info{{{CHOSEN}}}"
EVERY = f'max by (namespace, model) (kserve_inferenceservice_condition{{{CHOSEN}, type="Ready"}})'
# Models that other tools deployed have no version.
VERSIONED = f"(max by (namespace, model, version) ({INFO}) or ({EVERY} * 0 + 1 unless on (namespace, model) {INFO}))"
REQUESTS = f"sli:inference_requests:rate5m{{{CHOSEN}}}"
ERRORS = f"sli:inference_error_rate:5m{{{CHOSEN}}}"
FIRING = f'ALERTS{{alertstate="firing", part_of="hashfoundry-kserve", {CHOSEN}}}'
# The Deployment of a model's predictor in Standard mode, and of each of its revisions in Knative mode.
PREDICTORS = "(.+)-predictor(?:-[0-9]+-deployment)?"
REPLICAS = (
    f'label_replace(kube_deployment_status_replicas_available{{{CHOSEN}, deployment=~"{PREDICTORS}"}}, '
    f'"model", "$1", "deployment", "{PREDICTORS}")'
)
SLOW = (Step(0.5, Color.WARN), Step(1, Color.BAD))
FAILING = (Step(0.001, Color.WARN), Step(0.01, Color.BAD))


def by_model(expr: str) -> str:
    """One series for each model, with the version that it serves as a label."""
    return f"max by (namespace, model) ({expr}) * on (namespace, model) group_left (version) {VERSIONED}"


def budget(slo: str) -> str:
    """What is left of the error budget of one objective: an overspent one would hide the others of a chart."""
    return f'clamp_min(slo:error_budget_remaining:ratio{{{CHOSEN}, slo="{slo}"}}, -1)'


NOW = Row(
    "Now",
    (
        Stat("Models", "InferenceServices in these namespaces.", 3, 4, Query(f"count({EVERY})"), Unit.COUNT),
        Stat(
            "Not ready",
            "Models whose condition Ready is not True.",
            3,
            4,
            Query(f'count(kserve_inferenceservice_condition{{{CHOSEN}, type="Ready"}} == 0) or vector(0)'),
            Unit.COUNT,
            NONE,
        ),
        Stat(
            "Rolling out",
            "Models that do not yet serve, or cannot serve, the version of their specification.",
            3,
            4,
            Query(f'count(kserve_inferenceservice_transition{{{CHOSEN}, status!="UpToDate"}} == 1) or vector(0)'),
            Unit.COUNT,
            (Step(1, Color.WARN),),
        ),
        Stat("Alerts", "Firing alerts.", 3, 4, Query(f"count({FIRING}) or vector(0)"), Unit.COUNT, NONE),
        Stat(
            "Requests/s",
            "Requests per second of all models.",
            3,
            4,
            Query(f"sum({REQUESTS}) or vector(0)"),
            Unit.COUNT,
            below=Color.CALM,
        ),
        Stat(
            "Errors",
            "The share of all requests that were answered with a 5xx code or not at all.",
            3,
            4,
            Query(f"sum({ERRORS} * {REQUESTS}) / sum({REQUESTS})"),
            Unit.RATIO,
            FAILING,
            decimals=2,
        ),
        Stat(
            "Slowest p95",
            "95 % of the requests to the slowest model take less than this.",
            3,
            4,
            Query(f"max(sli:inference_latency_p95:5m{{{CHOSEN}}})"),
            Unit.SECONDS,
            SLOW,
        ),
        Stat(
            "Smallest budget",
            "The smallest share of an error budget that any model has left. Below zero an objective is missed.",
            3,
            4,
            Query(f"clamp_min(min(slo:error_budget_remaining:ratio{{{CHOSEN}}}), -1)"),
            Unit.RATIO,
            BUDGET,
            below=Color.BAD,
        ),
    ),
)

MODELS = Row(
    "Models",
    (
        Table(
            "Models",
            "Select a model to open its dashboard. Cells are empty for models without requests.",
            24,
            7,
            labels=(("namespace", "Namespace"), ("model", "Model"), ("version", "Version")),
            columns=(
                Column("Pods", by_model(f"{EACH} ({REPLICAS})"), steps=(Step(1, Color.GOOD),), below=Color.BAD),
                Column("Alerts", by_model(f"count by (namespace, model) ({FIRING}) or {EVERY} * 0"), steps=NONE),
                Column("Requests/s", by_model(REQUESTS), below=Color.CALM, decimals=1),
                Column("Errors", by_model(ERRORS), Unit.RATIO, FAILING, decimals=2),
                Column("p50", by_model(f"sli:inference_latency_p50:5m{{{CHOSEN}}}"), Unit.SECONDS, SLOW),
                Column("p95", by_model(f"sli:inference_latency_p95:5m{{{CHOSEN}}}"), Unit.SECONDS, SLOW),
                Column("p99", by_model(f"sli:inference_latency_p99:5m{{{CHOSEN}}}"), Unit.SECONDS, SLOW),
                Column("Budget: available", by_model(budget("availability")), Unit.RATIO, BUDGET, Color.BAD, 1),
                Column("Budget: p95", by_model(budget("latency_p95")), Unit.RATIO, BUDGET, Color.BAD, 1),
            ),
            link="hashfoundry-model",
        ),
    ),
)

TRAFFIC = Row(
    "Traffic",
    (
        Chart(
            "Requests",
            "Requests per second by model.",
            8,
            8,
            (Query(f"{EACH} ({REQUESTS})", NAME),),
            Unit.REQUESTS,
            stacked=True,
        ),
        Chart(
            "Errors",
            "The share of requests that failed, by model.",
            8,
            8,
            (Query(f"max by (namespace, model) ({ERRORS})", NAME),),
            Unit.RATIO,
        ),
        Chart(
            "Latency, p95",
            "95 % of the requests take less than this, by model.",
            8,
            8,
            (Query(f"max by (namespace, model) (sli:inference_latency_p95:5m{{{CHOSEN}}})", NAME),),
            Unit.SECONDS,
        ),
    ),
)

BUDGETS = Row(
    "Error budgets",
    (
        Chart(
            "Budget left, availability",
            "100 % is untouched. Below 0 the objective is missed, and -100 % stands for all that is worse.",
            8,
            8,
            (Query(f"max by (namespace, model) ({budget('availability')})", NAME),),
            Unit.RATIO,
            limits=(Step(0, Color.BAD),),
            minimum=None,
            maximum=1,
        ),
        Chart(
            "Budget left, latency",
            "Of the objective for p95. 100 % is untouched. Below 0 the objective is missed.",
            8,
            8,
            (Query(f"max by (namespace, model) ({budget('latency_p95')})", NAME),),
            Unit.RATIO,
            limits=(Step(0, Color.BAD),),
            minimum=None,
            maximum=1,
        ),
        Chart(
            "Burn rate, 1 hour",
            "At 1 the budget lasts exactly its window, at the red line two days of 30: then an alert pages.",
            8,
            8,
            (Query(f"max by (namespace, model) (slo:burn_rate:1h{{{CHOSEN}}})", NAME),),
            Unit.COUNT,
            limits=(Step(14.4, Color.BAD),),
        ),
    ),
)

VERSIONS = Row(
    "Versions",
    (
        Chart(
            "Requests by version",
            "As counted by the servers. A rollout shows as one color replacing another.",
            12,
            8,
            (
                Query(
                    f"sum by (namespace, model, version) (model:requests:rate5m{{{CHOSEN}}})",
                    "{{namespace}}/{{model}} {{version}}",
                ),
            ),
            Unit.REQUESTS,
            stacked=True,
        ),
        Chart(
            "Ready pods",
            "Pods that receive requests, by model.",
            12,
            8,
            (Query(f"{EACH} ({REPLICAS})", NAME),),
            Unit.COUNT,
        ),
    ),
)

FLEET = Dashboard(
    uid="hashfoundry-fleet",
    title="Models: fleet",
    description="All models: traffic, errors, latency, error budgets and versions.",
    variables=(Variable("namespace", "Namespace", 'kserve_inferenceservice_condition{type="Ready"}', all=True),),
    rows=(NOW, MODELS, TRAFFIC, BUDGETS, VERSIONS),
)
