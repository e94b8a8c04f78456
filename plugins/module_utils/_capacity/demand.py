# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pods manifests ask for, and what each requests: pure functions.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import quantity

from .definitions import EXPLAINER

Json = Mapping[str, Any]
Amounts = dict[str, Decimal]

# pkg/constants/constants.go of KServe v0.20.0
SERVER = "kserve-container"
# What the storage initializer downloads nothing for: a volume, and an image.
_MOUNTED = ("pvc://", "oci://", "oci+native://")
_PARTS = ("requests", "limits")
# QueueSidecarCPURequestDefault of Knative Serving v1.21, pkg/deployment/config.go
_QUEUE_PROXY: Json = {"name": "queue-proxy", "resources": {"requests": {"cpu": "25m"}}}


@dataclass(frozen=True)
class Container:
    """A container with its requests and limits, after the defaults of the namespace."""

    name: str
    requests: Amounts
    limits: Amounts


@dataclass(frozen=True)
class Pods:
    """Pods of one object.

    owner: for messages; load: whether they run to completion; turn: whether they can wait for others of this kind, as
    loads and rollouts do; bound: whether they choose their nodes themselves.
    """

    owner: str
    namespace: str
    count: int
    containers: Sequence[Container]
    init: Sequence[Container] = ()
    load: bool = False
    turn: bool = False
    bound: bool = False

    def amounts(self, part: str) -> Amounts:
        """Return the requests or limits of one pod, as the scheduler and quotas sum them up.

        https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
        """
        total = added(getattr(container, part) for container in self.containers)
        for container in self.init:
            for name, amount in getattr(container, part).items():
                total[name] = max(total.get(name, Decimal(0)), amount)
        return total


@dataclass(frozen=True)
class Serving:
    """What KServe adds to an InferenceService: the containers of its runtime by name, and the storage initializer.

    storage_containers: the ClusterStorageContainers, which stand over the storage initializer of the configuration.
    """

    runtimes: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    initializer: Json = field(default_factory=dict)
    storage_containers: Sequence[Json] = ()

    def initializer_of(self, uri: str) -> Json:
        """Return the storage initializer of a URI (GetStorageContainerSpec and MergeContainerWithPatch of KServe)."""
        for entry in self.storage_containers:
            spec: Json = entry["spec"]
            formats = spec.get("supportedUriFormats") or ()
            if _loads_models(entry) and any(_matches(uri, one) for one in formats):
                container: Json = spec.get("container") or {}
                parts = {part: _over(self.initializer, container.get("resources") or {}, part) for part in _PARTS}
                return {**self.initializer, "resources": parts}
        return self.initializer


def _loads_models(entry: Json) -> bool:
    return not entry.get("disabled") and entry["spec"].get("workloadType", "initContainer") == "initContainer"


def _matches(uri: str, form: Json) -> bool:
    prefix, pattern = form.get("prefix"), form.get("regex")
    try:
        return bool(prefix and uri.startswith(prefix)) or bool(pattern and re.search(pattern, uri))
    except re.error:  # valid in Go only
        return False


def pods_of(manifest: Json, serving: Serving, ranges: Sequence[Json] = ()) -> Iterator[Pods]:
    """Yield the pods that an object will have.

    :param ranges: the LimitRanges of its namespace, whose defaults its containers get.
    """
    kind, spec = manifest.get("kind"), manifest.get("spec") or {}
    metadata: Json = manifest["metadata"]
    owner, namespace = f"{kind} {metadata['name']}", metadata.get("namespace") or "default"
    if kind == "InferenceService":
        yield from _service_pods(owner, namespace, manifest, serving, ranges)
        return
    if kind in ("Deployment", "StatefulSet"):
        pod, count = (spec.get("template") or {}).get("spec"), spec.get("replicas", 1)
    elif kind == "Job":
        pod, count = (spec.get("template") or {}).get("spec"), spec.get("parallelism", 1)
    else:
        return
    yield _pods(owner, namespace, int(count), pod or {}, ranges, load=kind == "Job")


def _service_pods(
    owner: str, namespace: str, manifest: Json, serving: Serving, ranges: Sequence[Json]
) -> Iterator[Pods]:
    knative = is_knative(manifest)
    for component in ("predictor", "transformer", "explainer"):
        spec: Json = (manifest.get("spec") or {}).get(component) or {}
        if not spec:
            continue
        model = model_of(spec)
        containers: Sequence[Json] = spec.get("containers") or ()
        if model is not None:
            merged = _merged(serving.runtimes.get(model.get("runtime", ""), ()), model)
            names = {container.get("name") for container in merged}
            containers = [*merged, *(one for one in containers if one.get("name") not in names)]
        stored = model is not None and not str(model.get("storageUri", "")).startswith(_MOUNTED)
        initializer = serving.initializer_of(str((model or {}).get("storageUri", "")))
        pod = {
            **spec,
            "containers": [*containers, _QUEUE_PROXY] if knative else containers,
            "initContainers": [initializer] if stored and initializer else [],
        }
        # Knative starts one pod, also where it then scales to zero.
        yield _pods(owner, namespace, max(int(spec.get("minReplicas") or 1), 1), pod, ranges)


