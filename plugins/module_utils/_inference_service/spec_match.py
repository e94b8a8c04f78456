# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a Deployment is the one that an InferenceService's spec asks for.

KServe's status does not say which generation of the InferenceService it is about: its
observedGeneration is the Deployment's. The generation label exists on multi-node pods only,
and the Deployment carries no hash of the spec (v0.20.0:
pkg/controller/v1beta1/inferenceservice/components/predictor.go, buildPredictorResources and
buildObjectMeta). So right after a patch, Ready is an answer to the question before. What can be
relied on is how the reconciler builds the Deployment: it copies storage URI, logger, batcher, labels and annotations
to the pod template, and merges the container and pod fields of the spec over those of the serving
runtime with a strategic merge patch, where the spec wins. A field that the spec states and the
template has otherwise is therefore proof that the controller has not seen this spec. In Knative mode KServe builds a
Knative Service in the same way, and Knative hands most of it on to the Deployment of each revision.

A field taken out of the spec leaves no such trace, unless the spec has an annotation that changes with it. What is not
compared either, since it is in no pod: the targets of autoscalers, and in Knative mode maxReplicas, readiness and
liveness probes and ports, which the queue-proxy takes over.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.field_match import first_unmatched, holds

Json = Mapping[str, Any]

# pkg/constants/constants.go and pkg/credentials/service_account_credentials.go of KServe v0.20.0
LABEL = "serving.kserve.io/inferenceservice"
_INTERNAL = "internal.serving.kserve.io/"
_SOURCE_URI = f"{_INTERNAL}storage-initializer-sourceuri"
_STORAGE_KEY = f"{_INTERNAL}storage-spec-key"
_STORAGE_PARAMETERS = f"{_INTERNAL}storage-spec-param"
_STORAGE_CONTAINER = f"{_INTERNAL}storage-container-name"
_PLACEHOLDER = "<scheme-placeholder>"
_CONTAINER = "kserve-container"
_MOUNTED = ("pvc://", "oci://", "oci+native://")
_AUTOSCALER = "serving.kserve.io/autoscalerClass"
# ServiceAnnotationDisallowedList, to which operators may add others, and what no pod of a revision gets
# (createKnativeService of KServe; filterExcludedAndAutoscalingAnnotations of Knative Serving v1.21).
_NOT_ON_PODS = ("kubectl.kubernetes.io/last-applied-configuration", "modelFormat")
_NOT_ON_REVISIONS = ("autoscaling.knative.dev/", "serving.knative.dev/", "serving.knative.openshift.io/")
_VISIBILITY = "networking.knative.dev/visibility"
# What KServe sets itself on each pod, whatever the spec says.
_KSERVES_LABELS = ("app", "component", LABEL)

# Container and PodSpec of Kubernetes v1.35 and of pkg/apis/serving/v1beta1/podspec.go, but for what is compared in a
# way of its own (args, image, containers). Fields that KServe does not know it drops, so others are not compared.
_CONTAINER_FIELDS = (
    *("command", "env", "envFrom", "workingDir", "imagePullPolicy", "volumeMounts", "volumeDevices", "startupProbe"),
    *("securityContext", "terminationMessagePath", "terminationMessagePolicy", "resizePolicy", "restartPolicy"),
)
# Knative takes them away or puts others in their place (makeServingContainer of pkg/reconciler/revision/resources).
_CONTAINER_FIELDS_OF_STANDARD = ("ports", "livenessProbe", "readinessProbe", "lifecycle", "stdin", "stdinOnce", "tty")
_POD_FIELDS = (
    *("serviceAccountName", "automountServiceAccountToken", "nodeSelector", "nodeName", "affinity", "tolerations"),
    *("priorityClassName", "priority", "preemptionPolicy", "runtimeClassName", "schedulerName", "schedulingGates"),
    *("topologySpreadConstraints", "volumes", "securityContext", "imagePullSecrets", "hostAliases", "hostname"),
    *("subdomain", "setHostnameAsFQDN", "hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"),
    *("dnsPolicy", "dnsConfig", "enableServiceLinks", "readinessGates", "overhead", "os", "resourceClaims"),
    *("resources", "restartPolicy", "activeDeadlineSeconds"),
)
_POD_FIELDS_OF_STANDARD = ("terminationGracePeriodSeconds",)


def unmatched_field(spec: Json, deployment: Json, knative: bool = False) -> str | None:
    """Return the first field of a component's spec that the Deployment does not have so, or None.

    :param spec: the predictor, transformer or explainer of an InferenceService's spec.
    :param deployment: the Deployment that KServe made for it, or Knative.
    """
    template = deployment["spec"]["template"]
    pod, metadata = template["spec"], template.get("metadata", {})
    return next(
        filter(
            None,
            (
                *_annotations_of_fields(spec, metadata.get("annotations") or {}),
                _storage_uris(spec, pod),
                *_containers(spec, pod, knative),
                first_unmatched(spec, pod, _POD_FIELDS if knative else (*_POD_FIELDS, *_POD_FIELDS_OF_STANDARD)),
                _queue_proxy(spec, pod) if knative else _strategy(spec, deployment),
                _own_labels(spec, metadata.get("labels") or {}, knative),
                _own_annotations(spec, metadata.get("annotations") or {}, knative),
            ),
        ),
        None,
    )


