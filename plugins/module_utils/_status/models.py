# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is to say of each model: its version, its replicas, its verdict, its SLOs, and what is not well.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import State, Verdict, failed
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.readiness import (
    REVISION,
    Objects,
    component_name,
    deployment_mode,
)

from .series import Series, described, of_model

Json = Mapping[str, Any]

# On an InferenceService of the role model_serving.
VERSION = "kserve.hashfoundry.io/version"
DIGEST = "kserve.hashfoundry.io/digest"
_UNSEEN = (
    "Prometheus has no series of it; create its ServiceMonitor or PodMonitor with the role model_monitoring, with the "
    "labels that Prometheus selects."
)
_UNREACHED = (
    "Prometheus cannot scrape it; check the NetworkPolicies of its namespace, and the metrics port of its pods."
)


def row(
    namespace: str, name: str, objects: Objects, verdict: Verdict, series: Series | None, alerts: Any
) -> dict[str, Any]:
    """Return all about one model.

    :param series: what Prometheus says, None where there is none.
    :param alerts: all that fire.
    """
    metadata: Json = (objects.service or {}).get("metadata", {})
    replicas = _replicas(objects)
    own = of_model(alerts, namespace, name) if series else []
    # A model that is scaled to zero has nothing to scrape.
    asleep = replicas["wanted"] == 0 and verdict.state is State.SERVING
    found = {
        "namespace": namespace,
        "name": name,
        "version": (metadata.get("labels") or {}).get(VERSION),
        "digest": (metadata.get("annotations") or {}).get(DIGEST),
        "replicas": replicas,
        "verdict": verdict.state.value,
        "reason": verdict.reason,
        "message": verdict.message,
        "url": (objects.service or {}).get("status", {}).get("url"),
        "scraped": None if series is None or asleep else series.scraped(namespace, name),
        "target": series.is_target(namespace, name) if series else None,
        "slo": series.objectives(namespace, name) if series else [],
        "alerts": own,
    }
    return {**found, "problems": [f"{_title(found)}: {text}" for text in _problems(found)]}


def absent(namespace: str, name: str, series: Series | None, alerts: Any) -> dict[str, Any]:
    """Return the same of a model that the cluster does not have."""
    text = "The InferenceService does not exist; deploy it, or remove it from the list of models."
    return row(namespace, name, Objects(), failed("NotFound", text), series, alerts)


def _replicas(objects: Objects) -> dict[str, int | None]:
    deployment = _predictor(objects)
    if deployment is None:
        return {"ready": 0, "wanted": None}
    status: Json = deployment.get("status") or {}
    return {"ready": status.get("readyReplicas") or 0, "wanted": deployment["spec"].get("replicas", 1)}


def _predictor(objects: Objects) -> Json | None:
    """Return the Deployment of the predictor, in Knative mode that of its latest revision."""
    service = objects.service
    if service is None or not service["spec"].get("predictor"):
        return None
    if deployment_mode(service) == "Knative":
        status: Json = (service.get("status", {}).get("components") or {}).get("predictor") or {}
        latest = status.get("latestCreatedRevision")
        return next(
            (
                thing
                for thing in objects.deployments
                if latest and (thing["metadata"].get("labels") or {}).get(REVISION) == latest
            ),
            None,
        )
    name = component_name(service, "predictor")
    return next((thing for thing in objects.deployments if thing["metadata"]["name"] == name), None)


def unscraped(model: Json) -> str:
    """Return the problem of a model that Prometheus does not know."""
    return f"{_title(model)}: {_UNSEEN}"


def _title(model: Json) -> str:
    return f"Model {model['namespace']}/{model['name']}"


def _problems(model: Json) -> Iterator[str]:
    """Yield what is not well, without its beginning."""
    serves = model["verdict"] == State.SERVING.value
    if not serves:
        yield model["message"]
    if model["alerts"]:
        count = len(model["alerts"])
        what = f"{count} alerts fire" if count > 1 else "An alert fires"
        yield f"{what}: {described(model['alerts'])}; follow the runbook that the alert names."
    alerted = {alert["slo"] for alert in model["alerts"] or ()}
    spent = [entry["name"] for entry in model["slo"] or () if (entry["error_budget_remaining"] or 0) < 0]
    if spent := [name for name in spent if name not in alerted]:
        names = ", ".join(name.replace("_", " ") for name in spent)
        yield f"The error budget for {names} is spent; correct what fails before you deploy a new version."
    if serves and model["scraped"] is False:
        yield _UNREACHED if model["target"] else _UNSEEN
