# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""status.yml and verify.yml on a real cluster with Prometheus: what they report, and what they fail with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import demo
from local.settings import Settings

from .conftest import Kubectl, Playbook, reason
from .helpers import one_line, wait_until

Json = dict[str, Any]
Status = Callable[..., Json]
PLACE = "ml-models"
MODELS = sorted(demo.QUESTIONS)
SLOS = ["availability", "latency_p95", "latency_p99"]
VERIFY = ("playbooks/verify.yml", "--tags", "platform_status")


@pytest.fixture
def status(playbook: Playbook, tmp_path: Path) -> Status:
    """Run status.yml and return the document that it writes, with what it prints as `printed`."""

    def run(*words: str) -> Json:
        file = tmp_path / "status.json"
        result = playbook("playbooks/status.yml", "-e", f"status_file={file}", *words)
        assert result.returncode == 0 and "changed=0" in result.stdout, reason(result)
        message = result.stdout.partition("msg:")[2].partition("PLAY RECAP")[0]
        assert max(map(len, message.splitlines())) <= 120
        document: Json = json.loads(file.read_text())
        return {**document, "printed": message}

    return run


def models(document: Json) -> dict[str, Json]:
    return {model["name"]: model for model in document["models"] if model["name"] in MODELS}


def test_each_model_has_its_version_replicas_and_objectives(status: Status, kubectl: Kubectl) -> None:
    # The rules have been evaluated for the first time some minutes after the installation.
    found = wait_until(
        lambda: models(status()),
        lambda rows: all(row["scraped"] and len(row["slo"] or ()) == len(SLOS) for row in rows.values()),
        420,
        pause=5,
        what="each model has series and objectives",
    )
    assert sorted(found) == MODELS
    for name, row in found.items():
        live = json.loads(kubectl("get", "inferenceservice", name, "-n", PLACE, "-o", "json"))["metadata"]
        assert row["version"] == live["labels"]["kserve.hashfoundry.io/version"]
        assert row["digest"] == live["annotations"]["kserve.hashfoundry.io/digest"]
        assert row["verdict"] == "serving" and row["replicas"]["ready"] == row["replicas"]["wanted"] >= 1
        assert [slo["name"] for slo in row["slo"]] == SLOS
        assert all(0 < slo["objective"] < 1 and slo["error_budget_remaining"] is not None for slo in row["slo"])
        assert row["slo"][1]["threshold_seconds"] > 0


def test_the_platform_and_its_monitoring_are_in_it(status: Status) -> None:
    document = status()
    pods = {space["name"]: (space["ready"], space["pods"]) for space in document["namespaces"]}
    assert pods["monitoring"][0] == pods["monitoring"][1] >= 4 and pods["kserve"][0] >= 1
    assert document["components"]["kserve"]["installed"] and document["prometheus"]["state"] == "answers"
    assert document["prometheus"]["clock_difference"] is None
    for word in ("MODEL", "BUDGET", *MODELS, "Pods: ", "Monitoring: "):
        assert word in document["printed"]


@contextmanager
def forwarded(settings: Settings) -> Iterator[str]:
    """The URL of Prometheus behind kubectl port-forward."""
    words = ["port-forward", "-n", "monitoring", "service/prometheus-operated", ":9090"]
    command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()  # Forwarding from 127.0.0.1:12345 -> 9090
            yield f"http://{line.split()[2]}"
        finally:
            process.terminate()


def test_prometheus_is_asked_at_a_url_over_plain_http(status: Status, settings: Settings) -> None:
    with forwarded(settings) as url:
        document = status("-e", f"platform_prometheus_url={url}")
    assert document["prometheus"]["place"] == f"Prometheus at {url}"
    assert document["prometheus"]["state"] == "answers"
    assert all(row["scraped"] is True for row in models(document).values())


