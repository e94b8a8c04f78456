# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring on a real cluster: what Prometheus scrapes, and the whole way of an alert to a receiver."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local import demo
from local.settings import Settings

from . import alert_receiver
from .alert_receiver import Receiver, query, targets
from .conftest import Playbook, reason
from .helpers import objects, one_line, wait_until

Json = dict[str, Any]
Kubectl = Callable[..., str]
PLACE = "alert-test"
EXISTING = "existing-prometheus"
TOKEN = "planted-token"
HOST = f"prometheus.{demo.DOMAIN}"
PASSWORD = "planted-password"
# What the namespace itself has, and the kubelets.
JOBS = {"prometheus-operator", "prometheus-operated", "alertmanager-operated", "kube-state-metrics", "kubelet"}


def test_every_target_is_scraped(kubectl: Kubectl) -> None:
    def missing() -> list[str]:
        found = targets(kubectl)
        jobs = {target["labels"]["job"] for target in found}
        down = [f"{target['scrapeUrl']}: {target['lastError']}" for target in found if target["health"] != "up"]
        return [*(f"no target of {job}" for job in sorted(JOBS - jobs)), *down]

    wait_until(missing, lambda faults: not faults, 180, pause=2, what="each target is up")


def test_each_model_has_its_state_as_series(kubectl: Kubectl) -> None:
    for model in demo.QUESTIONS:
        ready = f'kserve_inferenceservice_condition{{model="{model}",type="Ready"}} == 1'
        wait_until(lambda expression=ready: query(kubectl, expression), what=f"{model} is Ready in Prometheus")
        [info] = query(kubectl, f'kserve_inferenceservice_info{{model="{model}"}}')
        live = json.loads(kubectl("get", "inferenceservice", model, "-n", "ml-models", "-o", "json"))
        assert info["metric"]["version"] == live["metadata"]["labels"]["kserve.hashfoundry.io/version"]
        assert info["metric"]["digest"] == live["metadata"]["annotations"]["kserve.hashfoundry.io/digest"]
        pods = f'kube_pod_labels{{label_serving_kserve_io_inferenceservice="{model}"}}'
        assert query(kubectl, pods), pods
        used = f'container_memory_working_set_bytes{{namespace="ml-models",pod=~"{model}-predictor-.*"}}'
        wait_until(lambda expression=used: query(kubectl, expression), what=f"{used} has series")


def test_a_whole_cluster_has_a_bounded_number_of_series(kubectl: Kubectl) -> None:
    """What is scraped of the platform itself; the kubelets alone would have thousands."""
    by_job = {one["metric"]["job"]: int(one["value"][1]) for one in query(kubectl, 'count by (job) ({__name__!=""})')
              if "job" in one["metric"]}  # fmt: skip
    print(by_job)
    assert by_job["kubelet-cadvisor"] < 1000 and by_job["kube-state-metrics"] < 6000


def test_the_pods_keep_to_the_strictest_standard(kubectl: Kubectl) -> None:
    [space] = [one for one in objects(kubectl, "namespaces") if one["metadata"]["name"] == "monitoring"]
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {pod["status"]["phase"] for pod in objects(kubectl, "pods", "-n", "monitoring")} == {"Running"}


@pytest.mark.parametrize("resource", ["secrets", "configmaps", "deployments"])
@pytest.mark.parametrize("account", ["prometheus", "alertmanager", "kube-state-metrics"])
def test_no_account_of_it_reads_what_it_does_not_need(kubectl: Kubectl, account: str, resource: str) -> None:
    words = ("auth", "can-i", "get", resource, "-n", "ml-models", "--as", f"system:serviceaccount:monitoring:{account}")
    assert kubectl(*words, check=False).strip() == "no"


def test_a_second_run_changes_nothing(playbook: Playbook) -> None:
    """Before the tests with other receivers, which the last of them resets."""
    result = playbook("playbooks/addons.yml")
    assert result.returncode == 0, reason(result)
    assert "changed=0" in result.stdout


