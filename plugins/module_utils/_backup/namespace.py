# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that users created in a namespace, written to a file from which it can be applied again.

What it leaves out is re-created by controllers, has been done already, or is secret: objects that controllers have
created for another one, pods and Jobs, and Secrets, of which only the names are reported. This file is private to the
collection and may change at any time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common import atomic_file
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import AUTOMATIC

from . import field_managers, owners
from .custom_resources import is_controlled, without_server_fields

with suppress(ImportError):  # kubernetes.core's module class says so before anything here is called
    import yaml

Json = dict[str, Any]

# A Job that is applied again does its work again, and its pods' labels are those of the old one.
_PASSED_OVER = {"controllerrevisions", "endpoints", "endpointslices", "events", "jobs", "leases", "pods"}
_TOKEN = "kubernetes.io/service-account-token"
# What volume controllers note in annotations, and the role credential_rotation in a label of the pods.
_NOTES = ("pv.kubernetes.io/", "volume.beta.kubernetes.io/", "volume.kubernetes.io/")
_KEYS = "kserve.hashfoundry.io/keys"
# Given by the cluster: in another one, or the next time, it is something else.
_GIVEN = {
    "PersistentVolumeClaim": ("volumeName",),
    "Service": ("clusterIP", "clusterIPs", "healthCheckNodePort"),
}


# They show measurements only ("Resource metrics pipeline", Kubernetes docs).
_WITHOUT_OBJECTS = {"custom.metrics.k8s.io", "external.metrics.k8s.io", "metrics.k8s.io"}


def backup(
    api: ApplyApi,
    namespace: str,
    path: Path,
    applied: Path | None = None,
    *,
    check_mode: bool,
    warn: Callable[[str], None] = lambda _text: None,
) -> Json:
    """Write the namespace and what is in it, and return the result of the module namespace_backup.

    :param applied: where to write the same by field manager.
    :param warn: takes a sentence on an API that is not available, and of which nothing can be missing.
    :raises KServeError: there is no such namespace, the API server refuses, or the file cannot be written.
    """
    try:
        itself = api.get(f"/api/v1/namespaces/{namespace}")
    except ApiError as error:
        if error.status == 404:
            raise KServeError(
                f"There is no namespace {namespace}; correct namespace.", reason="NamespaceNotFound"
            ) from None
        raise
    things = [{**itself, "apiVersion": "v1", "kind": "Namespace"}, *_read(api, namespace, warn)]
    possible = owners.possible_owners(things)
    objects = [(thing, owners.with_owners(_portable(thing), thing, possible)) for thing in things]
    changed, sha256 = _put(path, [owners.without_owners(portable) for _live, portable in objects], check_mode)
    more = {}
    if applied:
        applied_changed, more["applied_sha256"] = _put(applied, field_managers.groups(objects), check_mode)
        changed |= applied_changed
    return {
        "changed": changed,
        "path": str(path),
        "sha256": sha256,
        **more,
        "counts": dict(sorted(Counter(str(thing["kind"]) for thing in things).items())),
        "secrets": _secrets(api, namespace),
    }


def _read(api: ApplyApi, namespace: str, warn: Callable[[str], None]) -> list[Json]:
    found = concurrently(lambda resource: _listed(api, namespace, *resource), _resources(api, warn))
    things = [thing for listed in found for thing in listed if _is_wanted(thing)]
    return sorted(things, key=lambda thing: (thing["kind"], thing["apiVersion"], thing["metadata"]["name"]))


def _resources(api: ApplyApi, warn: Callable[[str], None]) -> list[tuple[str, str, str]]:
    """Return API version, plural and kind of what can be made in a namespace, each in the version that is preferred.

    :raises KServeError: an API that may have objects in a namespace is not available.
    """
    versions = [["v1"]] + [
        [version["groupVersion"] for version in group["versions"]] for group in api.get("/apis")["groups"]
    ]
    away: list[str] = []
    groups = concurrently(lambda group: list(_of_group(api, group, away)), versions)
    if away:
        known = _known_resources(api)
        for version in sorted(away):
            _refuse_or_warn(version, known.get(version), warn)
    return [resource for group in groups for resource in group]