def unmatched_metadata(service: Json, component: str, deployment: Json) -> str | None:
    """Return the first label or annotation of the InferenceService that the pods have otherwise, or None.

    Of those that no pod has at all, nobody can tell: operators can forbid any of them.
    """
    actual, own = deployment["spec"]["template"].get("metadata", {}), service["spec"][component]
    for kind in ("labels", "annotations"):
        wanted, found = service["metadata"].get(kind) or {}, actual.get(kind) or {}
        for key in wanted.keys() & found.keys() - set(own.get(kind) or ()) - set(_KSERVES_LABELS):
            if not key.startswith(_INTERNAL) and wanted[key] != found[key]:
                return f"metadata.{kind}[{key}]"
    return None


def unmatched_runtime_field(service: Json) -> str | None:
    """Return the field when the runtime that the spec names is not the one the controller has used, or None."""
    named = (service["spec"].get("predictor", {}).get("model") or {}).get("runtime")
    status: Json = service.get("status", {})
    used = (status.get("servingRuntimeName"), status.get("clusterServingRuntimeName"))
    return "model.runtime" if named and named not in used else None


def unmatched_replicas(service: Json, component: str, deployment: Json, knative: bool = False) -> str | None:
    """Return the field when a Deployment has fewer or more replicas than the spec allows, or None.

    In Standard mode the autoscaler puts them between the bounds within seconds, without any metric; in Knative mode a
    revision is not ready before. An external autoscaler, canaries and multi-node services follow rules of their own.
    """
    spec: Json = service["spec"][component]
    stated, replicas = spec.get("minReplicas"), deployment["spec"].get("replicas", 1)
    autoscaler = autoscaler_class(service, component)
    if (
        spec.get("workerSpec") is not None
        or service["spec"].get("canary")
        or spec.get("canaryTrafficPercent") is not None
    ):
        return None
    if knative:
        # Without a minimum KServe asks Knative for 1.
        return "minReplicas" if replicas < (1 if stated is None else stated) else None
    if autoscaler not in ("hpa", "keda", "none") or (autoscaler == "none" and stated is None):
        return None
    # reconcilers/hpa: at least 1, and without a maximum exactly the minimum; with the class none the Deployment's own.
    low = max(1, stated or 0) if autoscaler == "hpa" else 1 if stated is None else stated
    high = low if autoscaler == "none" else max(low, spec.get("maxReplicas") or 0)
    if replicas < low or (replicas > high and not spec.get("maxReplicas") and autoscaler != "keda"):
        return "minReplicas"
    return "maxReplicas" if replicas > high and spec.get("maxReplicas") else None


def may_be_zero(service: Json, component: str) -> bool:
    """Say whether a component in Standard mode may have no replica while no request comes, as in Knative mode.

    minReplicas is 0, and an autoscaler is there that scales it up again. The HorizontalPodAutoscaler makes 1 of 0, and
    leaves alone what somebody has scaled to zero.
    """
    scales = autoscaler_class(service, component) in ("keda", "external")
    return scales and service["spec"][component].get("minReplicas") == 0


def autoscaler_class(service: Json, component: str) -> str:
    """Return what scales a component in Standard mode: hpa, keda, external or none."""
    own, general = service["spec"][component].get("annotations") or {}, service["metadata"].get("annotations") or {}
    return str(own.get(_AUTOSCALER) or general.get(_AUTOSCALER) or "hpa")


def _named(containers: Sequence[Json], name: str) -> Json:
    # A single container of a custom predictor need not have a name; KServe then gives it this one.
    found = [entry for entry in containers if (entry.get("name") or name) == name]
    return found[0] if found else {}


def _annotations_of_fields(spec: Json, actual: Json) -> Iterator[str | None]:
    """Compare what KServe writes into annotations, by which its webhook changes the pods."""
    model: Json = spec.get("model") or {}
    storage: Json = model.get("storage") or {}
    path = storage.get("path")
    uri = model.get("storageUri") or (f"{_PLACEHOLDER}://{path.lstrip('/')}" if path else None)
    wanted = {
        "model.storageUri" if model.get("storageUri") else "model.storage.path": (_SOURCE_URI, uri),
        "model.storage.key": (_STORAGE_KEY, storage.get("key")),
        "storageContainerName": (_STORAGE_CONTAINER, spec.get("storageContainerName") if uri else None),
    }
    for part, fields in (
        ("logger", {"url": "logger-sink-url", "mode": "logger-mode"}),
        ("batcher", {"maxBatchSize": "batcher-max-batchsize", "maxLatency": "batcher-max-latency"}),
    ):
        given: Json = spec.get(part) or {}
        wanted |= {f"{part}.{name}": (f"{_INTERNAL}{key}", given.get(name)) for name, key in fields.items()}
    parameters = storage.get("parameters")
    if parameters and not holds(parameters, json.loads(actual.get(_STORAGE_PARAMETERS) or "{}")):
        yield "model.storage.parameters"
    for name, (key, value) in wanted.items():
        yield name if value not in (None, "") and actual.get(key) != str(value) else None


