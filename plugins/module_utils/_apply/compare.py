# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a live object already matches a manifest.

Server-side apply keeps in metadata.managedFields which fields each manager has applied ("Field management",
Kubernetes docs). That tells what the manifest alone cannot: which fields it has lost since it was last applied, what
identifies the entries of a list, and which lists and maps are replaced as a whole. So an object is compared only with
what the same manager applied; one that it has not applied yet always differs.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import same_quantity

Json = Mapping[str, Any]
Path = tuple[str, ...]

# Which fields are quantities, by kind: the names that follow each other on the way to one, where * is any name (API
# reference of Kubernetes). The API server writes them in their shortest form; a custom resource it stores as it was
# sent, unless a webhook has passed it through Go types, as those of KServe and Knative do.
_RESOURCES = (("resources", "requests", "*"), ("resources", "limits", "*"))
_OF_PODS = (*_RESOURCES, ("overhead", "*"), ("emptyDir", "sizeLimit"), ("resourceFieldRef", "divisor"))
_WITH_PODS = {
    "": ("Pod", "PodTemplate", "ReplicationController"),
    "apps": ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
    "batch": ("CronJob", "Job"),
    "serving.knative.dev": ("Configuration", "Revision", "Service"),
    "serving.kserve.io": ("ClusterServingRuntime", "InferenceGraph", "InferenceService", "ServingRuntime"),
}
_QUANTITIES: Mapping[tuple[str, str], Sequence[Path]] = {
    **{(group, kind): _OF_PODS for group, kinds in _WITH_PODS.items() for kind in kinds},
    ("", "LimitRange"): [
        ("limits", name, "*") for name in ("default", "defaultRequest", "max", "maxLimitRequestRatio", "min")
    ],
    ("", "PersistentVolume"): [("spec", "capacity", "*")],
    ("", "PersistentVolumeClaim"): _RESOURCES,
    ("", "ResourceQuota"): [("spec", "hard", "*")],
    ("autoscaling", "HorizontalPodAutoscaler"): [("target", "averageValue"), ("target", "value")],
    ("serving.kserve.io", "ClusterStorageContainer"): _RESOURCES,
}
# What the API server adds to an entry that is otherwise replaced as a whole (SetDefaults_* in pkg/apis of Kubernetes).
_DEFAULTS = {"apiVersion": "v1", "protocol": "TCP", "scope": "*"}


def first_difference(desired: Json, live: Json, manager: str) -> str | None:
    """Return the first field that has to be applied, such as spec.replicas, or None.

    :param desired: the manifest's body.
    :param live: the object as the API server returns it, in the manifest's API version.
    :param manager: the field manager the manifest is applied under.
    """
    owned = _owned(live, manager)
    if owned is None:
        return "metadata.managedFields" if has_fields(desired) else None
    group = str(desired.get("apiVersion", "")).rpartition("/")[0]
    quantities = _QUANTITIES.get((group, str(desired.get("kind"))), ())
    path = _difference_at(desired, live, owned, (), quantities)
    return None if path is None else ".".join(path)


def projection(value: Any, shape: Any) -> Any:
    """Return of a value only the fields that the shape names. Entries of lists are paired by name, or by position."""
    if isinstance(shape, Mapping) and isinstance(value, Mapping):
        return {key: projection(value[key], shape[key]) for key in shape if key in value}
    if isinstance(shape, list) and isinstance(value, list):
        pairs = ((entry, _pair(entry, index, shape)) for index, entry in enumerate(value))
        return [projection(entry, pair) for entry, pair in pairs if pair is not None]
    return value


def _pair(entry: Any, index: int, shape: Sequence[Any]) -> Any:
    if isinstance(entry, Mapping) and "name" in entry:
        named = (other for other in shape if isinstance(other, Mapping) and other.get("name") == entry["name"])
        return next(named, None)
    return shape[index] if index < len(shape) else None


def has_applied(live: Json, managers: Collection[str]) -> bool:
    """Say whether one of the field managers has applied an object."""
    managed = live["metadata"].get("managedFields") or ()
    return any(
        entry.get("manager") in managers and entry.get("operation") == "Apply" and not entry.get("subresource")
        for entry in managed
    )


def _owned(live: Json, manager: str) -> Json | None:
    for entry in live["metadata"].get("managedFields") or ():
        if (entry.get("manager"), entry.get("operation")) == (manager, "Apply") and not entry.get("subresource"):
            # The names of fields are those of the API version they were applied in.
            same = entry.get("apiVersion") == live.get("apiVersion")
            fields: Json | None = entry.get("fieldsV1")
            return fields if same else None
    return None


