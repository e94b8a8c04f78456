# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault on a real cluster fires its alert, and the commands of its section in the runbook find and mend it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.settings import REPOSITORY

from .alert_receiver import firing, query
from .helpers import objects, python_container, wait_until

Json = dict[str, Any]
Kubectl = Callable[..., str]
PLACE = "ml-models"
RUNBOOK = REPOSITORY / "docs" / "docsite" / "rst" / "runbook.rst"
KSERVE = "kserve-controller-manager"
SERVICE = "kserve-webhook-server-service"
# Each with its further labels.
ALERTS = {
    "ModelNotReady": {"model": "crashing", "severity": "critical"},
    "ModelLoadFailed": {"model": "crashing"},
    "PodCrashLooping": {"model": "crashing"},
    "JobFailed": {"job_name": "batch-inference-broken"},
    "WebhookWithoutEndpoints": {"namespace": "kserve", "service": SERVICE, "severity": "critical"},
}
OF_MODELS = [alert for alert in ALERTS if alert != "WebhookWithoutEndpoints"]


def container(kubectl: Kubectl, name: str) -> Json:
    """A container that fails."""
    resources = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    return python_container(kubectl, name, "raise SystemExit('broken on purpose')", resources=resources)


def broken(kubectl: Kubectl) -> list[Json]:
    """A model whose server crashes, and a Job that fails."""
    job = {"restartPolicy": "Never", "containers": [container(kubectl, "batch")]}
    return [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": "crashing",
                "namespace": PLACE,
                "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
            },
            "spec": {"predictor": {"containers": [container(kubectl, "kserve-container")]}},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "batch-inference-broken", "namespace": PLACE},
            "spec": {"backoffLimit": 0, "template": {"spec": job}},
        },
    ]


def commands(alert: str, **values: str) -> list[list[str]]:
    """The kubectl commands of a section of the runbook, with these values in the place of what it leaves open."""
    text = RUNBOOK.read_text()
    section = re.search(rf"^{alert}\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, alert
    found = re.findall(r"^ +\$ (kubectl (?:.*\\\n)*.*)$", section[1], re.MULTILINE)
    assert found, alert
    lines = [line.replace("\\\n", " ") for line in found]
    for name, value in values.items():
        lines = [line.replace(f"<{name}>", value).replace(f"${name}", value) for line in lines]
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture(scope="module")
def trouble(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The model and the Job are broken."""
    file = tmp_path_factory.mktemp("broken") / "broken.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": broken(kubectl)}))
    kubectl("apply", "--server-side", "--filename", str(file))
    try:
        condition = f'kserve_inferenceservice_condition{{namespace="{PLACE}",model="crashing",type="Ready"}} == 0'
        wait_until(lambda: query(kubectl, condition), seconds=180, pause=2, what="Prometheus has the broken model")
        loads = 'kserve_inferenceservice_transition{model="crashing",status="BlockedByFailedLoad"} == 1'
        wait_until(lambda: query(kubectl, loads), seconds=240, pause=2, what="KServe has seen that it crashes")
        yield
    finally:
        kubectl("delete", "--filename", str(file), "--ignore-not-found", "--request-timeout=0")


@pytest.fixture(scope="module")
def unserved(kubectl: Kubectl, trouble: None) -> Iterator[None]:
    """KServe's controller is scaled to zero, too."""
    kubectl("scale", "deployment", "-n", "kserve", KSERVE, "--replicas=0")
    try:
        yield
    finally:
        kubectl("scale", "deployment", "-n", "kserve", KSERVE, "--replicas=1")
        kubectl("rollout", "status", "-n", "kserve", f"deployment/{KSERVE}", "--timeout=120s", "--request-timeout=0")


@pytest.mark.parametrize("alert", OF_MODELS)
def test_a_fault_fires_its_alert(alert: str, kubectl: Kubectl, trouble: None) -> None:
    wait_until(lambda: firing(kubectl, alert, **ALERTS[alert]), seconds=600, pause=5, what=f"{alert} fires")


@pytest.mark.parametrize("alert", OF_MODELS)
def test_the_commands_of_the_runbook_answer(alert: str, kubectl: Kubectl, trouble: None) -> None:
    [pod] = objects(kubectl, "pods", "-n", PLACE, "-l", "serving.kserve.io/inferenceservice=crashing")
    values = {"namespace": PLACE, "model": "crashing", "pod": pod["metadata"]["name"]}
    values |= {"container": "kserve-container", "job_name": "batch-inference-broken"}
    # The model has no storage-initializer.
    answers = [kubectl(*words) for words in commands(alert, **values) if "storage-initializer" not in words]
    if alert != "ModelNotReady":
        assert "broken on purpose" in "".join(answers)


def test_the_runbook_mends_a_webhook_without_endpoints(kubectl: Kubectl, unserved: None) -> None:
    webhook = "WebhookWithoutEndpoints"
    wait_until(lambda: firing(kubectl, webhook, **ALERTS[webhook]), seconds=600, pause=5, what="the alert fires")
    for words in commands(webhook, namespace="kserve", service=SERVICE, deployment=KSERVE):
        kubectl(*words)
    wait_until(lambda: firing(kubectl, webhook, **ALERTS[webhook]), lambda found: not found, 180, pause=2,
               what="the alert ends")  # fmt: skip


def test_the_alerts_end_with_what_was_broken(kubectl: Kubectl, trouble: None) -> None:
    kubectl("delete", "job", "batch-inference-broken", "-n", PLACE)
    kubectl("delete", "inferenceservice", "crashing", "-n", PLACE, "--request-timeout=0")

    def still() -> list[str]:
        return [alert for alert in OF_MODELS if firing(kubectl, alert, **ALERTS[alert])]

    wait_until(still, lambda found: not found, 420, pause=5, what="no alert fires")
