# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.workloads import readiness_problem

from ..platform_fixtures import authority

READY = "ready"


def conditions(*entries: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "message": "so", **more} for kind, status in entries]}


def rollout(**status: Any) -> dict[str, Any]:
    whole = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, **status}
    return {key: value for key, value in whole.items() if value is not None}


def daemons(**status: Any) -> dict[str, Any]:
    whole = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}
    return {"observedGeneration": 2, **whole, **status}


@pytest.mark.parametrize(
    ("group", "kind", "spec", "status", "reason"),
    [
        ("", "ConfigMap", {}, {}, READY),
        ("serving.knative.dev", "Deployment", {}, {}, READY),
        ("", "PersistentVolumeClaim", {}, {"phase": "Pending"}, READY),
        ("", "Namespace", {}, {"phase": "Active"}, READY),
        ("", "Namespace", {}, {}, "NotActive"),
        ("", "Namespace", {}, {"phase": "Terminating"}, "Terminating!"),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            {},
            conditions(("NamesAccepted", "True"), ("Established", "True")),
            READY,
        ),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            {},
            conditions(("NamesAccepted", "True"), ("Established", "False")),
            "NotEstablished",
        ),
        ("apiextensions.k8s.io", "CustomResourceDefinition", {}, {}, "NotNamesAccepted"),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            {},
            conditions(("NamesAccepted", "False")),
            "NamesNotAccepted!",
        ),
        ("apiregistration.k8s.io", "APIService", {}, conditions(("Available", "True")), READY),
        ("apiregistration.k8s.io", "APIService", {}, conditions(("Available", "False")), "NotAvailable"),
        ("apps", "Deployment", {"replicas": 3}, rollout(), READY),
        ("apps", "Deployment", {"replicas": 0}, {"observedGeneration": 2}, READY),
        ("apps", "Deployment", {}, {"observedGeneration": 2}, "RollingOut"),
        ("apps", "Deployment", {"replicas": 3}, rollout(observedGeneration=1), "NotObserved"),
        ("apps", "Deployment", {"replicas": 3}, {}, "NotObserved"),
        ("apps", "Deployment", {"replicas": 3}, rollout(updatedReplicas=2), "RollingOut"),
        ("apps", "Deployment", {"replicas": 3}, rollout(availableReplicas=None), "RollingOut"),
        ("apps", "Deployment", {"replicas": 3}, rollout(replicas=4), "RollingOut"),
        (
            "apps",
            "Deployment",
            {"replicas": 3},
            {**rollout(availableReplicas=1), **conditions(("Progressing", "False"), reason="ProgressDeadlineExceeded")},
            "ProgressDeadlineExceeded!",
        ),
        (
            "apps",
            "Deployment",
            {"replicas": 3},
            {
                **rollout(observedGeneration=1),
                **conditions(("Progressing", "False"), reason="ProgressDeadlineExceeded"),
            },
            "NotObserved",
        ),
        ("apps", "StatefulSet", {"replicas": 3}, rollout(), READY),
        ("apps", "StatefulSet", {"replicas": 3}, rollout(observedGeneration=1), "NotObserved"),
        ("apps", "StatefulSet", {"replicas": 3}, rollout(availableReplicas=2), "RollingOut"),
        (
            "apps",
            "StatefulSet",
            {"replicas": 3},
            rollout(updatedReplicas=1, currentRevision="a", updateRevision="b"),
            "RollingOut",
        ),
        (
            "apps",
            "StatefulSet",
            {"replicas": 3},
            rollout(updatedReplicas=None, currentRevision="b", updateRevision="b"),
            READY,
        ),
        (
            "apps",
            "StatefulSet",
            {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
            rollout(updatedReplicas=1, currentRevision="a", updateRevision="b"),
            READY,
        ),
        (
            "apps",
            "StatefulSet",
            {"replicas": 3, "updateStrategy": {"type": "OnDelete"}},
            rollout(updatedReplicas=None, currentRevision="a", updateRevision="b"),
            READY,
        ),
        ("apps", "DaemonSet", {}, daemons(), READY),
        ("apps", "DaemonSet", {}, daemons(observedGeneration=1), "NotObserved"),
        ("apps", "DaemonSet", {}, daemons(updatedNumberScheduled=1), "RollingOut"),
        ("apps", "DaemonSet", {}, daemons(numberAvailable=1), "RollingOut"),
        ("apps", "DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, daemons(updatedNumberScheduled=0), READY),
        ("batch", "Job", {}, conditions(("Complete", "True")), READY),
        ("batch", "Job", {}, {"active": 1}, "JobRunning"),
        ("batch", "Job", {"suspend": True}, {}, READY),
        ("batch", "Job", {}, conditions(("Failed", "True")), "JobFailed!"),
        (
            "gateway.networking.k8s.io",
            "GatewayClass",
            {},
            conditions(("Accepted", "True"), observedGeneration=2),
            READY,
        ),
        (
            "gateway.networking.k8s.io",
            "GatewayClass",
            {},
            conditions(("Accepted", "False"), observedGeneration=2),
            "NotAccepted",
        ),
        ("gateway.networking.k8s.io", "Gateway", {}, conditions(("Programmed", "True"), observedGeneration=2), READY),
        (
            "gateway.networking.k8s.io",
            "Gateway",
            {},
            conditions(("Programmed", "True"), observedGeneration=1),
            "NotObserved",
        ),
        ("gateway.networking.k8s.io", "Gateway", {}, {}, "NotObserved"),
        (
            "monitoring.coreos.com",
            "Prometheus",
            {},
            conditions(("Reconciled", "True"), ("Available", "True"), observedGeneration=2),
            READY,
        ),
        (
            "monitoring.coreos.com",
            "Prometheus",
            {},
            conditions(("Reconciled", "True"), ("Available", "True"), observedGeneration=1),
            "NotObserved",
        ),
        (
            "monitoring.coreos.com",
            "Prometheus",
            {},
            {
                **conditions(("Reconciled", "True"), ("Available", "True"), observedGeneration=2),
                "replicas": 1,
                "updatedReplicas": 0,
            },
            "NotUpdated",
        ),
        (
            "monitoring.coreos.com",
            "Prometheus",
            {},
            conditions(("Reconciled", "False"), ("Available", "True"), observedGeneration=2),
            "NotReconciled",
        ),
        (
            "monitoring.coreos.com",
            "Alertmanager",
            {},
            conditions(("Reconciled", "True"), ("Available", "Degraded"), observedGeneration=2),
            "NotAvailable",
        ),
        ("monitoring.coreos.com", "Alertmanager", {}, {}, "NotObserved"),
        ("cert-manager.io", "Issuer", {}, conditions(("Ready", "True"), observedGeneration=2), READY),
        ("cert-manager.io", "ClusterIssuer", {}, conditions(("Ready", "False"), observedGeneration=2), "NotReady"),
        ("cert-manager.io", "ClusterIssuer", {}, conditions(("Ready", "True"), observedGeneration=1), "NotObserved"),
        ("cert-manager.io", "Certificate", {}, conditions(("Ready", "True"), observedGeneration=2), READY),
        ("cert-manager.io", "Certificate", {}, {}, "NotObserved"),
        (
            "cert-manager.io",
            "Certificate",
            {},
            conditions(("Ready", "False"), ("Issuing", "True"), observedGeneration=2),
            "NotReady",
        ),
        # The previous one is served while the new one cannot be issued.
        (
            "cert-manager.io",
            "Certificate",
            {},
            {**conditions(("Ready", "True"), ("Issuing", "False"), observedGeneration=2), "lastFailureTime": "now"},
            READY,
        ),
        (
            "cert-manager.io",
            "Certificate",
            {},
            {**conditions(("Ready", "False"), ("Issuing", "False"), observedGeneration=2), "lastFailureTime": "now"},
            "IssuanceFailed!",
        ),
        # A failure from before the last change.
        (
            "cert-manager.io",
            "Certificate",
            {},
            {**conditions(("Ready", "False"), ("Issuing", "False"), observedGeneration=1), "lastFailureTime": "now"},
            "NotObserved",
        ),
    ],
)
def test_verdicts(group: str, kind: str, spec: dict[str, Any], status: dict[str, Any], reason: str) -> None:
    """A reason with ! is a permanent failure."""
    verdict = readiness_problem(group, kind, {"metadata": {"generation": 2}, "spec": spec, "status": status})
    if verdict is None:
        assert reason == READY
    else:
        assert verdict.reason + ("!" if verdict.state == "failed" else "") == reason
        assert verdict.message and not verdict.message.endswith(".")


def webhook(**client: Any) -> dict[str, Any]:
    return {"name": "check.example.com", "clientConfig": client}


@pytest.mark.parametrize("kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
@pytest.mark.parametrize(
    ("webhooks", "ready"),
    [
        ([], True),
        ([webhook(url="https://example.com")], True),
        ([webhook(service={"name": "s"}, caBundle=authority())], True),
        # Without a valid CA.
        ([webhook(service={"name": "s"}, caBundle="LS0t")], False),
        ([webhook(service={"name": "s"})], False),
        ([webhook(service={"name": "s"}, caBundle=authority()), webhook(service={"name": "s"}, caBundle="")], False),
    ],
)
def test_a_webhook_needs_a_ca_for_its_service(kind: str, webhooks: list[dict[str, Any]], ready: bool) -> None:
    verdict = readiness_problem(
        "admissionregistration.k8s.io", kind, {"metadata": {"generation": 1}, "webhooks": webhooks}
    )
    assert (verdict is None) == ready
    assert verdict is None or verdict.reason == "NoCABundle"
