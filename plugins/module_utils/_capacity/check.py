# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing what manifests ask for with what a cluster has left, before they are applied.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import quantity
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.field_match import holds

from .definitions import read
from .demand import Pods, Serving, is_knative, model_of, pods_of, rolled_out, uncounted
from .room import Node, at_once, claim_faults, container_faults, node_fault, nodes_with_room, quota_faults

Json = Mapping[str, Any]

_KSERVE = "/apis/serving.kserve.io/v1"
# Where an object of each kind is listed.
_LISTS = {
    "InferenceService": "/apis/serving.kserve.io/v1beta1/namespaces/{}/inferenceservices",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
}
_BOUNDS = {
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "LimitRange": "/api/v1/namespaces/{}/limitranges",
}
# Whether an object exists as it is given.
APPLIED, CHANGED, ABSENT = "applied", "changed", "absent"
# Pods that have ended request nothing.
_RUNNING = {"pods": {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}}
# The chart's values of KServe's configuration.
_INITIALIZER = {"cpuRequest": "100m", "memoryRequest": "100Mi", "cpuLimit": "1", "memoryLimit": "1Gi"}
_TOLD = 4  # so many faults make up the message; the others are in the result


def check(api: KubeApi, definitions: Iterable[Json], kserve_namespace: str) -> dict[str, Any]:
    """Return the result of capacity_info.

    :param definitions: the objects to apply; quotas and limit ranges among them count as applied.
    :param kserve_namespace: where KServe's configuration is.
    :raises KServeError: the cluster does not answer, or an object is not valid.
    """
    given = list(read(definitions))
    reader = _Reader(api)
    states = [(entry, reader.state(entry)) for entry in given if entry.get("kind") in _LISTS]
    new = [entry for entry, state in states if state != APPLIED]
    changed = [entry for entry, state in states if state == CHANGED]
    reader.unchecked |= {what for entry in new if entry["kind"] == "InferenceService" for what in uncounted(entry)}
    faults: list[str] = []
    if not new:
        return _result(faults, [], 1, reader)
    spaces = sorted({_namespace(entry) for entry in new})
    bounds = {
        kind: {
            space: _overlaid(given, kind, space, reader.listed(path.format(space), f"the {kind}s")) for space in spaces
        }
        for kind, path in _BOUNDS.items()
    }
    serving = reader.serving([entry for entry in new if entry["kind"] == "InferenceService"], kserve_namespace)
    pods = [
        rolled_out(one, is_knative(entry)) if entry in changed else one
        for entry in new
        for one in pods_of(entry, serving, bounds["LimitRange"][_namespace(entry)])
    ]
    for space in spaces:
        own = [one for one in pods if one.namespace == space]
        claims = [entry for entry in new if entry["kind"] == "PersistentVolumeClaim" and _namespace(entry) == space]
        faults += container_faults(own, bounds["LimitRange"][space])
        faults += claim_faults(claims, bounds["LimitRange"][space])
        for quota in bounds["ResourceQuota"][space]:
            if _is_scoped(quota):
                reader.unchecked.add(f"ResourceQuota {quota['metadata']['name']}, which has scopes")
            else:
                faults += quota_faults(own, claims, quota)
    nodes = reader.nodes() if pods else None
    if nodes is not None and (fault := node_fault(pods, nodes)):
        faults.append(fault)
    quotas = [quota for space in spaces for quota in bounds["ResourceQuota"][space] if not _is_scoped(quota)]
    return _result(faults, pods, at_once(pods, quotas, nodes), reader)


def _result(faults: Sequence[str], pods: Sequence[Pods], loads: int, reader: _Reader) -> dict[str, Any]:
    rest = f"; {len(faults) - _TOLD} more are in faults" if len(faults) > _TOLD else ""
    return {
        "changed": False,
        "faults": list(faults),
        "msg": f"{'; '.join(faults[:_TOLD])}{rest}" if faults else "",
        "pods": sum(one.count for one in pods),
        "loads_at_once": loads,
        "unchecked": sorted(reader.unchecked),
    }


def _namespace(entry: Json) -> str:
    return str(entry["metadata"].get("namespace") or "default")


def _is_scoped(quota: Json) -> bool:
    spec: Json = quota.get("spec") or {}
    return bool(spec.get("scopes") or spec.get("scopeSelector"))