def _known_resources(api: ApplyApi) -> dict[str, list[Json]]:
    """Return the resources by API version, those of an API that is not available as the API server last saw it."""
    return {
        f"{group['metadata']['name']}/{version['version']}": version.get("resources") or []
        for group in api.discovery().get("items") or ()
        for version in group["versions"]
    }


def _refuse_or_warn(version: str, known: list[Json] | None, warn: Callable[[str], None]) -> None:
    def can_be_made(resource: Json) -> bool:
        return resource.get("scope") == "Namespaced" and "create" in (resource.get("verbs") or ())

    if version.partition("/")[0] in _WITHOUT_OBJECTS or (known and not any(map(can_be_made, known))):
        warn(f"The API {version} is not available. Nothing is missing from the backup, since it has no objects.")
        return
    raise KServeError(
        f"The API {version} is not available, so the backup would miss what the namespace has of it; repair the "
        "service that its APIService names, and run again.",
        reason="APINotAvailable",
    )


def _of_group(api: KubeApi, versions: list[str], away: list[str]) -> Iterator[tuple[str, str, str]]:
    """:param away: gets the versions whose server does not answer the API server."""
    seen: set[str] = set()
    for version in versions:
        try:
            served = api.get(_base(version)).get("resources") or ()
        except ApiError as error:
            if error.status not in (404, 503):  # its CRD was just deleted, or its own server is away
                raise
            away += [version] if error.status == 503 else []
            continue
        for entry in served:
            plural = entry["name"]
            if "/" in plural or plural in seen or not entry["namespaced"]:
                continue
            seen.add(plural)
            if {"list", "create"} <= set(entry.get("verbs") or ()) and plural not in {*_PASSED_OVER, "secrets"}:
                yield version, plural, entry["kind"]


def _base(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _listed(api: KubeApi, namespace: str, version: str, plural: str, kind: str) -> list[Json]:
    try:
        items = api.get(f"{_base(version)}/namespaces/{namespace}/{plural}").get("items") or ()
    except ApiError as error:
        if error.status in (404, 405):  # its CRD was just deleted, or the server behind it lists nothing
            return []
        raise
    return [{**item, "apiVersion": version, "kind": kind} for item in items]


def _is_wanted(thing: Json) -> bool:
    return not is_controlled(thing) and (thing["kind"], thing["metadata"]["name"]) not in AUTOMATIC


def _portable(thing: Json) -> Json:
    """Return an object as it can be applied where nothing of the old cluster is left."""
    left = without_server_fields(thing)
    _strip(left["metadata"], "annotations", _NOTES)
    if thing["kind"] == "Namespace":
        return {key: left[key] for key in ("apiVersion", "kind", "metadata")}
    if thing["kind"] == "InferenceService":
        _strip(left["spec"]["predictor"], "labels", _KEYS)
    for name in _GIVEN.get(thing["kind"], ()):
        left.get("spec", {}).pop(name, None)
    return left


def _strip(parent: Json, field: str, notes: str | tuple[str, ...]) -> None:
    """Remove what begins with notes from labels or annotations, and the field where nothing is left of it."""
    kept = {key: value for key, value in (parent.pop(field, None) or {}).items() if not key.startswith(notes)}
    if kept:
        parent[field] = kept


def _secrets(api: KubeApi, namespace: str) -> list[Json]:
    items = api.get(f"/api/v1/namespaces/{namespace}/secrets").get("items") or ()
    return [
        {"name": item["metadata"]["name"], "keys": sorted(item.get("data") or ())}
        for item in sorted(items, key=lambda item: str(item["metadata"]["name"]))
        if item.get("type") != _TOKEN and not item["metadata"].get("ownerReferences")
    ]


def _documents(things: list[Json]) -> str:
    text: str = yaml.safe_dump_all(things, explicit_start=True, sort_keys=False)
    return text


def _put(path: Path, things: list[Json], check_mode: bool) -> tuple[bool, str]:
    """Write a file that only its owner may read: specs can contain what is confidential.

    :return: whether its content changes, and the sha256 of that.
    """
    content = _documents(things).encode()
    changed = not path.is_file() or path.read_bytes() != content
    try:
        if changed and not check_mode:
            atomic_file.write(path, content)
    except OSError as error:
        raise KServeError(
            f"The file {path} cannot be written ({error.strerror}); make its folder writable, or set path to another.",
            reason="FileNotWritable",
        ) from None
    return changed, hashlib.sha256(content).hexdigest()
