# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a Deployment is the one that an InferenceService's spec asks for.

KServe's status does not say which generation of the InferenceService it is about: its
observedGeneration is the Deployment's. The generation label exists on multi-node pods only,
and the Deployment carries no hash of the spec (v0.20.0:
pkg/controller/v1beta1/inferenceservice/components/predictor.go, buildPredictorResources and
buildObjectMeta). So right after a patch, Ready is an answer to the question before. What can be
relied on is how the reconciler builds the Deployment: it copies the storage URI into an annotation
of the pod template, and merges the container and pod fields of the spec over those of the serving
runtime with a strategic merge patch, where the spec wins. A field that the spec states and the
template has otherwise is therefore proof that the controller has not seen this spec. Annotations are
left out, since the operator can forbid any of them (serviceAnnotationDisallowedList). A field taken out of
the spec leaves no such trace. In Knative mode KServe builds a Knative Service in the same way, and Knative hands
annotations, labels and containers on to the Deployment of each revision.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # the module says so before it judges anything
    from kubernetes.utils.quantity import parse_quantity

Json = Mapping[str, Any]

# pkg/constants/constants.go and pkg/credentials/service_account_credentials.go of KServe v0.20.0
_SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"
_STORAGE_KEY = "internal.serving.kserve.io/storage-spec-key"
_PLACEHOLDER = "<scheme-placeholder>"
_CONTAINER = "kserve-container"
_MOUNTED = ("pvc://", "oci://", "oci+native://")

_CONTAINER_FIELDS = ("command", "env", "workingDir")
_POD_FIELDS = ("serviceAccountName", "nodeSelector", "priorityClassName", "runtimeClassName", "schedulerName")


def unmatched_field(spec: Json, deployment: Json) -> str | None:
    """Return the first field of a component's spec that the Deployment does not have so, or None.

    :param spec: the predictor, transformer or explainer of an InferenceService's spec.
    :param deployment: the Deployment that KServe made for it.
    """
    template = deployment["spec"]["template"]
    pod = template["spec"]
    model: Json = spec.get("model") or {}
    own = _named(spec.get("containers", ()), _CONTAINER)
    wanted: Json = model or own
    container = _named(pod.get("containers", ()), _CONTAINER)
    return (
        _storage(model, template.get("metadata", {}).get("annotations") or {})
        or _storage_uris(spec, pod)
        or _image(model, wanted, container)
        or _args(model, wanted, container)
        or _fields(wanted, container, _CONTAINER_FIELDS)
        # In a multi-node service KServe works out the GPUs itself.
        or (None if spec.get("workerSpec") else _resources(wanted, container))
        or _fields(spec, pod, _POD_FIELDS)
        or _fields(spec, template.get("metadata", {}), ["labels"])
    )


def unmatched_runtime_field(service: Json) -> str | None:
    """Return the field when the runtime that the spec names is not the one the controller has used, or None."""
    named = (service["spec"].get("predictor", {}).get("model") or {}).get("runtime")
    status: Json = service.get("status", {})
    used = (status.get("servingRuntimeName"), status.get("clusterServingRuntimeName"))
    return "model.runtime" if named and named not in used else None


def _named(containers: Sequence[Json], name: str) -> Json:
    # A single container of a custom predictor need not have a name; KServe then gives it this one.
    found = [entry for entry in containers if entry.get("name", name) == name]
    return found[0] if found else {}


def _storage(model: Json, annotations: Json) -> str | None:
    storage: Json = model.get("storage") or {}
    path = storage.get("path")
    uri = model.get("storageUri") or (f"{_PLACEHOLDER}://{path.lstrip('/')}" if path else None)
    if uri and annotations.get(_SOURCE_URI) != uri:
        return "model.storageUri" if model.get("storageUri") else "model.storage.path"
    if storage.get("key") and annotations.get(_STORAGE_KEY) != storage["key"]:
        return "model.storage.key"
    return None


def _storage_uris(spec: Json, pod: Json) -> str | None:
    # Several URIs become arguments of the init container in the Deployment itself, unless they are mounted.
    given = [entry["uri"] for entry in spec.get("storageUris") or () if not entry["uri"].startswith(_MOUNTED)]
    args = [arg for container in pod.get("initContainers", ()) for arg in container.get("args") or ()]
    return None if all(uri in args for uri in given) else "storageUris"


def _image(model: Json, wanted: Json, container: Json) -> str | None:
    actual = container.get("image", "")
    version = model.get("runtimeVersion")
    # A runtimeVersion becomes the tag, except on an image given by digest (utils.go, UpdateImageTag).
    if version and "@sha256:" not in actual and not actual.endswith(f":{version}"):
        return "model.runtimeVersion"
    image = wanted.get("image")
    if image and not version and _plain(image) != _plain(actual):
        return "image"
    return None


def _plain(image: str) -> str:
    # Some runtimes have a build for GPU as tag x-gpu or for CPU as image x-cpu, which KServe picks by the resources.
    return re.sub(r"-gpu$|-cpu(?=(:[\w.-]*)?$)", "", image)


def _args(model: Json, wanted: Json, container: Json) -> str | None:
    args, actual = wanted.get("args") or [], container.get("args") or []
    # The arguments of a model follow those of its runtime (utils.go, MergeRuntimeContainers); those of a
    # transformer or explainer come before the ones KServe adds (transformer_custom.go, explainer_custom.go).
    part = actual[-len(args) :] if model else actual[: len(args)]
    return None if not args or _holds(args, part) else "args"


def _resources(wanted: Json, container: Json) -> str | None:
    return None if _holds(_amounts(wanted), _amounts(container)) else "resources"


def _amounts(container: Json) -> dict[str, dict[str, Any]]:
    # The API server writes 1000m as 1 in a Deployment and leaves it alone in a custom resource.
    resources: Json = container.get("resources") or {}
    return {
        kind: {name: parse_quantity(value) for name, value in (resources.get(kind) or {}).items()}
        for kind in ("requests", "limits")
    }


def _fields(wanted: Json, actual: Json, names: Sequence[str]) -> str | None:
    return next((name for name in names if wanted.get(name) and not _holds(wanted[name], actual.get(name))), None)


def _holds(wanted: Any, actual: Any) -> bool:
    """Say whether the actual value has all that is wanted; maps and named lists may have more."""
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(_holds(value, actual.get(key)) for key, value in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        if not isinstance(actual, Sequence):
            return False
        if all(isinstance(entry, Mapping) and "name" in entry for entry in wanted):
            by_name = {entry["name"]: entry for entry in actual}
            return all(_holds(entry, by_name.get(entry["name"])) for entry in wanted)
        return len(wanted) == len(actual) and all(map(_holds, wanted, actual))
    if wanted in (None, ""):
        return actual in (None, "")
    # KServe fills in {{.Name}} and the like (utils.go, ReplacePlaceholders).
    if isinstance(wanted, str) and "{{" in wanted:
        return isinstance(actual, str)
    return bool(wanted == actual)