def _overlaid(given: Sequence[Json], kind: str, space: str, live: Sequence[Json]) -> list[Json]:
    """Return the objects of a namespace as they will be: the live ones with the specs that are given."""
    found = {entry["metadata"]["name"]: entry for entry in live}
    for entry in given:
        if entry.get("kind") == kind and _namespace(entry) == space:
            name = entry["metadata"]["name"]
            found[name] = {**entry, "status": found.get(name, {}).get("status")}
    return list(found.values())


class _Reader:
    """Reads the cluster; unchecked: what it could not read."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._lists: dict[str, dict[str, Json] | None] = {}
        self.unchecked: set[str] = set()

    def listed(self, path: str, what: str) -> list[Json]:
        """Return the objects of a collection; none where it does not exist or may not be read."""
        return self._list(path, what) or []

    def _list(self, path: str, what: str, **query: str) -> list[Json] | None:
        """Return the objects of a collection; None where it may not be read."""
        try:
            items: list[Json] = self._api.get(path, **query)["items"]
        except ApiError as error:
            if error.status == 403:
                self.unchecked.add(f"{what}, which the credentials may not list")
                return None
            if error.status != 404:
                raise
            return []
        return items

    def state(self, entry: Json) -> str:
        """Return whether an object exists as it is given; what may not be read counts as applied."""
        path = _LISTS[entry["kind"]].format(_namespace(entry))
        if path not in self._lists:
            found = self._list(path, f"the existing {entry['kind']}s")
            self._lists[path] = None if found is None else {one["metadata"]["name"]: one for one in found}
        known = self._lists[path]
        if known is None:
            return APPLIED
        live = known.get(entry["metadata"]["name"])
        if live is None:
            return ABSENT
        # A Job and a claim are not changed, and an autoscaler may have added replicas.
        if entry["kind"] in ("Job", "PersistentVolumeClaim"):
            return APPLIED
        wanted = {key: value for key, value in entry["spec"].items() if key != "replicas"}
        fewer = int(entry["spec"].get("replicas") or 0) > int(live["spec"].get("replicas") or 0)
        return APPLIED if not fewer and holds(wanted, live["spec"]) else CHANGED

    def serving(self, services: Sequence[Json], kserve_namespace: str) -> Serving:
        """Return what KServe adds to InferenceServices."""
        wanted = {
            (_namespace(entry), str((model_of(entry["spec"].get("predictor", {})) or {}).get("runtime") or ""))
            for entry in services
        } - {(_namespace(entry), "") for entry in services}
        found = concurrently(self._runtime, sorted(wanted))
        runtimes = {name: containers for (_space, name), containers in zip(sorted(wanted), found, strict=True)}
        if not services:
            return Serving(runtimes)
        containers = self.listed(f"{_KSERVE}alpha1/clusterstoragecontainers", "the ClusterStorageContainers")
        return Serving(runtimes, self._initializer(kserve_namespace), containers)

    def _runtime(self, wanted: tuple[str, str]) -> Sequence[Json]:
        space, name = wanted
        for path in (
            f"{_KSERVE}alpha1/namespaces/{space}/servingruntimes/{name}",
            f"{_KSERVE}alpha1/clusterservingruntimes/{name}",
        ):
            try:
                return list(self._api.get(path)["spec"].get("containers") or ())
            except ApiError as error:
                if error.status not in (403, 404):
                    raise
        self.unchecked.add(f"the resources of the serving runtime {name}, which cannot be read")
        return []

    def _initializer(self, namespace: str) -> Json:
        try:
            data = self._api.get(f"/api/v1/namespaces/{namespace}/configmaps/inferenceservice-config")["data"]
            config = json.loads(data["storageInitializer"])
            config = config if isinstance(config, Mapping) else {}
        except (ApiError, KeyError, TypeError, ValueError):
            config = {}
        # The values of the chart where the configuration has none.
        found = {key: config.get(key) or default for key, default in _INITIALIZER.items()}
        for key, value in found.items():
            if quantity(value) is None:
                self.unchecked.add(f"{key} of the storage initializer, which is no quantity in inferenceservice-config")
        return {
            "name": "storage-initializer",
            "resources": {
                "requests": {"cpu": found["cpuRequest"], "memory": found["memoryRequest"]},
                "limits": {"cpu": found["cpuLimit"], "memory": found["memoryLimit"]},
            },
        }

    def nodes(self) -> list[Node] | None:
        """Return what the nodes have left, or None if they may not be listed."""
        nodes, pods = concurrently(
            lambda plural: self._list(f"/api/v1/{plural}", f"the {plural} of the cluster", **_RUNNING.get(plural, {})),
            ("nodes", "pods"),
        )
        return None if nodes is None else nodes_with_room(nodes, pods or [])
