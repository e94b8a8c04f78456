# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring costs: requests, the cluster and site.yml with and without it in turn, then each model's series and
memory in Prometheus, and how long an alert is on its way."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from benchmarks import tools
from benchmarks.measured_cluster import Measured, run_playbook
from benchmarks.network_policies import site
from benchmarks.platform import many
from benchmarks.results import MeasurementError, Report, Row
from benchmarks.served import MODELS_NAMESPACE
from benchmarks.serving import MODEST_RATE, WARMUP, load_to
from local import __main__ as commands
from local import demo, settings
from local.errors import LocalError
from local.progress import Progress
from local.settings import REPOSITORY
from tests.integration import alert_receiver

ROUNDS = 3
MODEL, PROTOCOL = "iris-classifier", "v1"
WITH, WITHOUT = "with monitoring", "without"
NAMESPACE, PROMETHEUS_POD = "monitoring", "prometheus-prometheus-0"
LOAD_SECONDS = 45  # three scrapes
SETTLE_SECONDS, TIMEOUT_S, POLL_S = 120, 300, 2
CPU_LIMIT, SITE_LIMIT = 1.05, 1.3
# Models beyond those of the demo; Prometheus is new each time, and has scraped for so many seconds.
FURTHER_MODELS, HEAD_SECONDS = 4, 90
ALERTS, ALERTS_NAMESPACE = 8, "benchmark-alerts"
GROUP_WAIT_S = 30  # the default of monitoring_route
ROUTE = {
    **{"receiver": "none", "group_by": ["namespace", "model", "alertname"], "group_wait": f"{GROUP_WAIT_S}s"},
    **{"group_interval": "5m", "repeat_interval": "4h"},
    "routes": [{"receiver": ALERTS_NAMESPACE, "matchers": [f'namespace="{ALERTS_NAMESPACE}"']}],
}
ALERTMANAGER = f"/api/v1/namespaces/{NAMESPACE}/services/http:alertmanager-operated:9093/proxy/api/v2/status"
CGROUPS = "find /sys/fs/cgroup -name cpuacct.usage -o -name cpu.stat | xargs grep -HE '^(usage_usec )?[0-9]+$' || true"
CGROUP = re.compile(r"^/sys/fs/cgroup(/.*)?/(?:cpuacct\.usage|cpu\.stat):(usage_usec )?(\d+)$", re.MULTILINE)
POD = re.compile(r"/[^/]*pod([0-9a-f_-]{32,36})(?:\.slice)?")
NODE = ""

Values = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Monitored(Measured):
    """The demo's cluster, on which monitoring is installed and uninstalled."""

    def install(self, on: bool) -> None:
        """Install or uninstall monitoring as a user does, unless it is so already."""
        if settings.saved_switch(self.settings.state, "monitoring") == on:
            return
        settings.save_switches(replace(self.settings, monitoring=on, dashboards=False))
        run_playbook(self.settings, "playbooks/site.yml")
        time.sleep(SETTLE_SECONDS)

    def pods(self) -> dict[str, str]:
        """What each pod of interest belongs to, by its UID."""
        items = json.loads(self.kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]
        found = {item["metadata"]["uid"]: part_of(item["metadata"]) for item in items}
        return {uid: part for uid, part in found.items() if part}

    def cpu(self) -> dict[str, float]:
        """The CPU seconds of the node and of each pod until now."""
        return cpu_seconds(self.cluster.engine.docker("exec", self.cluster.node, "sh", "-c", CGROUPS))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that Prometheus returns for an instant query."""
        return alert_receiver.query(self.kubectl, expression)

    def number(self, expression: str) -> float:
        """The only value that Prometheus returns."""
        (series,) = self.query(expression)
        return float(series["value"][1])

    def apply(self, *objects: Mapping[str, Any]) -> None:
        file = self.settings.state / "benchmark.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        self.kubectl("apply", "--server-side", "--filename", file)

    def playbook(self, playbook: str, variables: Mapping[str, Any], *arguments: str) -> None:
        """Run a playbook with variables."""
        file = self.settings.state / "benchmark-variables.json"
        file.write_text(json.dumps(variables))
        run_playbook(self.settings, playbook, "-e", f"@{file}", *arguments)


def part_of(metadata: Mapping[str, Any]) -> str:
    """Whether a pod is the model's server, the gateway's Envoy or one of monitoring."""
    labels = metadata.get("labels") or {}
    if metadata["namespace"] == MODELS_NAMESPACE:
        return "model" if labels.get("serving.kserve.io/inferenceservice") == MODEL else ""
    if metadata["namespace"] == NAMESPACE:
        return NAMESPACE
    return "Envoy" if metadata["name"].startswith("envoy-") else ""


def cpu_seconds(text: str) -> dict[str, float]:
    """The CPU seconds of NODE and of each pod, by UID, in what CGROUPS prints with cgroup v1 or v2."""
    found: dict[str, float] = {}
    for path, microseconds, number in CGROUP.findall(text):
        pod = POD.fullmatch("/" + path.rpartition("/")[2])
        if path in ("", "/cpuacct"):
            name = NODE
        elif pod and not path.startswith("/unified"):
            name = pod[1].replace("_", "-")
        else:
            continue
        found[name] = int(number) / (1e6 if microseconds else 1e9)
    return found


def wait_for(what: str, get: Callable[[], Any]) -> Any:
    """Ask until there is an answer, and return it."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            if found := get():
                return found
        except (LocalError, ValueError):  # the pod is being replaced
            pass
        if time.monotonic() > deadline:
            raise MeasurementError(f"Not within {TIMEOUT_S} s: {what}.")
        time.sleep(POLL_S)


