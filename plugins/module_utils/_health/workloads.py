# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an applied object works: pure functions over what the API server returns.

Each returns None for an object that does. Kinds that are not listed here count as working once they are applied.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .routes import route_problem
from .verdict import Verdict, failed, progressing

Json = Mapping[str, Any]


def readiness_problem(group: str, kind: str, thing: Json) -> Verdict | None:
    """Return why an object does not work yet, or will not, or None.

    :param group: the API group; group and kind are not read from the object, since the entries of a list have none.
    """
    judge = _JUDGES.get((group, kind))
    return judge(thing) if judge else None


def _definition(thing: Json) -> Verdict | None:
    if _says(thing, "NamesAccepted", "False"):
        return failed("NamesNotAccepted", f"its names are already in use: {_message(thing, 'NamesAccepted')}")
    for kind in ("NamesAccepted", "Established"):
        if not _says(thing, kind, "True"):
            return progressing(f"Not{kind}", f"the API server has not set the condition {kind}")
    return None


def _namespace(thing: Json) -> Verdict | None:
    phase = _status(thing).get("phase")
    if phase == "Terminating" or thing["metadata"].get("deletionTimestamp"):
        return failed("Terminating", "it is being deleted; run again when it is gone")
    return None if phase == "Active" else progressing("NotActive", "it is not Active")


def _api_service(thing: Json) -> Verdict | None:
    return _condition(thing, "Available")


def _gateway_class(thing: Json) -> Verdict | None:
    return _condition(thing, "Accepted", observed=True)


def _gateway(thing: Json) -> Verdict | None:
    return _condition(thing, "Programmed", observed=True)


