# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every object of API groups: read, counted, written to files, and compared with what an earlier run wrote.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common import atomic_file
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff, Retry
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import CLUSTER_PATH

from . import field_managers, owners

with suppress(ImportError):  # kubernetes.core's module class says so before anything here is called
    import yaml

Json = dict[str, Any]
# A monotonic clock in seconds, and a sleep.
Timing = tuple[Callable[[], float], Callable[[float], None]]

# How many objects the API server gives in one answer.
_PAGE = 500
# For how many seconds the API server may list what it no longer serves, after a CRD was changed or deleted.
_LONGEST = 30
# What the API server and controllers write into an object: an apply would be refused, or name owners that are gone.
_SERVERS_OWN = {
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
}
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
INDEX = "index.json"
RESTORE, OWNED = "restore", "owned"
# The objects of restore/ by field manager, for the role platform_upgrade.
APPLIED = "applied.yaml"


@dataclass(frozen=True)
class Resource:
    """A kind of object as the API server serves it; api_version: the one that it prefers."""

    api_version: str
    plural: str
    kind: str

    @property
    def name(self) -> str:
        """The name as RBAC rules and CRDs have it, such as inferenceservices.serving.kserve.io."""
        return f"{self.plural}.{self.api_version.rpartition('/')[0]}"


@dataclass(frozen=True)
class Found:
    """The objects of one resource: those that users created, and those that a controller created for another object."""

    resource: Resource
    roots: tuple[Json, ...]
    owned: tuple[Json, ...]


def is_in_groups(group: str, groups: Sequence[str]) -> bool:
    """Say whether an API group is one of the groups, or below one: serving.knative.dev is below knative.dev."""
    return any(group == wanted or group.endswith(f".{wanted}") for wanted in groups)


def read(api: KubeApi, groups: Sequence[str], timing: Timing | None = None) -> list[Found]:
    """Return the resources of the groups in the order of their names, with their objects.

    What is listed as served and then is not there counts as no object only when it is no longer listed either: its CRD
    was deleted. Another version of it may be served by then, with all objects.

    :raises KServeError: groups names none, or not as the API does; the API server refuses or does not answer.
    """
    if not groups or not all(map(_GROUP.fullmatch, groups)):
        raise KServeError(
            f"groups is {json.dumps(list(groups))}, which names no API group or not as the API does; list groups such "
            "as serving.kserve.io.",
            reason="InvalidOption",
        )
    clock, sleep = timing or (time.monotonic, time.sleep)
    retry = Retry(clock() + _LONGEST, Backoff(0.5, 2), clock, sleep)
    while True:
        try:
            resources = sorted(_resources(api, groups), key=lambda resource: resource.name)
            return concurrently(lambda resource: _found(api, resource), resources)
        except ApiError as error:
            if error.status != 404:
                raise
            if not retry.pause():
                raise KServeError(
                    f"The API server lists an API of {', '.join(groups)} and does not serve it after {_LONGEST} "
                    f"seconds: {error}; see whether a CRD is being changed or deleted, and run again.",
                    reason="KindNotServed",
                ) from None


def _resources(api: KubeApi, groups: Sequence[str]) -> Iterator[Resource]:
    for group in api.get("/apis")["groups"]:
        if not is_in_groups(group["name"], groups):
            continue
        seen: set[str] = set()
        # In the server's order of preference: a kind is read in the first version that has it.
        for version in group["versions"]:
            for entry in api.get(f"/apis/{version['groupVersion']}").get("resources") or ():
                plural = entry["name"]
                if "/" not in plural and "list" in entry.get("verbs", ()) and plural not in seen:
                    seen.add(plural)
                    yield Resource(version["groupVersion"], plural, entry["kind"])


def _found(api: KubeApi, resource: Resource) -> Found:
    objects = [{**thing, "apiVersion": resource.api_version, "kind": resource.kind} for thing in _listed(api, resource)]
    objects.sort(key=_identity)
    owned = [thing for thing in objects if is_controlled(thing)]
    roots = [thing for thing in objects if not is_controlled(thing)]
    return Found(resource, tuple(roots), tuple(owned))


def _listed(api: KubeApi, resource: Resource) -> Iterator[Json]:
    query: dict[str, Any] = {"limit": _PAGE}
    while True:
        answer = api.get(f"/apis/{resource.api_version}/{resource.plural}", **query)
        yield from answer.get("items") or ()
        token = (answer.get("metadata") or {}).get("continue")
        if not token:
            return
        query = {**query, "continue": token}


def is_controlled(thing: Json) -> bool:
    """Say whether a controller has created an object for another one; one with an owner only is deleted with that."""
    return any(owner.get("controller") for owner in thing["metadata"].get("ownerReferences") or ())


