# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fields of an InferenceService that KServe accepts and does not act on in its deployment mode.

The service becomes Ready all the same, so nothing else says that a canary gets all requests, or none. Read from the
source of KServe v0.20.0: what only reconcilers/knative/ksvc_reconciler.go uses, and what the HTTPRoutes of
reconcilers/ingress/httproute_reconciler.go do not.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .readiness import COMPONENTS, deployment_mode

Json = Mapping[str, Any]


def ignored_fields(service: Json) -> Iterator[str]:
    """Yield a sentence for each such field of an InferenceService, with what happens instead and what to do."""
    if deployment_mode(service) != "Standard":
        return
    spec: Json = service.get("spec", {})
    for component in COMPONENTS:
        fields: Json = spec.get(component) or {}
        if fields.get("canaryTrafficPercent") is not None:
            yield (
                f"spec.{component}.canaryTrafficPercent is {fields['canaryTrafficPercent']}, which KServe ignores in "
                "Standard mode: all requests go to the new version. Remove it, or serve the model in Knative mode."
            )
        if fields.get("containerConcurrency"):
            yield (
                f"spec.{component}.containerConcurrency is {fields['containerConcurrency']}, which KServe ignores in "
                "Standard mode: requests are not limited. Remove it, or serve the model in Knative mode."
            )
        if fields.get("minReplicas") == 0 and _scaled_by_hpa(service):
            yield (
                f"spec.{component}.minReplicas is 0, which KServe raises to 1 in Standard mode. Set it to 1, or serve "
                "the model in Knative mode."
            )
    for canary in spec.get("canary") or ():
        name = (canary.get("predictor") or {}).get("name", "")
        yield (
            f"spec.canary has {name} with {canary.get('trafficPercent', 0)} percent of the traffic, and KServe creates "
            "its pods without routing requests to them. Remove it, or set the weights in an HTTPRoute of your own."
        )


def _scaled_by_hpa(service: Json) -> bool:
    """Return whether KServe creates a HorizontalPodAutoscaler, of which the minimum is 1."""
    annotations: Json = service["metadata"].get("annotations") or {}
    return bool(annotations.get("serving.kserve.io/autoscalerClass", "hpa") == "hpa")