def measure(rounds: int = ROUNDS) -> Report:
    """Measure the demo's model and site.yml with monitoring and without it in turn, then Prometheus and alerts."""
    before = settings.load()
    if before.mode != "Standard":
        raise MeasurementError("HASHFOUNDRY_MODE must be Standard.")
    config = replace(before, monitoring=True)
    names = ("ansible-core", "kubectl", "kserve-manager", "contour", "prometheus", "alertmanager", "kube-state-metrics")
    progress = Progress()
    rows = commands.rows_of(config)
    cluster = commands.up(config, rows, progress)
    versions = tools.ensure().versions(names[:4])
    versions |= {image.program: image.ref.rpartition(":")[2] for image in rows.images if image.program in names[4:]}
    report = Report("monitoring", "What monitoring costs, and how long an alert is on its way", versions)
    monitored = Monitored(cluster)
    settings.save_switches(replace(config, monitoring=False, dashboards=False))
    try:
        demo.run_demo(cluster, progress)
        _alternate(report, monitored, rounds)
        monitored.install(on=True)
        _models(report, monitored)
        _alerts(report, monitored)
    finally:
        settings.save_switches(before)
        run_playbook(before, "playbooks/site.yml")
    return report


def _alternate(report: Report, monitored: Monitored, rounds: int) -> None:
    measured: Values = {}
    for number in range(rounds):
        for tool in (WITH, WITHOUT) if number % 2 else (WITHOUT, WITH):
            monitored.install(tool == WITH)
            for figure, value in _figures(monitored).items():
                measured.setdefault(figure, {}).setdefault(tool, []).append(value)
                print(f"    round {number + 1}, {tool}: {figure}: {value:.3f}", flush=True)
    compared(report, measured)
    report.notes += [
        f"Requests of two rows are sent over TLS to 127.0.0.1:{monitored.settings.https_port} for {LOAD_SECONDS} s. "
        "The CPU time is that of the pods' cgroups; the scrapes and probes within this time are included. "
        "The whole cluster is the node's container, with the requests, the API server and the kubelet.",
        "Monitoring is installed and uninstalled by site.yml, by platform_monitoring. The metrics of the model's "
        "server and of Envoy are always counted: what differs is that somebody reads them.",
    ]


def compared(report: Report, measured: Values) -> None:
    """Add the figures with and without monitoring, those for which there is a limit with it."""
    limits = {"CPU time for each request": CPU_LIMIT, "site.yml again": SITE_LIMIT}
    for figure, values in measured.items():
        unit = "ms" if "requests/s" in figure or "each request" in figure else "s"
        fields: dict[str, Any] = {"unit": unit}
        if figure in limits:
            met = statistics.median(values[WITH]) <= limits[figure] * statistics.median(values[WITHOUT])
            fields |= {"limit": f"at most {limits[figure]} times without", "met": met}
        report.compare(figure, WITH, values, **fields)