def _deployment(thing: Json) -> Verdict | None:
    """As kubectl rollout status has it (polymorphichelpers/rollout_status.go)."""
    if verdict := _not_observed(thing):
        return verdict
    status, wanted = _status(thing), thing["spec"].get("replicas", 1)
    progress = _find(thing, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return failed("ProgressDeadlineExceeded", f"it makes no progress: {short(progress.get('message'))}")
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - updated
    if updated >= wanted and old <= 0 and available >= wanted:
        return None
    return progressing(
        "RollingOut", f"{available} of {wanted} replicas are available, {updated} of them new and {max(old, 0)} old"
    )


def _stateful_set(thing: Json) -> Verdict | None:
    if verdict := _not_observed(thing):
        return verdict
    status, spec = _status(thing), thing["spec"]
    wanted = spec.get("replicas", 1)
    strategy = spec.get("updateStrategy") or {}
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    # With OnDelete, a new revision waits until the pods are deleted.
    due = 0 if strategy.get("type") == "OnDelete" else max(wanted - partition, 0)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    # The status keeps no updatedReplicas once the update is complete.
    complete = status.get("currentRevision") == status.get("updateRevision")
    if available >= wanted and (updated >= due or complete):
        return None
    return progressing("RollingOut", f"{available} of {wanted} replicas are available, {updated} are new")


def _daemon_set(thing: Json) -> Verdict | None:
    if verdict := _not_observed(thing):
        return verdict
    status = _status(thing)
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    on_delete = (thing["spec"].get("updateStrategy") or {}).get("type") == "OnDelete"
    updated = wanted if on_delete else status.get("updatedNumberScheduled", 0)
    if updated >= wanted and available >= wanted:
        return None
    return progressing("RollingOut", f"it is available on {available} of {wanted} nodes, {updated} have the new one")


def _job(thing: Json) -> Verdict | None:
    if _says(thing, "Failed", "True"):
        return failed("JobFailed", f"it has failed: {_message(thing, 'Failed')}")
    if _says(thing, "Complete", "True") or thing["spec"].get("suspend"):
        return None
    return progressing("JobRunning", f"it is not complete, {_status(thing).get('active', 0)} of its pods are active")


def _not_observed(thing: Json) -> Verdict | None:
    if _status(thing).get("observedGeneration", 0) < thing["metadata"].get("generation", 0):
        return progressing("NotObserved", "its controller has not observed the current generation")
    return None


def _issuer(thing: Json) -> Verdict | None:
    return _condition(thing, "Ready", observed=True)


def _certificate(thing: Json) -> Verdict | None:
    issuing = _find(thing, "Issuing")
    current = issuing.get("observedGeneration", 0) >= thing["metadata"].get("generation", 0)
    verdict = _condition(thing, "Ready", observed=True)
    # cert-manager asks again an hour later at the earliest, unless the Certificate changes.
    if verdict and issuing.get("status") == "False" and current and _status(thing).get("lastFailureTime"):
        return failed(
            "IssuanceFailed",
            "its issuance has failed (fix the cause and delete the Certificate, or wait for the hour after which "
            "cert-manager tries again)",
        )
    return verdict


def _operated(thing: Json) -> Verdict | None:
    """By the conditions of the Prometheus Operator. Not reconciled is no failure: its next attempt may succeed."""
    verdict = _condition(thing, "Reconciled", observed=True) or _condition(thing, "Available", observed=True)
    status = _status(thing)
    # Pods of the previous generation are available, too, until they are replaced.
    if not verdict and (updated := status.get("updatedReplicas", 0)) < (wanted := status.get("replicas", 0)):
        return progressing("NotUpdated", f"{updated} of {wanted} pods have the current spec")
    return verdict


def _condition(thing: Json, kind: str, observed: bool = False) -> Verdict | None:
    entry = _find(thing, kind)
    if observed and entry.get("observedGeneration", 0) < thing["metadata"].get("generation", 0):
        return progressing("NotObserved", f"no controller has set the condition {kind} for the current generation")
    if entry.get("status") == "True":
        return None
    message = short(entry.get("message")) or entry.get("reason")
    return progressing(f"Not{kind}", f"the condition {kind} is not True{f': {message}' if message else ''}")


def _says(thing: Json, kind: str, status: str) -> bool:
    return bool(_find(thing, kind).get("status") == status)


def _message(thing: Json, kind: str) -> str:
    return short(_find(thing, kind).get("message"))


def _find(thing: Json, kind: str) -> Json:
    conditions: Sequence[Json] = _status(thing).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == kind), {})


def _status(thing: Json) -> Json:
    status: Json = thing.get("status") or {}
    return status


def _webhooks(thing: Json) -> Verdict | None:
    """A Service has a certificate of the cluster's own, which the API server verifies by the caBundle only."""
    for webhook in thing.get("webhooks") or ():
        client: Json = webhook.get("clientConfig") or {}
        if "service" in client and (why := ca_bundle_problem(client.get("caBundle"))):
            return progressing("NoCABundle", f"the caBundle of its webhook {webhook['name']} {why}")
    return None


def ca_bundle_problem(bundle: str | None) -> str:
    """Return why the API server can verify no certificate by a caBundle, or nothing."""
    if not bundle:
        return "is not set"
    try:
        text = base64.b64decode(bundle, validate=True).decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ValueError, ssl.SSLError):
        return "is not a PEM certificate"
    return ""


_JUDGES: dict[tuple[str, str], Callable[[Json], Verdict | None]] = {
    ("", "Namespace"): _namespace,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "Job"): _job,
    ("cert-manager.io", "Certificate"): _certificate,
    ("cert-manager.io", "ClusterIssuer"): _issuer,
    ("cert-manager.io", "Issuer"): _issuer,
    ("gateway.networking.k8s.io", "Gateway"): _gateway,
    ("gateway.networking.k8s.io", "GatewayClass"): _gateway_class,
    ("gateway.networking.k8s.io", "HTTPRoute"): route_problem,
    ("monitoring.coreos.com", "Alertmanager"): _operated,
    ("monitoring.coreos.com", "Prometheus"): _operated,
}
