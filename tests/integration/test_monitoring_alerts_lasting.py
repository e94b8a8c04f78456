# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that fire an alert only after they have lasted for up to fifteen minutes. All are there at the same time; the
commands of the runbook find them, and what it says mends them."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local import demo

from .alert_receiver import firing, query
from .conftest import Playbook, reason
from .helpers import objects, python_container, wait_until
from .test_monitoring_alerts import PLACE, commands

Json = dict[str, Any]
Kubectl = Callable[..., str]
SLOW, VANISHED = "slow-start", "vanished"
CHURN, IRIS = "churn-classifier", "iris-classifier"
DIGEST = "kserve.hashfoundry.io/digest"
QUOTA = "lasting-fault"
GATEWAY, TLS_SECRET = "projectcontour", "models-tls"
CA = ("hashfoundry-ca", "-n", "hashfoundry-system")
EXPIRING = "CertificateExpiringSoon"
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
    EXPIRING: {"namespace": GATEWAY, "severity": "critical"},
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


def secret(kubectl: Kubectl, *words: str) -> dict[str, bytes]:
    data = json.loads(kubectl("get", "secret", *words, "-o", "json"))["data"]
    return {name: base64.b64decode(value) for name, value in data.items()}


def expiring(kubectl: Kubectl) -> Json:
    """The Secret of the gateway with a certificate of the same CA, for the same names, that ends in five days."""
    ca = secret(kubectl, *CA)
    ca_key = serialization.load_pem_private_key(ca["tls.key"], None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    old = x509.load_pem_x509_certificate(secret(kubectl, TLS_SECRET, "-n", GATEWAY)["tls.crt"])
    now, key = datetime.datetime.now(datetime.UTC), ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(old.issuer, old.subject, key.public_key(), x509.random_serial_number(), now)
    for extension in old.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    certificate = builder.not_valid_after(now + datetime.timedelta(days=5)).sign(ca_key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    data = {"tls.crt": certificate.public_bytes(serialization.Encoding.PEM), "tls.key": pem}
    return {"data": {name: base64.b64encode(value).decode() for name, value in data.items()}}


def hasten(kubectl: Kubectl, alert: str) -> None:
    """Let an alert, which fires after an hour, fire after a minute, until the rules are applied again."""
    found = 0
    for rule in objects(kubectl, "prometheusrules", "-A"):
        where = ("-n", rule["metadata"]["namespace"])
        for number, group in enumerate(rule["spec"]["groups"]):
            for index, one in enumerate(group["rules"]):
                if one.get("alert") == alert:
                    found += 1
                    path = f"/spec/groups/{number}/rules/{index}/for"
                    patch = json.dumps([{"op": "replace", "path": path, "value": "1m"}])
                    kubectl("patch", "prometheusrule", rule["metadata"]["name"], *where, "--type=json", "-p", patch)
    assert found


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
        kubectl("patch", "secret", TLS_SECRET, "-n", GATEWAY, "--type=merge", "-p", json.dumps(expiring(kubectl)))
        hasten(kubectl, EXPIRING)
        yield
    finally:
        kubectl("delete", "--filename", str(folder / "broken.json"), "--ignore-not-found", "--request-timeout=0")
        kubectl("annotate", "inferenceservice", CHURN, "-n", PLACE, f"{DIGEST}-")
        for name, *words in (("addons", "--tags", "certificates"), ("serving",)):
            last = playbook(f"playbooks/{name}.yml", *words)
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


def test_a_certificate_that_is_about_to_expire_is_renewed(kubectl: Kubectl, playbook: Playbook, trouble: None) -> None:
    served = f'envoy_server_days_until_first_cert_expiring{{namespace="{GATEWAY}"}}'
    assert [float(one["value"][1]) < 5 for one in query(kubectl, served)] == [True]
    result = playbook("playbooks/addons.yml", "--tags", "certificates")
    assert result.returncode == 0, reason(result)

    def days() -> list[float]:
        return [float(one["value"][1]) for one in query(kubectl, served)]

    wait_until(days, lambda found: min(found) > 30, 180, pause=5, what="Envoy has the new certificate")


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