def _identity(thing: Json) -> str:
    metadata = thing["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def index(found: Sequence[Found]) -> Json:
    """Return by resource the number of objects, and the UIDs of those that users created, by name."""
    return {
        "counts": {entry.resource.name: len(entry.roots) + len(entry.owned) for entry in found},
        "objects": {
            entry.resource.name: {_identity(thing): str(thing["metadata"].get("uid", "")) for thing in entry.roots}
            for entry in found
        },
    }


def lost_objects(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Json]:
    """Return what an index had and another lacks or has re-created: an API that is not served, objects of users.

    What a controller has created for another object, that controller may delete.
    """
    missing: list[Json] = []
    for name, objects in before["objects"].items():
        present = now["objects"].get(name)
        if present is None and objects:
            missing.append({"resource": name, "name": None, "what": "kind"})
        for identity, uid in objects.items():
            if present is None or identity not in present:
                missing.append({"resource": name, "name": identity, "what": "object"})
            elif uid and present[identity] and present[identity] != uid:
                missing.append({"resource": name, "name": identity, "what": "replaced"})
    return missing


def write(folder: Path, found: Sequence[Found], cluster: str, *, dry_run: bool = False) -> bool:
    """Write the objects below a folder, a file for each resource, and say whether anything has changed.

    restore/ holds what can be applied again, owned/ what controllers make from it, applied.yaml the objects of restore/
    in the parts that each field manager has applied.

    :param cluster: the UID of the cluster.
    :param dry_run: only say it.
    :raises KServeError: the folder cannot be written.
    """
    files = {
        APPLIED: yaml.safe_dump_all(_groups(found), explicit_start=True),
        INDEX: json.dumps({**index(found), "cluster": cluster}, indent=1, sort_keys=True) + "\n",
    }
    for entry in found:
        for place, objects in ((RESTORE, entry.roots), (OWNED, entry.owned)):
            if objects:
                files[f"{place}/{entry.resource.name}.yaml"] = _documents(objects)
    try:
        # The index comes last: a folder with one is complete.
        written = [
            atomic_file.write_if_changed(folder / name, text.encode(), dry_run)
            for name, text in files.items()
            if name != INDEX
        ]
        removed = [_remove(path, dry_run) for path in _stale(folder, files)]
        return any([*written, *removed, atomic_file.write_if_changed(folder / INDEX, files[INDEX].encode(), dry_run)])
    except OSError as error:
        raise KServeError(
            f"The folder {folder} cannot be written ({error.strerror}); make it writable, or set folder to another.",
            reason="FileNotWritable",
        ) from None


def _groups(found: Sequence[Found]) -> list[Json]:
    """Return the objects that users and roles created by field manager and resource, each with its name.

    They come in the order in which they can be applied: owners of any resource before what they own.
    """
    roots = [thing for entry in found for thing in entry.roots]
    possible = owners.possible_owners(roots)
    pairs = [(thing, owners.with_owners(without_server_fields(thing), thing, possible)) for thing in roots]
    names = {(entry.resource.api_version, entry.resource.kind): entry.resource.name for entry in found}
    parts = [
        {**group, "resource": name, "objects": {_identity(part): part for part in there}}
        for group in field_managers.groups(pairs)
        for name, there in groupby(group["objects"], lambda part: names[part["apiVersion"], part["kind"]])
    ]
    # A Gateway of a user waits for the GatewayClass of a role.
    return sorted(parts, key=lambda part: (part["adds"], _is_owned(part["objects"].values()), part["resource"]))


def _is_owned(things: Iterable[Json]) -> bool:
    return any("ownerReferences" in thing["metadata"] for thing in things)


def _stale(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Return the files of resources that an earlier backup in the same folder had objects of."""
    there = [path for place in (RESTORE, OWNED) for path in sorted((folder / place).glob("*.yaml"))]
    return [path for path in there if str(path.relative_to(folder)) not in files]


def _remove(path: Path, dry_run: bool) -> bool:
    if not dry_run:
        path.unlink()
    return True


def _documents(objects: Sequence[Json]) -> str:
    text: str = yaml.safe_dump_all(
        [without_server_fields(thing) for thing in objects], explicit_start=True, sort_keys=False
    )
    return text


def without_server_fields(thing: Json) -> Json:
    """Return an object as a user could have applied it: without status and what else the API server writes."""
    metadata = {key: value for key, value in thing["metadata"].items() if key not in _SERVERS_OWN}
    annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key != _LAST_APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    rest = {key: value for key, value in thing.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": metadata, **rest}


def read_index(folder: Path) -> Json:
    """Return the index that write left in a folder.

    :raises KServeError: there is none, or it is incomplete.
    """
    try:
        content: Json = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if not isinstance(content["objects"], dict) or not isinstance(content["counts"], dict):
            raise KeyError("objects")
    except (OSError, ValueError, KeyError, TypeError):
        raise KServeError(
            f"{folder} contains no complete backup of custom resources; name a folder that custom_resources_backup "
            "wrote.",
            reason="BackupIncomplete",
        ) from None
    return content


def backup(api: KubeApi, groups: Sequence[str], folder: Path, *, check_mode: bool) -> Json:
    """Read every object of the groups, write it, and return the result of custom_resources_backup."""
    found = read(api, groups)
    changed = write(folder, found, _uid(api), dry_run=check_mode)
    return {"changed": changed, "folder": str(folder), **_summary(index(found))}


def _uid(api: KubeApi) -> str:
    """Return the UID of the cluster, as platform_info has it."""
    return str(api.get(CLUSTER_PATH)["metadata"]["uid"])


def _summary(content: Json) -> Json:
    names = {name: sorted(objects) for name, objects in content["objects"].items()}
    return {"counts": content["counts"], "objects": names}


def info(api: KubeApi, groups: Sequence[str], since: Path | None) -> Json:
    """Return the result of custom_resources_info; since: the folder of a backup to compare with.

    :raises KServeError: the backup is incomplete, or that of another cluster.
    """
    before = read_index(since) if since else None
    if before is not None and before.get("cluster") != _uid(api):
        raise KServeError(
            f"{since} is a backup of another cluster; name one that custom_resources_backup wrote for this cluster.",
            reason="OtherCluster",
        )
    now = index(read(api, groups))
    result: Json = {"changed": False, **_summary(now)}
    if before is not None:
        result |= {"counts_before": before["counts"], "lost": lost_objects(before, now)}
    return result