def _figures(monitored: Monitored) -> dict[str, float]:
    config = monitored.settings
    to = http_server.server(
        f"https://{MODEL}.{demo.DOMAIN}:{config.https_port}", "https", None, None, "127.0.0.1", proxy="",
        ca_path=str(config.state / "ca.crt"),
    )  # fmt: skip
    pods, before, began = monitored.pods(), monitored.cpu(), time.monotonic()
    result = load_to(to, MODEL, PROTOCOL, MODEST_RATE, LOAD_SECONDS)
    minutes, after = (time.monotonic() - began) / 60, monitored.cpu()
    used = dict.fromkeys(("model", "Envoy", NAMESPACE), 0.0)
    for uid, part in pods.items():
        used[part] += after[uid] - before[uid]
    requests = result["load"]["requests"] + WARMUP
    return {
        "CPU time for each request": 1000 * (used["model"] + used["Envoy"]) / requests,
        "CPU time for each request: the model's server": 1000 * used["model"] / requests,
        "CPU time for each request: Envoy": 1000 * used["Envoy"] / requests,
        "CPU time of the whole cluster in a minute": (after[NODE] - before[NODE]) / minutes,
        "CPU time of monitoring's pods in a minute": used[NAMESPACE] / minutes,
        f"{MODEST_RATE} requests/s: p50": result["latency_ms"]["p50"],
        f"{MODEST_RATE} requests/s: p99": result["latency_ms"]["p99"],
        "site.yml again": site(config),
    }


def _models(report: Report, monitored: Monitored) -> None:
    """Add the series and the memory of Prometheus with the demo's models and with further ones."""
    listed = yaml.safe_load((REPOSITORY / "inventories/local/group_vars/clusters.yml").read_text())["models"]
    further = many(monitored.settings, "s3", FURTHER_MODELS)["models"]
    counts = (len(listed), len(listed) + len(further))
    few = _prometheus(monitored)
    try:
        monitored.playbook("playbooks/site.yml", {"models": listed + further, "model_verification_thresholds": {}})
        most = _prometheus(monitored)
    finally:
        gone = [{"name": model["name"], "state": "absent"} for model in further]
        monitored.playbook("playbooks/site.yml", {"models": listed + gone})
    for figure, unit in (("series", ""), ("memory", "MiB")):
        for count, found in zip(counts, (few, most), strict=True):
            report.rows.append(Row(f"{figure} of Prometheus, {count} models", "Prometheus", found[figure], unit))
    report.rows.append(Row("series of each further model", "Prometheus", [each(few, most, "series")], ""))
    report.rows.append(Row("memory of each further model", "Prometheus", [each(few, most, "memory") * 1024], "KiB"))
    report.rows.append(Row(f"series with the label of {MODEL}", "Prometheus", few["of a model"], ""))
    report.notes.append(
        f"Prometheus is started anew for each number of models, and measured {HEAD_SECONDS} s later: the series are "
        "those of its head (prometheus_tsdb_head_series), the memory is its process_resident_memory_bytes in the last "
        "minute. The platform's own series do not depend on the models; each model adds those of its server, its "
        "cluster in Envoy, its Kubernetes objects and its rules, so the cost grows in proportion to the models. Rules "
        "that are evaluated every five minutes add up to 15 series for each model, which may not be among them yet."
    )


def each(few: Mapping[str, Sequence[float]], most: Mapping[str, Sequence[float]], figure: str) -> float:
    """What one of the further models adds."""
    return (statistics.median(most[figure]) - statistics.median(few[figure])) / FURTHER_MODELS


def _prometheus(monitored: Monitored) -> dict[str, list[float]]:
    monitored.kubectl("delete", "pod", PROMETHEUS_POD, "--namespace", NAMESPACE)
    wait_for("Prometheus answers", lambda: monitored.query("up"))
    time.sleep(HEAD_SECONDS)
    resident = monitored.query('process_resident_memory_bytes{job="prometheus-operated"}[1m]')[0]["values"]
    found = {
        "series": [monitored.number('prometheus_tsdb_head_series{job="prometheus-operated"}')],
        "memory": [float(value) / 2**20 for _at, value in resident],
        "of a model": [monitored.number(f'count({{__name__!="",model="{MODEL}"}})')],
    }
    print(f"    Prometheus: {found}", flush=True)
    return found