@pytest.mark.parametrize(
    ("service", "says"),
    [
        ("http:prometheus-of-nobody:9090", "The Service monitoring/prometheus-of-nobody of Prometheus was not found"),
        ("http:prometheus-operated:1", "Prometheus behind the Service monitoring/prometheus-operated does not answer"),
        ("http:alertmanager-operated:9093", "instead of the result of a query; check that it is Prometheus"),
    ],
    ids=["no Service", "no port", "another server"],
)
def test_without_prometheus_everything_of_the_cluster_is_there(
    status: Status, playbook: Playbook, service: str, says: str
) -> None:
    words = ("-e", f"platform_status_prometheus_service={service}")
    document = status(*words)
    assert [problem for problem in document["problems"] if says in problem], document["problems"]
    assert document["prometheus"]["state"] == "unreachable" and document["alerts"] is None
    for row in models(document).values():
        assert (row["verdict"], row["slo"], row["scraped"]) == ("serving", None, None) and row["version"]
    result = playbook(*VERIFY, *words, "-e", "platform_status_series_retry_for=0")
    assert result.returncode != 0 and says in one_line(result.stdout)


def test_without_monitoring_it_is_not_asked_for(status: Status) -> None:
    document = status("-e", "platform_monitoring=absent")
    assert document["prometheus"] is None and document["alerts"] == []
    assert all(row["slo"] == [] for row in models(document).values())


def test_the_deployer_account_may_read_it(playbook: Playbook, status: Status, settings: Settings) -> None:
    made = playbook("playbooks/account.yml")
    assert made.returncode == 0, reason(made)
    account = ("-e", f"platform_kubeconfig={settings.state / 'deployer.kubeconfig'}")
    document = status(*account)
    assert document["prometheus"]["state"] == "answers" and sorted(models(document)) == MODELS
    verified = playbook(*VERIFY, *account)
    assert verified.returncode == 0, reason(verified)


POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "status-probe", "namespace": "hashfoundry-system"},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "probe",
                "image": "hashfoundry.local/nothing:none",
                "imagePullPolicy": "Never",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    },
}


@pytest.fixture
def broken_pod(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A pod in a namespace of the platform whose image does not exist."""
    file = tmp_path / "pod.json"
    file.write_text(json.dumps(POD))
    kubectl("apply", "-f", str(file))
    try:
        yield "hashfoundry-system/status-probe"
    finally:
        kubectl("delete", "-f", str(file), "--wait=true", "--ignore-not-found")


def test_verify_fails_for_a_pod_of_the_platform_that_does_not_run(
    playbook: Playbook, status: Status, broken_pod: str
) -> None:
    result = playbook(*VERIFY, "-e", "platform_status_pods_retry_for=10")
    printed = one_line(result.stdout)
    assert result.returncode != 0 and f"Pod {broken_pod} does not run: The image of container probe" in printed
    assert "(PodsNotRunning)" in printed
    document = status()
    assert not document["well"] and any(broken_pod in problem for problem in document["problems"])


def test_verify_fails_for_a_model_without_series(playbook: Playbook, status: Status, kubectl: Kubectl) -> None:
    model = MODELS[0]
    kubectl("delete", "servicemonitor", model, "-n", PLACE)
    try:
        # The kubelet writes the new configuration within a minute and a half, and the reloader looks at it each three
        # minutes. A query returns the last sample of a removed target for another five.
        wait_until(
            lambda: models(status())[model], lambda row: row["scraped"] is False, 660, pause=5, what="it is not scraped"
        )
        result = playbook(*VERIFY, "-e", "platform_status_series_retry_for=0")
        printed = one_line(result.stdout)
        assert result.returncode != 0 and f"Model {PLACE}/{model}: Prometheus has no series of it" in printed
        assert "(SeriesMissing)" in printed and f"Model {PLACE}/{MODELS[1]}: Prometheus has no series" not in printed
    finally:
        restored = playbook("playbooks/serving.yml", "--tags", "cluster_preflight,model_monitoring")
    assert restored.returncode == 0, reason(restored)
    # It waits for the first series.
    verified = playbook(*VERIFY)
    assert verified.returncode == 0, reason(verified)