def _storage_uris(spec: Json, pod: Json) -> str | None:
    # Several URIs become arguments of the init container in the Deployment itself, unless they are mounted.
    given = [entry for entry in spec.get("storageUris") or () if not entry["uri"].startswith(_MOUNTED)]
    args = [arg for container in pod.get("initContainers", ()) for arg in container.get("args") or ()]
    pairs = list(itertools.pairwise([*args, ""]))
    same = all(
        any(uri == entry["uri"] and entry.get("mountPath") in (None, "", path) for uri, path in pairs)
        for entry in given
    )
    return None if same else "storageUris"


def _containers(spec: Json, pod: Json, knative: bool) -> Iterator[str | None]:
    model: Json = spec.get("model") or {}
    given: Sequence[Json] = spec.get("containers") or ()
    main = model or _named(given, _CONTAINER)
    actual = _named(pod.get("containers", ()), (model.get("name") or _CONTAINER))
    yield _image(model, main, actual)
    # In a multi-node service KServe works out the GPUs itself.
    yield _container(main, actual, knative, bool(model), resources=spec.get("workerSpec") is None)
    for kind in ("containers", "initContainers"):
        for entry in spec.get(kind) or ():
            if kind == "containers" and entry is main:
                continue
            name = entry.get("name", "")
            found = _named(pod.get(kind, ()), name)
            field = _image({}, entry, found) or _container(entry, found, knative, bool(model))
            yield f"{kind}[{name}].{field}" if field else None


def _container(wanted: Json, actual: Json, knative: bool, merged: bool, resources: bool = True) -> str | None:
    """:param merged: whether a runtime's container of this name may be beneath."""
    names = _CONTAINER_FIELDS if knative else (*_CONTAINER_FIELDS, *_CONTAINER_FIELDS_OF_STANDARD)
    return _args(wanted, actual, merged) or first_unmatched(
        wanted, actual, (*names, "resources") if resources else names
    )


def _image(model: Json, wanted: Json, container: Json) -> str | None:
    actual = container.get("image", "")
    version = model.get("runtimeVersion")
    # A runtimeVersion becomes the tag, except on an image given by digest (utils.go, UpdateImageTag).
    if version and "@sha256:" not in actual and not actual.endswith(f":{version}"):
        return "model.runtimeVersion"
    image = wanted.get("image")
    return "image" if image and not version and not _same_image(image, actual) else None


def _same_image(wanted: str, actual: str) -> bool:
    if "@sha256:" in actual and "@sha256:" not in wanted:
        # Knative, and some admission webhooks, put the digest in the place of the tag, and complete the registry.
        return actual.partition("@")[0].endswith(re.sub(r":[\w.-]+$", "", wanted))
    return _plain(wanted) == _plain(actual)


def _plain(image: str) -> str:
    # Some runtimes have a build for GPU as tag x-gpu or for CPU as image x-cpu, which KServe picks by the resources.
    return re.sub(r"-gpu$|-cpu(?=(:[\w.-]*)?$)", "", image)


def _args(wanted: Json, actual: Json, merged: bool) -> str | None:
    args, found = wanted.get("args") or [], actual.get("args") or []
    # The arguments of a model follow those of its runtime (utils.go, MergeRuntimeContainers); those of a
    # transformer or explainer come before the ones KServe adds (transformer_custom.go, explainer_custom.go).
    part = found[-len(args) :] if merged else found[: len(args)]
    return None if not args or holds(args, part) else "args"


def _strategy(spec: Json, deployment: Json) -> str | None:
    wanted = spec.get("deploymentStrategy") or {}
    return None if holds(wanted, deployment["spec"].get("strategy")) else "deploymentStrategy"


def _queue_proxy(spec: Json, pod: Json) -> str | None:
    env = {
        entry["name"]: entry.get("value") for entry in _named(pod.get("containers", ()), "queue-proxy").get("env", ())
    }
    for name, key in (("timeout", "REVISION_TIMEOUT_SECONDS"), ("containerConcurrency", "CONTAINER_CONCURRENCY")):
        if spec.get(name) is not None and env.get(key, str(spec[name])) != str(spec[name]):
            return name
    return None


def _own_labels(spec: Json, actual: Json, knative: bool) -> str | None:
    without = (_VISIBILITY, LABEL, "component") if knative else _KSERVES_LABELS
    wanted = {key: value for key, value in (spec.get("labels") or {}).items() if key not in without}
    return None if holds(wanted, actual) else "labels"


def _own_annotations(spec: Json, actual: Json, knative: bool) -> str | None:
    left_out = (_INTERNAL, *_NOT_ON_PODS, *(_NOT_ON_REVISIONS if knative else ("autoscaling.knative.dev/",)))
    wanted = (item for item in (spec.get("annotations") or {}).items() if not item[0].startswith(left_out))
    return next((f"annotations[{key}]" for key, value in wanted if not holds(value, actual.get(key))), None)