def has_fields(desired: Json) -> bool:
    """Say whether applying leaves a trace: no manager owns what identifies an object."""
    identity = {"name", "namespace"}
    return not desired.keys() <= {"apiVersion", "kind", "metadata"} or not desired["metadata"].keys() <= identity


def _difference_at(desired: Any, live: Any, owned: Json | None, path: Path, quantities: Sequence[Path]) -> Path | None:
    """Return the path of the first difference.

    :param owned: the part of fieldsV1 for this value: None when the manager does not own it, empty when it owns it as
        a whole.
    :param quantities: the ends of the paths of quantities.
    """
    if isinstance(desired, Mapping):
        return _map_difference(desired, live, owned, path, quantities) if isinstance(live, Mapping) else path
    if isinstance(desired, list):
        return _list_difference(desired, live, owned, path, quantities) if isinstance(live, list) else path
    return None if _same(desired, live, path, quantities) else path


def _map_difference(
    desired: Json, live: Json, owned: Json | None, path: Path, quantities: Sequence[Path]
) -> Path | None:
    whole = owned is not None and not owned
    for key, value in desired.items():
        below = {} if whole else (owned or {}).get(f"f:{key}")
        if key not in live and (value is None or (not value and not whole and below is not None)):
            # Applied, but the same as no value to the API server, as preserveUnknownFields: false.
            continue
        if key not in live and path[:1] == ("subjects",) and (key, value) == ("apiGroup", ""):
            # The API server does not keep the empty name of the core group, of which ServiceAccounts are.
            continue
        if key not in live:
            return (*path, key)
        if found := _difference_at(value, live[key], below, (*path, key), quantities):
            return found
    if whole:
        extra = (key for key, value in live.items() if key not in desired and _DEFAULTS.get(key) != value)
    else:
        extra = (key[2:] for key in owned or () if key.startswith("f:") and key[2:] not in desired)
    return next(((*path, key) for key in extra), None)


def _list_difference(
    desired: list[Any], live: list[Any], owned: Json | None, path: Path, quantities: Sequence[Path]
) -> Path | None:
    keyed = {key: fields for key, fields in (owned or {}).items() if key.startswith("k:")}
    if keyed:
        return _keyed_list_difference(desired, live, keyed, path, quantities)
    values = [json.loads(key[2:]) for key in owned or () if key.startswith("v:")]
    if values:
        same = all(value in live for value in desired) and all(value in desired for value in values)
        return None if same else path
    if len(desired) != len(live):
        return path
    for index, (mine, theirs) in enumerate(zip(desired, live, strict=True)):
        if found := _difference_at(mine, theirs, owned, (*path, str(index)), quantities):
            return found
    return None


def _keyed_list_difference(
    desired: list[Any], live: list[Any], owned: Json, path: Path, quantities: Sequence[Path]
) -> Path | None:
    identities = [(json.loads(key[2:]), fields) for key, fields in owned.items()]
    names = identities[0][0].keys()
    for mine in desired:
        # A part of the identity may be left to its default, as the protocol of a port.
        given = {name: mine[name] for name in names if isinstance(mine, Mapping) and name in mine}
        where = (*path, f"[{', '.join(f'{key}={value}' for key, value in given.items())}]")
        below = next((fields for identity, fields in identities if given.items() <= identity.items()), None)
        alike = [theirs for theirs in live if isinstance(theirs, Mapping) and given.items() <= theirs.items()]
        found = [_difference_at(mine, theirs, below, where, quantities) for theirs in alike]
        if None not in found:
            return found[0] if found else where
    for identity, _fields in identities:
        if not any(isinstance(mine, Mapping) and _has_identity(mine, identity) for mine in desired):
            return (*path, f"[{', '.join(f'{key}={value}' for key, value in identity.items())}]")
    return None


def _has_identity(entry: Json, identity: Json) -> bool:
    return all(entry.get(key, _DEFAULTS.get(key)) == value for key, value in identity.items())


def _same(desired: Any, live: Any, path: Path, quantities: Sequence[Path]) -> bool:
    if desired is None:
        return True
    if desired == live:
        return isinstance(desired, bool) == isinstance(live, bool)
    # Without the entries of lists.
    names = [name for name in path if not name.isdigit() and not name.startswith("[")]
    return any(_ends_with(names, end) for end in quantities) and same_quantity(desired, live)


def _ends_with(names: Sequence[str], end: Path) -> bool:
    return len(names) >= len(end) and all(
        wanted in ("*", name) for name, wanted in zip(names[-len(end) :], end, strict=True)
    )