def _alerts(report: Report, monitored: Monitored) -> None:
    """Add the seconds of alerts, each of a group of its own, from the sample that makes it true to the receiver."""

    def kubectl(*words: str, check: bool = True) -> str:
        del check  # a failure ends the benchmark
        return monitored.kubectl(*words)

    def firing() -> dict[str, float]:
        return arrivals(receiver.alerts("critical", "firing"))

    with (
        alert_receiver.receiver(kubectl, monitored.settings.state, ALERTS_NAMESPACE) as receiver,
        _routed(monitored, receiver.url),
    ):
        monitored.apply(*quotas(1), _rules())
        interval = wait_for("Prometheus has the rules", lambda: _interval(monitored))
        time.sleep(SETTLE_SECONDS)
        monitored.apply(*quotas(9))
        wait_for("each alert arrives", lambda: len(firing()) == ALERTS)
        series = monitored.query(f'kube_resourcequota{{namespace="{ALERTS_NAMESPACE}",type="hard"}}[15m]')
        seconds = delays(series, firing())
    limit = 2 * interval + GROUP_WAIT_S
    figure = "an alert, from its expression becoming true to its arrival"
    report.rows.append(Row(figure, "Alertmanager", seconds, "s", f"at most {limit:g} s", max(seconds) <= limit))
    report.notes.append(
        f"{ALERTS} alerts of as many groups of rules, which Prometheus evaluates every {interval:g} s at different "
        "moments. The expression becomes true with the first scraped sample that meets it, and has no `for`, which "
        f"would add to the time. The threshold is two evaluation intervals and the group_wait of {GROUP_WAIT_S} s. "
        "Before it, up to one scrape interval passes until the fault is seen."
    )


@contextmanager
def _routed(monitored: Monitored, url: str) -> Iterator[None]:
    """Alertmanager sends the benchmark's alerts to a URL."""
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ALERTS_NAMESPACE}}}
    receivers = [{"name": "none"}, {"name": ALERTS_NAMESPACE, "webhook_configs": [{"url": url}]}]
    variables = {
        "monitoring_receivers": receivers,
        "monitoring_route": ROUTE,
        "namespace_security_alert_receivers": [{"to": [peer], "port": alert_receiver.PORT}],
    }
    tags = ("--tags", "cluster_preflight,namespace_security,monitoring")
    try:
        monitored.playbook("playbooks/addons.yml", variables, *tags)
        wait_for("Alertmanager has the receiver", lambda: ALERTS_NAMESPACE in monitored.kubectl(
            "get", "--raw", ALERTMANAGER))  # fmt: skip
        yield
    finally:
        monitored.playbook("playbooks/addons.yml", {}, *tags)


def quotas(hard: int) -> list[dict[str, Any]]:
    """A ResourceQuota for each alert, with this limit."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": f"alert-{number}", "namespace": ALERTS_NAMESPACE},
            "spec": {"hard": {"count/cronjobs.batch": str(hard)}},
        }
        for number in range(ALERTS)
    ]


def _rules() -> dict[str, Any]:
    def group(name: str) -> dict[str, Any]:
        where = f'namespace="{ALERTS_NAMESPACE}",resourcequota="{name}",type="hard"'
        labels = {"severity": "critical", "namespace": ALERTS_NAMESPACE, "model": name}
        alert = {"alert": "Benchmark", "expr": f"kube_resourcequota{{{where}}} > 5", "labels": labels}
        return {"name": f"{ALERTS_NAMESPACE}-{name}", "rules": [alert]}

    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": ALERTS_NAMESPACE, "namespace": ALERTS_NAMESPACE},
        "spec": {"groups": [group(f"alert-{number}") for number in range(ALERTS)]},
    }


def _interval(monitored: Monitored) -> float:
    """The evaluation interval of the benchmark's rules, 0 until Prometheus has loaded them."""
    answer = json.loads(monitored.kubectl("get", "--raw", f"{alert_receiver.PROMETHEUS}/rules?type=alert"))
    groups = [group for group in answer["data"]["groups"] if group["name"].startswith(ALERTS_NAMESPACE)]
    return float(groups[0]["interval"]) if len(groups) == ALERTS else 0.0


def arrivals(notifications: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """When each alert arrived first, by its label `model`; the oldest notification is the first."""
    found: dict[str, float] = {}
    for notification in notifications:
        for alert in notification["alerts"]:
            found.setdefault(alert["labels"]["model"], notification["at"])
    return found


def delays(series: Sequence[Mapping[str, Any]], arrived: Mapping[str, float]) -> list[float]:
    """The seconds from the first sample above 5 of each ResourceQuota to the arrival of its alert."""
    found = []
    for one in series:
        name = one["metric"]["resourcequota"]
        true = next(float(at) for at, value in one["values"] if float(value) > 5)
        found.append(arrived[name] - true)
    return found
