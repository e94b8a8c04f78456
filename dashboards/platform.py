# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the models run on: control planes, gateway, storage, and the monitoring itself."""

from __future__ import annotations

from dashboards.model import (
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
)

OURS = 'part_of="hashfoundry-kserve"'
FIRING = f'ALERTS{{alertstate="firing", {OURS}}}'
FULL = (Step(0.8, Color.WARN), Step(0.9, Color.BAD))
USED = "1 - kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes"
QUOTAS = (
    'max by (namespace, resource) (kube_resourcequota{type="used"}) '
    '/ (max by (namespace, resource) (kube_resourcequota{type="hard"}) > 0)'
)


def rate(expr: str) -> str:
    """The increase of a counter for each second."""
    return f"rate({expr}[$__rate_interval])"


def answers(classes: str) -> str:
    """The answers of Envoy to clients, without those of its own admin and stats listeners."""
    chosen = f'envoy_http_conn_manager_prefix!~"admin|stats|.*health.*", envoy_response_code_class=~"{classes}"'
    return f"sum({rate(f'envoy_http_downstream_rq_xx{{{chosen}}}')})"


NOW = Row(
    "Now",
    (
        Stat("Alerts", "Firing alerts.", 3, 4, Query(f"count({FIRING}) or vector(0)"), Unit.COUNT, NONE),
        Stat(
            "Targets down",
            "Endpoints that Prometheus cannot scrape. What they measure is unknown.",
            3,
            4,
            Query("count(up == 0) or vector(0)"),
            Unit.COUNT,
            NONE,
        ),
        Stat(
            "Pods not ready",
            "Pods that neither are ready nor have finished.",
            3,
            4,
            Query(
                'count((kube_pod_status_ready{condition="false"} == 1) unless on (namespace, pod) '
                '(kube_pod_status_phase{phase="Succeeded"} == 1)) or vector(0)'
            ),
            Unit.COUNT,
            (Step(1, Color.WARN),),
        ),
        Stat(
            "Failed answers",
            "The share of all answers of the models with a 5xx code, at the gateway.",
            3,
            4,
            Query('(sum(gateway:requests:rate5m{code=~"5.."}) or vector(0)) / sum(gateway:requests:rate5m)'),
            Unit.RATIO,
            (Step(0.001, Color.WARN), Step(0.01, Color.BAD)),
            decimals=2,
        ),
        Stat(
            "Certificate days",
            "Until the first certificate of the gateway expires. A run of addons renews it from 30 days on.",
            3,
            4,
            Query("min(envoy_server_days_until_first_cert_expiring)"),
            Unit.COUNT,
            (Step(14, Color.WARN), Step(28, Color.GOOD)),
            below=Color.BAD,
            decimals=0,
        ),
        Stat(
            "Fullest volume",
            "The share of the fullest volume that is in use.",
            3,
            4,
            Query(f"max({USED})"),
            Unit.RATIO,
            FULL,
            decimals=0,
        ),
        Stat(
            "Fullest quota",
            "The share of the fullest ResourceQuota that is in use.",
            3,
            4,
            Query(f"max({QUOTAS})"),
            Unit.RATIO,
            FULL,
            decimals=0,
        ),
        Stat(
            "Series",
            "Time series in Prometheus. Its memory grows with them.",
            3,
            4,
            Query("max(prometheus_tsdb_head_series)"),
            Unit.COUNT,
            below=Color.CALM,
        ),
    ),
)

ALERTS = Row(
    "Firing alerts",
    (
        Table(
            "Firing alerts",
            "Each alert has a runbook: see its annotation runbook_url.",
            24,
            8,
            labels=(("alertname", "Alert"), ("severity", "Severity"), ("namespace", "Namespace"), ("model", "Model")),
            columns=(
                Column(
                    "Since",
                    "max by (alertname, severity, namespace, model) "
                    f"((time() - ALERTS_FOR_STATE{{{OURS}}}) and ignoring (alertstate) {FIRING})",
                    Unit.SECONDS,
                    below=Color.BAD,
                    decimals=0,
                ),
            ),
        ),
    ),
)

