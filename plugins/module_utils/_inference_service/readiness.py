# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an InferenceService serves what its spec asks for: pure functions over what the API server returns.

The condition Ready alone is not trusted. It is PredictorReady and IngressReady of whatever the
controller last looked at, it stays True while an old ReplicaSet is available and new pods crash, and
it says nothing of the model (KServe v0.20.0, pkg/apis/serving/v1beta1/inference_service_status.go).

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.admission import refusal
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.pod import pod_problem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.routes import route_problem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import (
    State,
    Verdict,
    degraded,
    failed,
    progressing,
    worst,
)

from .limits import length_fault
from .routes import unmatched_timeout
from .spec_match import (
    may_be_zero,
    unmatched_field,
    unmatched_metadata,
    unmatched_replicas,
    unmatched_runtime_field,
)

Json = Mapping[str, Any]

# pkg/constants/constants.go of KServe v0.20.0
STOP = "serving.kserve.io/stop"
DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
COMPONENTS = ("predictor", "transformer", "explainer")
# pkg/apis of Knative Serving v1: the label of a revision's pods
REVISION = "serving.knative.dev/revision"
# Deployment controller of Kubernetes: on a Deployment and on each of its ReplicaSets
_ROLLOUT = "deployment.kubernetes.io/revision"

# FailureReason of KServe v0.20.0, with what to do; each comes with transitionStatus InvalidSpec.
_INVALID = {
    "NoSupportingRuntime": "install a serving runtime for this model format and protocol version, or name another",
    "RuntimeNotRecognized": "create the serving runtime that spec.predictor.model.runtime names, or name another",
    "RuntimeDisabled": "enable the serving runtime that spec.predictor.model.runtime names, or name another",
    "InvalidPredictorSpec": "correct spec.predictor",
}


@dataclass(frozen=True)
class Objects:
    """An InferenceService and what belongs to it, as the API server returns them.

    routes are the HTTPRoutes of the namespace; there are none where Gateway API is not installed.
    """

    service: Json | None = None
    deployments: Sequence[Json] = field(default_factory=list)
    replica_sets: Sequence[Json] = field(default_factory=list)
    pods: Sequence[Json] = field(default_factory=list)
    routes: Sequence[Json] = field(default_factory=list)


def judge(objects: Objects) -> Verdict:
    """Return the verdict on the objects; serving means here that only the model itself remains to be queried."""
    service = objects.service
    if service is None:
        return failed("NotFound", "The InferenceService does not exist; create it, or check name and namespace.")
    verdicts = (
        [_standing(service), _name(service), _spec(service), *_knative(service, objects)]
        if deployment_mode(service) == "Knative"
        else [_standing(service), _name(service), _spec(service), *_standard(service, objects)]
    )
    return worst(verdicts) or Verdict(State.SERVING, "Serving", "The InferenceService serves its current spec.")


def deployment_mode(service: Json) -> str:
    """Return Standard, Knative or ModelMesh, also for their older names (ParseDeploymentMode)."""
    annotations = service["metadata"].get("annotations") or {}
    mode = str(service.get("status", {}).get("deploymentMode") or annotations.get(DEPLOYMENT_MODE) or "Standard")
    return {"RawDeployment": "Standard", "Serverless": "Knative"}.get(mode, mode)


def component_name(service: Json, component: str) -> str:
    """Return the name of a component's Deployment and Service (PredictorServiceName and its like)."""
    own = service["spec"][component].get("name") if component == "predictor" else None
    return "-".join(filter(None, (service["metadata"]["name"], own, component)))


def current_pods(objects: Objects) -> list[Json]:
    """Return the pods of the current spec: those of each Deployment's current ReplicaSet, or of the latest revision."""
    if objects.service is None:
        return []
    if deployment_mode(objects.service) == "Knative":
        latest = {status.get("latestCreatedRevision") for _name, status in _component_status(objects.service)}
        return [pod for pod in objects.pods if _labels(pod).get(REVISION, "") in latest]
    sets = [_current_set(entry, objects.replica_sets) for entry in _owned(objects.service, objects.deployments)]
    return [pod for current in sets if current for pod in _owned(current, objects.pods)]