def model_of(component: Json) -> Json | None:
    """Return the model of a predictor, or what an explainer has instead, or None."""
    model: Json | None = component.get("model", component.get(EXPLAINER))
    return model


def uncounted(manifest: Json) -> Iterator[str]:
    """Yield what an InferenceService will request and is not known from it, as ends of "not compared: "."""
    who = f"InferenceService {manifest['metadata']['name']}"
    for name in ("predictor", "transformer", "explainer"):
        component: Json = manifest["spec"].get(name) or {}
        model = model_of(component)
        if component and model is None and not component.get("containers"):
            yield f"the {name} of {who}, which has no model and no containers"
        elif name == "predictor" and model is not None and not model.get("runtime"):
            yield f"the resources of the serving runtime of {who}, which names none"
        if component.get("workerSpec"):
            yield f"the workers of {who}, which the {name} has in workerSpec"


def is_knative(manifest: Json) -> bool:
    """Return whether an InferenceService is to be served in Knative mode."""
    annotations: Json = manifest["metadata"].get("annotations") or {}
    return annotations.get("serving.kserve.io/deploymentMode") == "Knative"


def _merged(runtime: Sequence[Json], model: Json) -> list[Json]:
    """Return the runtime's containers with the model's resources over those of the server (MergeRuntimeContainers)."""
    own: Json = model.get("resources") or {}
    found = list(runtime) or [{"name": SERVER}]
    return [
        container
        if container.get("name") != SERVER
        else {**container, "resources": {part: _over(container, own, part) for part in _PARTS}}
        for container in found
    ]


def _over(container: Json, own: Json, part: str) -> Json:
    return {**((container.get("resources") or {}).get(part) or {}), **(own.get(part) or {})}


def _pods(owner: str, namespace: str, count: int, pod: Json, ranges: Sequence[Json], load: bool = False) -> Pods:
    init = pod.get("initContainers") or ()
    # A sidecar runs for as long as the pod.
    sidecars = [container for container in init if container.get("restartPolicy") == "Always"]
    return Pods(
        owner,
        namespace,
        count,
        [_container(entry, ranges) for entry in [*(pod.get("containers") or ()), *sidecars]],
        [_container(entry, ranges) for entry in init if entry not in sidecars],
        load,
        load,
        bool(pod.get("nodeSelector") or pod.get("affinity") or pod.get("tolerations") or pod.get("nodeName")),
    )


def _container(entry: Json, ranges: Sequence[Json]) -> Container:
    resources: Json = entry.get("resources") or {}
    limits, requests = amounts(resources.get("limits")), amounts(resources.get("requests"))
    # The API server takes a limit for a missing request before it looks for defaults.
    requests = {**limits, **requests}
    for limit in limits_of(ranges, "Container"):
        limits = {**amounts(limit.get("default")), **limits}
        requests = {**amounts(limit.get("defaultRequest") or limit.get("default")), **requests}
    return Container(str(entry.get("name", "")), requests, limits)


def rolled_out(pods: Pods, knative: bool) -> Pods:
    """Return the pods that a change of an existing object adds for a time, so that another change can wait for them.

    A Deployment creates a quarter of its pods, at least one, before it deletes previous ones (maxSurge). Knative
    creates all pods of a revision before it deletes those of the previous one.
    """
    return replace(pods, count=pods.count if knative else math.ceil(pods.count / 4), turn=True)


def limits_of(ranges: Iterable[Json], kind: str) -> Iterator[Json]:
    """Yield the entries of LimitRanges that are about containers, pods or claims."""
    for entry in ranges:
        for limit in (entry.get("spec") or {}).get("limits") or ():
            if limit.get("type") == kind:
                yield limit


def added(parts: Iterable[Amounts]) -> Amounts:
    """Return the sum of amounts, by resource."""
    total: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def amounts(given: Any) -> Amounts:
    """Return quantities as numbers, without what is no quantity."""
    numbers = {str(name): quantity(value) for name, value in (given or {}).items()}
    return {name: number for name, number in numbers.items() if number is not None}