CONTROL = Row(
    "Control planes",
    (
        Chart(
            "Reconciliations",
            "Of KServe, by controller, for each second. A high rate without changes: two of them undo each other's.",
            8,
            8,
            (Query(f"sum by (controller) ({rate('controller_runtime_reconcile_total')})", "{{controller}}"),),
            Unit.EVENTS,
            stacked=True,
        ),
        Chart(
            "Failed reconciliations",
            "For each second, by controller.",
            8,
            8,
            (Query(f"sum by (controller) ({rate('controller_runtime_reconcile_errors_total')})", "{{controller}}"),),
            Unit.EVENTS,
        ),
        Chart(
            "Duration of a reconciliation, p99",
            "99 % take less than this, by controller.",
            8,
            8,
            (
                Query(
                    "histogram_quantile(0.99, sum by (controller, le) "
                    f"({rate('controller_runtime_reconcile_time_seconds_bucket')}))",
                    "{{controller}}",
                ),
            ),
            Unit.SECONDS,
        ),
        Chart(
            "Work queues",
            "Objects that wait for their controller.",
            8,
            8,
            (Query("sum by (namespace, name) (workqueue_depth)", "{{namespace}}: {{name}}"),),
            Unit.COUNT,
        ),
        Chart(
            "Webhook calls",
            "For each second, by answer. While webhooks fail, no model can be changed.",
            8,
            8,
            (Query(f"sum by (code) ({rate('controller_runtime_webhook_requests_total')})", "{{code}}"),),
            Unit.REQUESTS,
            stacked=True,
        ),
        Chart(
            "Memory",
            "Memory in use, by namespace.",
            8,
            8,
            (Query('sum by (namespace) (container_memory_working_set_bytes{container!=""})', "{{namespace}}"),),
            Unit.BYTES,
            stacked=True,
        ),
    ),
)

GATEWAY = Row(
    "Gateway",
    (
        Chart(
            "Answers",
            "Of the gateway for each second, by class of the HTTP status code, known models or not.",
            8,
            8,
            (
                Query(answers("[123]"), "answered", Color.GOOD),
                Query(answers("4"), "4xx", Color.WARN),
                Query(answers("5"), "5xx", Color.BAD),
            ),
            Unit.REQUESTS,
            stacked=True,
        ),
        Chart(
            "Connections",
            "Open connections of clients, by gateway pod.",
            8,
            8,
            (Query("sum by (pod) (envoy_http_downstream_cx_active)", "{{pod}}"),),
            Unit.COUNT,
        ),
        Chart(
            "Failed connections to models",
            "For each second. The gateway found no pod that accepts connections.",
            8,
            8,
            (
                Query(
                    f"sum by (envoy_cluster_name) ({rate('envoy_cluster_upstream_cx_connect_fail')}) > 0",
                    "{{envoy_cluster_name}}",
                ),
            ),
            Unit.EVENTS,
        ),
    ),
)

STORAGE = Row(
    "Storage and quotas",
    (
        Chart(
            "Volumes",
            "The share of each volume that is in use.",
            12,
            8,
            (
                Query(
                    f"max by (namespace, persistentvolumeclaim) ({USED})",
                    "{{namespace}}/{{persistentvolumeclaim}}",
                ),
            ),
            Unit.RATIO,
            limits=(Step(0.9, Color.BAD),),
            maximum=1,
        ),
        Chart(
            "Quotas",
            "The share of each ResourceQuota that is in use. Pods beyond it are not created.",
            12,
            8,
            (
                Query(
                    QUOTAS,
                    "{{namespace}}: {{resource}}",
                ),
            ),
            Unit.RATIO,
            limits=(Step(0.9, Color.BAD),),
            maximum=1,
        ),
    ),
)

MONITORING = Row(
    "Monitoring",
    (
        Chart(
            "Samples of a scrape",
            "By scraped component: what a component costs Prometheus.",
            8,
            8,
            (Query("sum by (job) (scrape_samples_post_metric_relabeling)", "{{job}}"),),
            Unit.COUNT,
            stacked=True,
        ),
        Chart(
            "Duration of a scrape",
            "The slowest target of each component.",
            8,
            8,
            (Query("max by (job) (scrape_duration_seconds)", "{{job}}"),),
            Unit.SECONDS,
        ),
        Chart(
            "Rules and notifications",
            "Failures for each second. An alert whose rule or notification fails reaches nobody.",
            8,
            8,
            (
                Query(f"sum({rate('prometheus_rule_evaluation_failures_total')})", "rules", Color.WARN),
                Query(f"sum({rate('prometheus_notifications_dropped_total')})", "dropped", Color.BAD),
                Query(f"sum({rate('alertmanager_notifications_failed_total')})", "not delivered", Color.BAD),
            ),
            Unit.EVENTS,
        ),
    ),
)

PLATFORM = Dashboard(
    uid="hashfoundry-platform",
    title="Models: platform",
    description="What the models run on: control planes, gateway, storage, and the monitoring itself.",
    variables=(),
    rows=(NOW, ALERTS, CONTROL, GATEWAY, STORAGE, MONITORING),
)
