# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quantities of Kubernetes, and amounts of resources that the API server accepts and no pod can run with.

Quantities are read here and not by kubernetes.utils, whose import takes half a second: the list of models is checked in
each play. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

Json = Mapping[str, Any]

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?")
_SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(1000)}
_SUFFIXES |= {letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)}
_SUFFIXES |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}

MEBIBYTE = Decimal(1024**2)
_BYTES = ("memory", "ephemeral-storage", "storage", "hugepages-")
_CONTAINER = ("cpu", "memory", "ephemeral-storage", "hugepages-")
_MEANT = {"mem": "memory", "ram": "memory", "cpus": "cpu", "gpu": "nvidia.com/gpu", "gpus": "nvidia.com/gpu"}
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def quantity(value: Any) -> Decimal | None:
    """Return the number that a quantity such as 500m or 1Gi stands for, or None if it is none."""
    if isinstance(value, bool) or not (found := _QUANTITY.fullmatch(str(value))):
        return None
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix in _SUFFIXES:
        return number * _SUFFIXES[suffix]
    return number * Decimal(f"1{suffix}") if suffix else number


def same_quantity(one: Any, other: Any) -> bool:
    """Say whether two values are quantities of the same amount, such as 0.5 and 500m."""
    amount = quantity(one)
    return amount is not None and amount == quantity(other)


def container_faults(resources: Json) -> Iterator[str]:
    """Yield a sentence, without its end, for each amount of a container's resources that it cannot run with.

    :param resources: with requests and limits, each a dictionary or nothing.
    """
    for part in ("requests", "limits"):
        for name, amount in (resources.get(part) or {}).items():
            known = "/" in str(name) or str(name).startswith(_CONTAINER)
            if not known:
                meant = _MEANT.get(str(name).lower())
                hint = f"write {meant}" if meant else "a device has a name such as nvidia.com/gpu"
                yield f"{part}.{name} is not a resource of Kubernetes; {hint}"
            elif fault := amount_fault(str(name), amount):
                yield f"{part}.{name} is {amount}{fault}"
    limits: Json = resources.get("limits") or {}
    for name, amount in (resources.get("requests") or {}).items():
        requested, limited = quantity(amount), quantity(limits.get(name))
        if requested is None or limited is None:
            continue
        if requested > limited:
            yield f"requests.{name} is {amount}, which is more than limits.{name}, {limits[name]}"
        elif "/" in str(name) and requested != limited:
            yield f"requests.{name} is {amount} and limits.{name} {limits[name]}, and of a device both must be the same"


def amount_fault(name: str, amount: Any) -> str | None:
    """Return what is wrong with an amount of a resource, as the end of a sentence that begins with it, or None."""
    number = quantity(amount)
    if number is None or number < 0:
        return ", and must be a quantity such as 500m or 1Gi"
    digits = str(amount).rstrip("numkKi") or "0"
    whole = number == number.to_integral_value()
    if name.startswith(_BYTES):
        unit = "Gi" if name == "storage" else "Mi"
        if not whole:
            return f", which is {number.normalize():f} bytes, since m is a thousandth; write {digits}{unit}"
        if 0 < number < MEBIBYTE and not name.startswith("ephemeral"):
            return f", which is only {number:f} bytes; write {digits}{unit}"
    elif name == "cpu":
        if str(amount).endswith("i"):
            return f", which are bytes; write {digits.rstrip('MGTPE')}m for thousandths of a core"
        if (number * 1000) % 1:
            return ", and 1m, a thousandth of a core, is the smallest part"
    elif "/" in name and not whole:
        return ", and a device is not divided; write a whole number"
    return None


def manifest_faults(body: Json) -> Iterator[str]:
    """Yield such a sentence for each fault in an object: in its containers, its quota, its limits and its storage."""
    kind, spec = body.get("kind"), body.get("spec")
    if kind == "CustomResourceDefinition" or not isinstance(spec, Mapping):
        return
    if kind == "ResourceQuota":
        yield from _amounts("spec.hard", spec.get("hard"))
    elif kind == "LimitRange":
        for entry in spec.get("limits") or ():
            for part in ("default", "defaultRequest", "min", "max"):
                yield from _amounts(f"spec.limits.{part}", entry.get(part))
    elif kind == "PersistentVolume":
        yield from _amounts("spec.capacity", spec.get("capacity"))
    elif kind == "PersistentVolumeClaim":
        yield from _amounts("spec.resources.requests", (spec.get("resources") or {}).get("requests"))
    else:
        yield from _in_pods(spec)


def _amounts(where: str, amounts: Any) -> Iterator[str]:
    for name, amount in amounts.items() if isinstance(amounts, Mapping) else ():
        resource = str(name).removeprefix("requests.").removeprefix("limits.")
        if fault := amount_fault(resource, amount):
            yield f"{where}.{name} is {amount}{fault}"


def _in_pods(value: Any) -> Iterator[str]:
    """Look for containers, and for the model of an InferenceService, at any depth of a spec."""
    if isinstance(value, list):
        for item in value:
            yield from _in_pods(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in _CONTAINERS and isinstance(item, list):
                for container in item:
                    yield from _of_container(f"the container {container.get('name')}", container)
            elif key == "model" and isinstance(item, Mapping):
                yield from _of_container("the model", item)
            else:
                yield from _in_pods(item)


def _of_container(who: str, container: Any) -> Iterator[str]:
    resources = container.get("resources") if isinstance(container, Mapping) else None
    parts = resources if isinstance(resources, Mapping) else {}
    if all(isinstance(parts.get(part) or {}, Mapping) for part in ("requests", "limits")):
        yield from (f"resources.{fault}, of {who}" for fault in container_faults(parts))
