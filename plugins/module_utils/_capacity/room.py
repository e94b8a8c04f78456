# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether pods fit into quotas, limit ranges and nodes: pure functions over what the API server returns.

Each fault is a clause that names the object, what it needs, and what is left or allowed.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import MEBIBYTE

from .demand import Amounts, Pods, added, amounts, limits_of

Json = Mapping[str, Any]

# Quota keys of compute resources without a prefix are about requests.
_REQUESTS = ("cpu", "memory", "ephemeral-storage")


@dataclass
class Node:
    """What a node has left."""

    name: str
    free: Amounts


def text(name: str, amount: Decimal) -> str:
    """Return an amount of a resource for people, such as 1.5 or 512Mi."""
    if any(word in name for word in ("memory", "storage", "hugepages")):
        mebibytes = amount / MEBIBYTE
        return f"{mebibytes / 1024:.4g}Gi" if abs(mebibytes) >= 1024 else f"{mebibytes:.4g}Mi"
    return f"{amount.normalize():f}"


def container_faults(pods: Iterable[Pods], ranges: Sequence[Json]) -> Iterator[str]:
    """Yield the requests of containers above their limits, which the runtime may set, or outside a LimitRange."""
    for entry in pods:
        for container in [*entry.containers, *entry.init]:
            who = f"the container {container.name} of {entry.owner}"
            for name, amount in container.requests.items():
                limit = container.limits.get(name)
                if limit is not None and amount > limit:
                    yield (
                        f"{who} requests {text(name, amount)} {name}, more than its limit of {text(name, limit)} from "
                        f"the serving runtime or a LimitRange (set limits.{name})"
                    )
            for bounds in limits_of(ranges, "Container"):
                yield from _out_of_bounds(who, container.requests, container.limits, bounds)
        for bounds in limits_of(ranges, "Pod"):
            yield from _out_of_bounds(
                f"a pod of {entry.owner}", entry.amounts("requests"), entry.amounts("limits"), bounds
            )


def claim_faults(claims: Iterable[Json], ranges: Sequence[Json]) -> Iterator[str]:
    """Yield the PersistentVolumeClaims whose size is outside a LimitRange."""
    for claim in claims:
        for bounds in limits_of(ranges, "PersistentVolumeClaim"):
            size = {"storage": _storage(claim)}
            who = f"PersistentVolumeClaim {claim['metadata']['name']}"
            yield from _out_of_bounds(who, size, size, bounds, has="requests")


def _out_of_bounds(
    who: str, requests: Amounts, limits: Amounts, bounds: Json, has: str = "has a limit of"
) -> Iterator[str]:
    for name, most in amounts(bounds.get("max")).items():
        if (limit := limits.get(name, most)) > most:
            yield f"{who} {has} {text(name, limit)} {name}, and a LimitRange allows at most {text(name, most)}"
    for name, least in amounts(bounds.get("min")).items():
        if (request := requests.get(name, least)) < least:
            yield f"{who} requests {text(name, request)} {name}, and a LimitRange requires at least {text(name, least)}"


def quota_need(entry: Pods, key: str) -> Decimal | None:
    """Return what one pod counts for a key of a quota, or None if the key is about something else."""
    if key in ("pods", "count/pods"):
        return Decimal(1)
    part, dot, name = key.partition(".")
    if dot and part in ("requests", "limits") and name != "storage":
        return entry.amounts(part).get(name, Decimal(0))
    return entry.amounts("requests").get(key, Decimal(0)) if key in _REQUESTS else None


def left(quota: Json) -> Amounts:
    """Return what a ResourceQuota has left, by its keys."""
    used = amounts((quota.get("status") or {}).get("used"))
    return {
        key: hard - used.get(key, Decimal(0)) for key, hard in amounts((quota.get("spec") or {}).get("hard")).items()
    }


def quota_faults(pods: Sequence[Pods], claims: Sequence[Json], quota: Json) -> Iterator[str]:
    """Yield what exceeds a quota. Loads and rollouts go one after another where there is no room for more at once."""
    name = f"ResourceQuota {quota['metadata'].get('namespace') or 'default'}/{quota['metadata']['name']}"
    for key, free in left(quota).items():
        needs = [(entry, quota_need(entry, key)) for entry in pods]
        known = [(entry, need) for entry, need in needs if need is not None]
        total = sum((need * entry.count for entry, need in known if not entry.turn), Decimal(0))
        single = max((need * entry.count for entry, need in known if entry.turn), default=Decimal(0))
        if key == "persistentvolumeclaims":
            total = Decimal(len(claims))
        elif key == "requests.storage":
            total = sum((_storage(claim) for claim in claims), Decimal(0))
        if max(total, single) > max(free, Decimal(0)):
            needed, available = text(key, max(total, single)), text(key, max(free, Decimal(0)))
            yield f"{name} is too small for {key}: {needed} needed, {available} left"
        for entry, need in known:
            bare = _without(entry, key)
            if need == 0 and bare:
                yield f"{name} requires {key}, which the container {bare} of {entry.owner} does not set"
                break


