# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that fire an alert only after they have lasted for up to fifteen minutes. All are there at the same time; the
commands of the runbook find them, and what it says mends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local import demo

from .alert_receiver import firing
from .conftest import Playbook, reason
from .helpers import objects, python_container, wait_until
from .test_monitoring_alerts import PLACE, commands

Json = dict[str, Any]
Kubectl = Callable[..., str]
SLOW, VANISHED = "slow-start", "vanished"
CHURN, IRIS = "churn-classifier", "iris-classifier"
DIGEST = "kserve.hashfoundry.io/digest"
QUOTA = "lasting-fault"
KSERVE_JOB = "kserve-controller-manager-metrics-service"
# Each with its further labels. The model that does not start has a target that refuses, and an autoscaler without
# metrics, since the local cluster has no metrics-server.
ALERTS = {
    "ModelStateMissing": {"namespace": PLACE, "model": VANISHED},
    "ModelWrongDigest": {"namespace": PLACE, "model": CHURN},
    "ModelLoadingSlow": {"namespace": PLACE, "model": SLOW},
    "ModelMetricsMissing": {"namespace": PLACE, "model": IRIS},
    "AutoscalerAtMaximum": {"namespace": PLACE, "model": SLOW},
    "AutoscalerUnable": {"namespace": PLACE, "model": SLOW},
    "ResourceQuotaNearlyFull": {"namespace": PLACE, "resourcequota": QUOTA},
    "ScrapeTargetDown": {"namespace": PLACE, "service": f"{SLOW}-predictor"},
    "ScrapeTargetMissing": {"namespace": "kserve", "job": KSERVE_JOB},
}
# The longest `for` is fifteen minutes, and Prometheus has a removed target for up to ten.
LASTING = 1500


def broken(kubectl: Kubectl) -> list[Json]:
    """A model whose server never becomes ready, with an autoscaler, and a ResourceQuota without room."""
    container = python_container(
        kubectl,
        "kserve-container",
        "import signal; signal.pause()",
        ports=[{"containerPort": 8080, "protocol": "TCP"}],
        readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 5},
        resources={"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
    )
    annotations = {"serving.kserve.io/deploymentMode": "Standard"}
    return [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": SLOW, "namespace": PLACE, "annotations": annotations},
            "spec": {"predictor": {"containers": [container], "minReplicas": 1, "maxReplicas": 2}},
        },
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": QUOTA, "namespace": PLACE},
            "spec": {"hard": {"count/configmaps": str(len(objects(kubectl, "configmaps", "-n", PLACE)))}},
        },
    ]


@pytest.fixture(scope="module")
def trouble(kubectl: Kubectl, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("lasting")
    (folder / "broken.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": broken(kubectl)}))
    entry = {"version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
    listed = [{"name": name, **entry} for name in (*demo.QUESTIONS, SLOW, VANISHED)]
    (folder / "models.json").write_text(json.dumps({"model_monitoring_models": listed}))
    try:
        kubectl("apply", "--server-side", "--filename", str(folder / "broken.json"))
        tags = ("--tags", "cluster_preflight,model_monitoring")
        result = playbook("playbooks/serving.yml", *tags, "-e", f"@{folder / 'models.json'}")
        assert result.returncode == 0, reason(result)
        kubectl("delete", "servicemonitor", IRIS, "-n", PLACE)
        kubectl("delete", "servicemonitor", "kserve-controller", "-n", "kserve")
        kubectl("annotate", "inferenceservice", CHURN, "-n", PLACE, "--overwrite", f"{DIGEST}=sha256:{'0' * 64}")
        # The autoscaler has no metrics, but corrects a number above its maximum, and goes on wanting that.
        wait_until(lambda: SLOW in kubectl("get", "hpa", "-n", PLACE), what="the model has an autoscaler")
        kubectl("scale", "deployment", f"{SLOW}-predictor", "-n", PLACE, "--replicas=3")
        yield
    finally:
        kubectl("delete", "--filename", str(folder / "broken.json"), "--ignore-not-found", "--request-timeout=0")
        kubectl("annotate", "inferenceservice", CHURN, "-n", PLACE, f"{DIGEST}-")
        last = playbook("playbooks/serving.yml")
        assert last.returncode == 0, reason(last)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_lasting_fault_fires_its_alert(alert: str, kubectl: Kubectl, trouble: None) -> None:
    wait_until(lambda: firing(kubectl, alert, **ALERTS[alert]), seconds=LASTING, pause=5, what=f"{alert} fires")


# What a command of the section says about the fault.
@pytest.mark.parametrize(
    ("alert", "says"),
    [
        ("ModelStateMissing", "kube-state-metrics"),  # which runs, so that it is the model which is missing
        ("ModelWrongDigest", f"sha256:{'0' * 64}"),
        ("ModelLoadingSlow", "Readiness probe failed"),
        ("ModelMetricsMissing", f"servicemonitor.monitoring.coreos.com/{CHURN}"),
        ("AutoscalerAtMaximum", f"{SLOW}-predictor"),
        ("AutoscalerUnable", "FailedGetResourceMetric"),
        ("ResourceQuotaNearlyFull", "count/configmaps"),
        ("ScrapeTargetMissing", "kserve-controller-manager"),
    ],
)
def test_the_commands_of_the_runbook_find_the_fault(alert: str, says: str, kubectl: Kubectl, trouble: None) -> None:
    labels = {"model": "", **ALERTS[alert]}
    reads = [words for words in commands(alert, **labels) if words[0] not in ("annotate", "logs")]
    found = [kubectl(*words, check=False) for words in reads]
    assert says in "".join(found), found


def test_the_runbook_mends_them(kubectl: Kubectl, playbook: Playbook, trouble: None) -> None:
    kubectl("delete", "resourcequota", QUOTA, "-n", PLACE)
    kubectl("delete", "inferenceservice", SLOW, "-n", PLACE, "--request-timeout=0")
    kubectl(*commands("ModelWrongDigest", namespace=PLACE, model=CHURN)[-1])
    # It restores the ServiceMonitors and the digest, and monitors the models of the list.
    result = playbook("playbooks/serving.yml")
    assert result.returncode == 0, reason(result)

    def still() -> list[str]:
        return [alert for alert, labels in ALERTS.items() if firing(kubectl, alert, **labels)]

    wait_until(still, lambda found: not found, 600, pause=5, what="no alert fires")