def _standing(service: Json) -> Verdict | None:
    metadata = service["metadata"]
    if metadata.get("deletionTimestamp"):
        return failed("Deleting", "The InferenceService is being deleted; re-create it once it is gone.")
    if (metadata.get("annotations") or {}).get(STOP) == "true":
        return failed("Stopped", f"The InferenceService is stopped; remove the annotation {STOP}.")
    if not service.get("status", {}).get("conditions"):
        return progressing(
            "NotReconciled",
            "The controller has not reconciled the InferenceService yet; check that kserve-controller-manager runs.",
        )
    return None


def _name(service: Json) -> Verdict | None:
    mode = deployment_mode(service)
    stated = service.get("status", {}).get("deploymentMode") or DEPLOYMENT_MODE in (
        service["metadata"].get("annotations") or {}
    )
    if not stated or mode not in ("Standard", "Knative"):
        return None  # the cluster's default mode, or one with other limits
    pairs = [(component, "") for component in COMPONENTS if service["spec"].get(component)]
    pairs += [("predictor", canary["predictor"].get("name", "")) for canary in service["spec"].get("canary") or ()]
    for component, canary in pairs:
        if fault := length_fault(service["metadata"]["name"], mode, component, canary):
            return failed("NameTooLong", f"The {fault}; re-create the InferenceService under a shorter name.")
    return None


def _spec(service: Json) -> Verdict | None:
    model_status: Json = service["status"].get("modelStatus", {}) if service.get("status") else {}
    if model_status.get("transitionStatus") != "InvalidSpec":
        return None
    # Here lastFailureInfo is fresh: the controller sets the two together (UpdateModelTransitionStatus).
    failure: Json = model_status.get("lastFailureInfo") or {}
    reason = failure.get("reason") or "InvalidSpec"
    message = (
        f"KServe does not accept the spec: {short(failure.get('message')).rstrip('.') or reason}; "
        f"{_INVALID.get(reason, 'correct the InferenceService')}."
    )
    return degraded(reason, message) if _status_is_older(service) else failed(reason, message)


def _status_is_older(service: Json) -> bool:
    """Say whether the status is about a spec before this one, or nothing tells that it is not.

    managedFields give the time of each manager's last change, to the second; nothing else tells. In the same second
    the status is taken for the answer, which takes the controller some milliseconds: it would be about a spec before
    only if that, too, had been given in this second.
    """
    if service["metadata"].get("generation", 1) == 1:
        return False
    changes = service["metadata"].get("managedFields", ())
    status = [entry["time"] for entry in changes if entry.get("subresource") == "status" and "time" in entry]
    spec = [entry["time"] for entry in changes if "f:spec" in entry.get("fieldsV1", {}) and "time" in entry]
    return not status or not spec or max(status) < max(spec)


def _standard(service: Json, objects: Objects) -> Iterator[Verdict | None]:
    deployments = {entry["metadata"]["name"]: entry for entry in _owned(service, objects.deployments)}
    rollout = [
        _component(service, component, deployments.get(component_name(service, component)), objects)
        for component in COMPONENTS
        if service["spec"].get(component)
    ]
    if field_name := unmatched_runtime_field(service):
        rollout.append(_not_observed(service, "predictor", field_name))
    yield from rollout
    if not any(rollout):
        # What these say may be of the rollout before, until this one is complete. The first is the nearest to the
        # cause: KServe's condition follows from the route, and its model is Pending while it is not Ready itself.
        yield from (route_problem(route) for route in _owned(service, objects.routes))
        # Where there is no Gateway API, IngressReady is all there is: KServe sets it when it has made the Ingress, and
        # controllers need not say in an Ingress that they have taken it.
        yield from _conditions(service)
        yield _model(service, asleep=_is_asleep(deployments.get(component_name(service, "predictor"))))


def _is_asleep(deployment: Json | None) -> bool:
    return deployment is not None and deployment["spec"].get("replicas", 1) == 0


def _component(service: Json, component: str, deployment: Json | None, objects: Objects) -> Verdict | None:
    if deployment is None:
        return _no_deployment(service, component)
    spec = service["spec"][component]
    if field_name := unmatched_field(spec, deployment) or unmatched_metadata(service, component, deployment):
        return _not_observed(service, component, field_name)
    if verdict := _rollout(deployment, objects, may_be_zero(service, component)):
        return verdict
    name = deployment["metadata"]["name"]
    routes = [route for route in _owned(service, objects.routes) if route["metadata"]["name"] == name]
    if field_name := unmatched_timeout(spec, routes):
        return _not_observed(service, component, field_name, "HTTPRoute")
    field_name = unmatched_replicas(service, component, deployment)
    return _not_observed(service, component, field_name) if field_name else None