@pytest.fixture(scope="module")
def inbox(kubectl: Kubectl, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver to which site.yml routes the alerts of a namespace, with the token of a Secret."""
    folder = tmp_path_factory.mktemp("alerts")
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": PLACE}}}
    credentials = {"secret": {"name": "alert-test", "key": "token"}}
    with alert_receiver.receiver(kubectl, folder, PLACE) as receiver:
        webhook = {"url": receiver.url, "http_config": {"authorization": {"credentials": credentials}}}
        variables = {
            "monitoring_receivers": [{"name": "none"}, {"name": "test", "webhook_configs": [webhook]}],
            "monitoring_route": {
                "receiver": "none",
                "group_by": ["alertname", "severity"],
                "routes": [
                    {
                        "receiver": "test",
                        "matchers": [f'namespace="{PLACE}"'],
                        **{"group_wait": "1s", "group_interval": "5s", "repeat_interval": "1h"},
                    }
                ],
            },
            "namespace_security_alert_receivers": [{"to": [peer], "port": alert_receiver.PORT}],
            "monitoring_prometheus_host": HOST,
            "monitoring_prometheus_users_secret": "prometheus-users",
        }
        file = folder / "variables.json"
        file.write_text(json.dumps(variables))
        tags = ("--tags", "cluster_preflight,namespace_security,monitoring")
        try:
            kubectl("create", "secret", "generic", "alert-test", "-n", "monitoring", f"--from-literal=token={TOKEN}")
            digest = b64encode(hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).digest()).decode()
            users = f"--from-literal=htpasswd=ann:{{SHA}}{digest}"
            kubectl("create", "secret", "generic", "prometheus-users", "-n", "monitoring", users)
            first = playbook("playbooks/addons.yml", *tags, "-e", f"@{file}")
            assert first.returncode == 0, reason(first)
            assert TOKEN not in first.stdout
            for name in ("prometheus-prometheus", "alertmanager-alertmanager"):
                words = ("rollout", "status", f"statefulset/{name}", "-n", "monitoring", "--timeout=20s")
                wait_until(partial(kubectl, *words, check=False), lambda printed: "complete" in printed, 180, pause=2)
            yield receiver
        finally:
            kubectl("delete", "prometheusrule", "alert-test", "-n", PLACE, "--ignore-not-found")
            last = playbook("playbooks/addons.yml", *tags)
            kubectl("delete", "secret", "alert-test", "prometheus-users", "-n", "monitoring", "--ignore-not-found")
            assert last.returncode == 0, reason(last)
            # What had exposed Prometheus is gone with its host name.
            found = objects(kubectl, "deployments,services,configmaps,httproutes", "-n", "monitoring")
            assert not [one["metadata"]["name"] for one in found if "proxy" in one["metadata"]["name"]]
            assert not [one for one in found if one["kind"] == "HTTPRoute" and one["metadata"]["name"] == "prometheus"]


@pytest.mark.usefixtures("inbox")
def test_an_exposed_prometheus_answers_its_users_only(settings: Settings) -> None:
    authority = f"{HOST}:{settings.https_port}"
    command = ["curl", "--silent", "--cacert", str(settings.state / "ca.crt"), "--write-out", "\n%{http_code}"]
    command += ["--resolve", f"{authority}:127.0.0.1", f"https://{authority}/api/v1/query?query=up"]

    def answer(*words: str) -> tuple[str, str]:
        result = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        body, _newline, code = result.stdout.rpartition("\n")
        return code, body

    # The gateway may need a moment for the new route.
    wait_until(lambda: answer()[0], lambda code: code == "401", 60, pause=1, what="Prometheus asks for credentials")
    assert answer("--user", "ann:wrong")[0] == "401"
    # The operator may still replace the pod, whose external URL has changed.
    user = ("--user", f"ann:{PASSWORD}")
    _code, body = wait_until(partial(answer, *user), lambda found: found[0] == "200", 120, pause=1, what="it answers")
    assert json.loads(body)["data"]["result"]


def quota(kubectl: Kubectl, folder: Path, critical: bool, warning: bool) -> None:
    """Two ResourceQuotas, whose limits are above 5 or not: what the rules of the test alert on."""
    things = [
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": name, "namespace": PLACE},
            "spec": {"hard": {"count/cronjobs.batch": "9" if above else "1"}},
        }
        for name, above in (("critical", critical), ("warning", warning))
    ]
    file = folder / "quotas.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": things}))
    kubectl("apply", "--filename", str(file))


def rules(kubectl: Kubectl, folder: Path) -> None:
    """An alert in each severity about one model, and Prometheus has loaded them."""

    def alert(severity: str) -> Json:
        series = f'kube_resourcequota{{namespace="{PLACE}",resourcequota="{severity}",type="hard"}} > 5'
        labels = {"severity": severity, "namespace": PLACE, "model": "probe"}
        return {"alert": "TestAlert", "expr": series, "labels": labels}

    groups = [{"name": "alert-test", "interval": "5s", "rules": [alert("critical"), alert("warning")]}]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "alert-test", "namespace": PLACE},
        "spec": {"groups": groups},
    }
    file = folder / "rules.json"
    file.write_text(json.dumps(rule))
    kubectl("apply", "--filename", str(file))

    def loaded() -> bool:
        answer = json.loads(kubectl("get", "--raw", f"{alert_receiver.PROMETHEUS}/rules?type=alert"))
        return any(group["name"] == "alert-test" for group in answer["data"]["groups"])

    wait_until(loaded, seconds=180, pause=2, what="Prometheus has the rules of the test")


def test_an_alert_arrives_inhibits_and_is_resolved(kubectl: Kubectl, inbox: Receiver, tmp_path: Path) -> None:
    quota(kubectl, tmp_path, critical=False, warning=False)
    rules(kubectl, tmp_path)
    quota(kubectl, tmp_path, critical=True, warning=True)
    arrived = inbox.await_alert("critical", "firing")
    # The credentials came from the Secret.
    assert arrived["authorization"] == f"Bearer {TOKEN}"
    labels = arrived["alerts"][0]["labels"]
    assert (labels["severity"], labels["model"], labels["namespace"]) == ("critical", "probe", PLACE)
    # The warning fires, too, and is not sent while the critical alert of its model fires.
    fires = 'ALERTS{alertname="TestAlert",severity="warning",alertstate="firing"}'
    wait_until(lambda: query(kubectl, fires), what="the warning fires")
    time.sleep(15)  # three group intervals
    assert inbox.alerts("warning", "firing") == []
    quota(kubectl, tmp_path, critical=False, warning=True)
    inbox.await_alert("critical", "resolved")
    inbox.await_alert("warning", "firing")
    quota(kubectl, tmp_path, critical=False, warning=False)
    inbox.await_alert("warning", "resolved")
    # Each notification was sent once.
    assert len(inbox.alerts("critical", "firing")) == 1


@pytest.fixture
def existing(kubectl: Kubectl, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Set the selectors of a Prometheus of another team, which runs no pod, in a namespace of its own."""
    metadata = {"name": "theirs", "namespace": EXISTING}
    file = tmp_path / "existing.json"

    def write(**selectors: Json) -> None:
        spec = {"paused": True, "replicas": 0, **selectors}
        things = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": EXISTING}},
            {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": metadata, "spec": spec},
        ]
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": things}))
        kubectl("apply", "--filename", str(file))

    try:
        yield write
    finally:
        kubectl("delete", "prometheus", "theirs", "-n", EXISTING, "--ignore-not-found")
        kubectl("delete", "namespace", EXISTING, "--ignore-not-found", "--wait=false")


def test_the_labels_of_an_existing_prometheus(
    playbook: Playbook, existing: Callable[..., None], kubectl: Kubectl
) -> None:
    """As kube-prometheus-stack installs it: it selects by the label of its Helm release."""
    run = ("playbooks/addons.yml", "--tags", "monitoring", "-e", "platform_monitoring=existing")
    run += ("-e", f"platform_monitoring_namespace={EXISTING}")
    release = {"matchLabels": {"release": "stack"}}
    selectors = {f"{kind}Selector": release for kind in ("serviceMonitor", "podMonitor", "rule")}
    everywhere = {f"{kind}NamespaceSelector": {} for kind in ("serviceMonitor", "podMonitor", "rule")}
    existing(**selectors, **everywhere)
    found = playbook(*run)
    assert found.returncode == 0, reason(found)
    assert f"Prometheus {EXISTING}/theirs selects objects with the labels" in one_line(found.stdout)
    assert "release" in found.stdout and "changed=0" in found.stdout
    existing(**selectors)  # of its own namespace only
    failed = playbook(*run)
    assert failed.returncode != 0 and "(MonitoringSelectorNotMet)" in failed.stdout, reason(failed)
    kubectl("delete", "prometheus", "theirs", "-n", EXISTING)
    missing = playbook(*run)
    assert missing.returncode != 0 and "(PrometheusNotFound)" in missing.stdout, reason(missing)