def _without(entry: Pods, key: str) -> str:
    """Return a container that does not set what the quota needs set: Kubernetes rejects its pod."""
    part, dot, name = key.partition(".")
    if key in ("cpu", "memory"):
        part, name = "requests", key
    elif not (dot and part in ("requests", "limits") and name in ("cpu", "memory")):
        return ""
    return next((one.name for one in [*entry.containers, *entry.init] if name not in getattr(one, part)), "")


def _storage(claim: Json) -> Decimal:
    requested = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    return amounts({"storage": requested}).get("storage", Decimal(0))


def nodes_with_room(nodes: Iterable[Json], pods: Iterable[Json]) -> list[Node]:
    """Return what the nodes that take any pod have left beside the pods that they run."""
    found = {}
    for node in nodes:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        tainted = any(taint.get("effect") in ("NoSchedule", "NoExecute") for taint in spec.get("taints") or ())
        ready = any(
            one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ()
        )
        if ready and not tainted and not spec.get("unschedulable"):
            name = node["metadata"]["name"]
            found[name] = Node(name, amounts(status.get("allocatable")))
    for pod in pods:
        spec = pod.get("spec") or {}
        place = found.get(spec.get("nodeName", ""))
        if place and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            _take(place, _requested(spec))
    return list(found.values())


def _requested(spec: Json) -> Amounts:
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    running = [*(spec.get("containers") or ()), *sidecars]
    return added(amounts((container.get("resources") or {}).get("requests")) for container in running)


def _take(node: Node, requested: Amounts) -> None:
    for name, amount in {**requested, "pods": Decimal(1)}.items():
        node.free[name] = node.free.get(name, Decimal(0)) - amount


def _fits(node: Node, requested: Amounts) -> bool:
    return all(node.free.get(name, Decimal(0)) >= amount for name, amount in {**requested, "pods": Decimal(1)}.items())


def place(requests: Sequence[Amounts], nodes: Sequence[Node]) -> list[Amounts]:
    """Return the pods that no node has room for, if the largest are placed first."""
    room = [Node(node.name, dict(node.free)) for node in nodes]
    unplaced = []
    for requested in sorted(requests, key=lambda one: (-one.get("memory", 0), -one.get("cpu", 0))):
        node = next((node for node in room if _fits(node, requested)), None)
        if node:
            _take(node, requested)
        else:
            unplaced.append(requested)
    return unplaced


def node_fault(pods: Sequence[Pods], nodes: Sequence[Node]) -> str | None:
    """Return why the nodes have no room for the pods, or None. Pods that choose their nodes are left out."""
    free = [entry for entry in pods if not entry.bound]
    requested = [entry.amounts("requests") for entry in free if not entry.turn for _each in range(entry.count)]
    unplaced = place(requested, nodes)
    if not unplaced:
        turns = [[entry.amounts("requests")] * entry.count for entry in free if entry.turn]
        requested = next((requests for requests in turns if place(requests, nodes)), [])
        unplaced = place(requested, nodes)
    if not unplaced:
        return None
    total = added(requested)
    there: Amounts = dict.fromkeys(total, Decimal(0))
    for node in nodes:
        for name in total:
            there[name] += max(node.free.get(name, Decimal(0)), Decimal(0))
    who = "the pod" if len(requested) == 1 else f"{len(unplaced)} of {len(requested)} pods"
    slots = sum((max(node.free.get("pods", Decimal(0)), Decimal(0)) for node in nodes), Decimal(0))
    if slots < len(requested):
        return f"no node has room for {who}: all nodes together can run only {text('pods', slots)} more"
    what = "it requests" if len(requested) == 1 else f"the {len(requested)} pods request"
    return f"no node has room for {who}: {what} {_listed(total)}, and all nodes together have {_listed(there)} left"


def _listed(amounts: Amounts) -> str:
    *first, last = (f"{text(name, amount)} {name}" for name, amount in sorted(amounts.items()))
    return f"{', '.join(first)} and {last}" if first else last


def at_once(pods: Sequence[Pods], quotas: Iterable[Json], nodes: Sequence[Node] | None) -> int:
    """Return how many of the loads can run at the same time, at least one.

    :param nodes: None if they are unknown.
    """
    loads = [entry for entry in pods if entry.load]
    most = len(loads)
    for quota in quotas:
        for key, free in left(quota).items():
            need = max((quota_need(entry, key) or Decimal(0) for entry in loads), default=Decimal(0))
            if need > 0:
                most = min(most, int(free / need))
    if nodes is not None:
        requests = [entry.amounts("requests") for entry in loads if not entry.bound]
        most = min(most, len(loads) - len(place(requests, nodes)))
    return max(most, 1)