def _no_deployment(service: Json, component: str) -> Verdict:
    return _not_reconciled(service, component) or progressing(
        "DeploymentMissing",
        f"The controller has not created the {component}'s Deployment yet; if this lasts, see its log and the events.",
    )


def _not_reconciled(service: Json, component: str) -> Verdict | None:
    condition = _condition(service, f"{component.capitalize()}Ready")
    if condition.get("reason") != "ReconcileFailed":
        return None
    what = f"The controller cannot reconcile the {component}"
    verdict = refusal("ReconcileFailed", what, condition.get("message", ""))
    return degraded(verdict.reason, verdict.message) if _status_is_older(service) else verdict


def _not_observed(service: Json, component: str, field_name: str, where: str = "Deployment") -> Verdict:
    field_path = field_name if field_name.startswith("metadata.") else f"{component}.{field_name}"
    return _not_reconciled(service, component) or progressing(
        "SpecNotObserved",
        f"The controller has not applied {field_path} of generation {service['metadata'].get('generation')} to the "
        f"{where}; if this lasts, see its log and the events.",
    )


def _rollout(deployment: Json, objects: Objects, zero_is_fine: bool) -> Verdict | None:
    name, status = deployment["metadata"]["name"], deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return progressing(
            "DeploymentNotObserved", f"The Deployment controller has not observed Deployment {name} yet."
        )
    wanted = deployment["spec"].get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - updated
    if wanted == 0 and not zero_is_fine:
        return progressing("ScaledToZero", f"Deployment {name} is scaled to zero; scale it up to serve.")
    if updated >= wanted and available >= wanted and old <= 0:
        return None
    if stuck := _stuck(deployment, objects):
        return stuck
    condition = _condition(deployment, "Progressing")
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return degraded("ProgressDeadlineExceeded", f"Deployment {name} makes no progress: {condition['message']}")
    return progressing(
        "RollingOut",
        f"Deployment {name} has {available} of {wanted} replicas available, {updated} of them new and {old} old.",
    )


def _stuck(deployment: Json, objects: Objects) -> Verdict | None:
    """Return what keeps the pods of a Deployment's current ReplicaSet from being made, or from being ready."""
    current = _current_set(deployment, objects.replica_sets)
    if current is None:
        return None
    return _refused(deployment["metadata"]["name"], current) or pod_problem(list(_owned(current, objects.pods)))


def _on_their_way(deployment: Json, objects: Objects) -> bool:
    """Say whether a Deployment that is not stuck has pods of its current ReplicaSet that are not about to go."""
    current = _current_set(deployment, objects.replica_sets)
    pods = _owned(current, objects.pods) if current else ()
    return any(not pod["metadata"].get("deletionTimestamp") for pod in pods)


def _refused(deployment: str, replica_set: Json) -> Verdict | None:
    # The Deployment's own ReplicaFailure may be an old ReplicaSet's.
    condition = _condition(replica_set, "ReplicaFailure")
    if condition.get("status") != "True":
        return None
    reason = condition.get("reason", "FailedCreate")
    return refusal(reason, f"Kubernetes refuses the pods of Deployment {deployment}", condition.get("message", ""))


def _current_set(deployment: Json, replica_sets: Sequence[Json]) -> Json | None:
    revision = deployment["metadata"].get("annotations", {}).get(_ROLLOUT)
    for candidate in _owned(deployment, replica_sets):
        if candidate["metadata"].get("annotations", {}).get(_ROLLOUT) == revision:
            return candidate
    return None


def _model(service: Json, asleep: bool) -> Verdict | None:
    # The controller takes the state from the first pod it happens to list, old or new (PropagateModelStatus).
    # It never clears lastFailureInfo, so the states are judged and that only explains.
    model_status: Json = service.get("status", {}).get("modelStatus", {})
    target = (model_status.get("states") or {}).get("targetModelState")
    if target == "FailedToLoad":
        message = short((model_status.get("lastFailureInfo") or {}).get("message"))
        return degraded("FailedToLoad", f"The model did not load{f': {message}' if message else ''}; see the logs.")
    # Pending is also what a service that is scaled to zero says, and a request scales it up.
    if target in ("Pending", "Loading") and not asleep:
        return progressing("ModelLoading", f"The model is in state {target}.")
    return None


def _conditions(service: Json) -> Iterator[Verdict]:
    names = [f"{component.capitalize()}Ready" for component in COMPONENTS if service["spec"].get(component)]
    for name in [*names, "IngressReady", "Ready"]:
        condition = _condition(service, name)
        if condition.get("status") != "True":
            message = short(condition.get("message") or condition.get("reason"))
            yield progressing(f"Not{name}", f"The condition {name} is not True{f': {message}' if message else ''}.")


def _knative(service: Json, objects: Objects) -> Iterator[Verdict | None]:
    """A failed revision makes Ready False, though the one before it still serves, and right after a patch Ready is
    True for the one before: so the latest revision is judged first."""
    rollout = [_revision(service, component, status, objects) for component, status in _component_status(service)]
    if field_name := unmatched_runtime_field(service):
        rollout.append(_not_observed(service, "predictor", field_name))
    yield from rollout
    if not any(rollout):
        # Here KServe says Pending beside a revision that is ready, too.
        yield _model(service, asleep=True)
        yield from _conditions(service)


def _revision(service: Json, component: str, status: Json, objects: Objects) -> Verdict | None:
    created = status.get("latestCreatedRevision")
    if not created:
        return _no_revision(service, component)
    # Knative gives a revision's Deployment the labels and annotations that KServe gave its template.
    deployment = next((d for d in objects.deployments if _labels(d).get(REVISION) == created), None)
    if deployment is None:
        return progressing("RevisionNotReady", f"Knative has not created the Deployment of revision {created} yet.")
    spec = service["spec"][component]
    if field_name := unmatched_field(spec, deployment, True) or unmatched_metadata(service, component, deployment):
        return _not_observed(service, component, field_name)
    if created != status.get("latestReadyRevision"):
        return _stuck(deployment, objects) or _unready_revision(service, component, created, deployment, objects)
    if field_name := unmatched_replicas(service, component, deployment, True):
        return _not_observed(service, component, field_name)
    # A canary's share is that of its spec.
    if spec.get("canaryTrafficPercent") is None:
        for target in status.get("traffic") or ():
            if target.get("percent") and target.get("revisionName") != created:
                return progressing(
                    "TrafficNotShifted",
                    f"Revision {target.get('revisionName')} still has {target['percent']} percent of the traffic.",
                )
    return None


def _no_revision(service: Json, component: str) -> Verdict:
    return _not_reconciled(service, component) or progressing(
        "RevisionMissing",
        f"There is no revision of the {component} yet; if this lasts, see that Knative Serving runs, and the events.",
    )


def _unready_revision(service: Json, component: str, revision: str, deployment: Json, objects: Objects) -> Verdict:
    condition = _condition(service, f"{component.capitalize()}ConfigurationReady")
    message = condition.get("message") or ""
    # The condition may still be about the revision before, and Knative leaves it False until the revision is Ready: a
    # pod that no node took has long been on its way (reconciler/configuration/configuration.go of Knative v1.11.5).
    given_up = condition.get("status") == "False" and revision in message
    if given_up and not _on_their_way(deployment, objects):
        return degraded("RevisionFailed", f"Knative has given up: {short(message).rstrip('. ')}; see events and logs.")
    return progressing("RevisionNotReady", f"Revision {revision} is not ready yet.")


def _labels(thing: Json) -> Json:
    labels: Json = thing["metadata"].get("labels") or {}
    return labels


def _component_status(service: Json) -> list[tuple[str, Json]]:
    components = service.get("status", {}).get("components") or {}
    return [(name, components.get(name, {})) for name in COMPONENTS if service["spec"].get(name)]


def _condition(thing: Json, kind: str) -> Json:
    conditions: Sequence[Json] = thing.get("status", {}).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == kind), {})


def _owned(owner: Json, things: Sequence[Json]) -> Iterator[Json]:
    # By uid: after a service is deleted and re-created, what belonged to the first may still exist.
    uid = owner["metadata"]["uid"]
    for thing in things:
        if any(reference["uid"] == uid for reference in thing["metadata"].get("ownerReferences", ())):
            yield thing
