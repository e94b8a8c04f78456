# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which InferenceServices are meant, what of the cluster is followed for them, and which object is whose.

However many services there are, each kind is listed once and watched once. Of an object only that is kept which a
verdict or its explanation reads. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Change, Source

from .readiness import Objects

Json = Mapping[str, Any]

SERVICES = "service"
_PARTS = ("deployments", "replica_sets", "pods", "routes")
# pkg/constants/constants.go of KServe v0.20.0: on a component's Deployment and what comes of it
LABEL = "serving.kserve.io/inferenceservice"
# A selector with more names than this would make a URL that proxies refuse; what it lets through is sorted out here.
_LONGEST_SELECTOR = 2000
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Selection:
    """The InferenceServices of a namespace by name, or by labels, or all of them.

    whole_pods: not only their status; routes: whether their HTTPRoutes count.
    """

    namespace: str
    names: tuple[str, ...] | None = None
    label_selectors: tuple[str, ...] = ()
    whole_pods: bool = False
    routes: bool = True

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Selection:
        """Return what the options of a module select."""
        names = [options["name"]] if options["name"] is not None else options["names"]
        # A name that is given twice is one service.
        chosen = None if names is None else tuple(dict.fromkeys(names))
        return cls(
            options["namespace"],
            chosen,
            tuple(options["label_selectors"] or ()),
            whole_pods=bool(options.get("return_pods")),
            routes=bool(options.get("routes", True)),
        )

    def __str__(self) -> str:
        if self.names is not None and len(self.names) == 1:
            return f"InferenceService {self.names[0]} in namespace {self.namespace}"
        return f"InferenceServices in namespace {self.namespace}"


def sources(selection: Selection) -> dict[str, Source]:
    """Return what has to be followed."""
    keep = _Keep(selection.names, selection.whole_pods, selection.routes)

    def path(group: str, plural: str) -> str:
        return f"/{group}/namespaces/{quote(selection.namespace, safe='')}/{plural}"

    own = {"labelSelector": _own_selector(selection.names)}
    return {
        SERVICES: Source(
            path("apis/serving.kserve.io/v1beta1", "inferenceservices"), _service_query(selection), keep=keep.service
        ),
        "deployments": Source(path("apis/apps/v1", "deployments"), own, keep=keep.deployment),
        "replica_sets": Source(path("apis/apps/v1", "replicasets"), own, keep=keep.replica_set),
        "pods": Source(path("api/v1", "pods"), own, keep=keep.pod),
        "routes": Source(path("apis/gateway.networking.k8s.io/v1", "httproutes"), optional=True, keep=keep.route),
    }


def _service_query(selection: Selection) -> dict[str, str]:
    if selection.names is not None and len(selection.names) == 1:
        return {"fieldSelector": f"metadata.name={selection.names[0]}"}
    return {"labelSelector": ",".join(selection.label_selectors)} if selection.label_selectors else {}


def _own_selector(names: Sequence[str] | None) -> str:
    if names is not None and len(names) == 1:
        return f"{LABEL}={names[0]}"
    selector = f"{LABEL} in ({','.join(names or ())})"
    return selector if names and len(selector) <= _LONGEST_SELECTOR else LABEL


class _Keep:
    """What is kept of the objects of each kind; None for those of services that are not meant."""

    def __init__(self, names: Collection[str] | None, whole_pods: bool, routes: bool) -> None:
        self._names = None if names is None else frozenset(names)
        self._whole_pods = whole_pods
        self._routes = routes

    def service(self, thing: Json) -> Json | None:
        if not self._meant(thing["metadata"]["name"]):
            return None
        # When spec and status were last changed, and whether it was the spec, is all that managedFields are read for.
        managed = [
            {
                **{key: entry[key] for key in ("manager", "operation", "subresource", "time") if key in entry},
                "fieldsV1": {name: {} for name in entry.get("fieldsV1", {}) if name in ("f:spec", "f:status")},
            }
            for entry in thing["metadata"].get("managedFields", ())
        ]
        return {**thing, "metadata": {**_metadata(thing), "managedFields": managed}}

    def deployment(self, thing: Json) -> Json | None:
        return {**thing, "metadata": _metadata(thing)} if self._meant(owner_name(thing)) else None

    def replica_set(self, thing: Json) -> Json | None:
        if not self._meant(owner_name(thing)):
            return None
        spec = {key: value for key, value in thing.get("spec", {}).items() if key != "template"}
        return {**thing, "metadata": _metadata(thing), "spec": spec}

    def pod(self, thing: Json) -> Json | None:
        if not self._meant(owner_name(thing)):
            return None
        spec: Json = thing.get("spec", {})
        if not self._whole_pods:
            spec = {key: value for key, value in spec.items() if key in ("nodeName", "serviceAccountName")}
        return {**thing, "metadata": _metadata(thing), "spec": spec}

    def route(self, thing: Json) -> Json | None:
        if not self._routes or not self._meant(owner_name(thing)):
            return None
        given: Json = thing.get("spec", {})
        timeouts = [{"timeouts": rule["timeouts"]} for rule in given.get("rules") or () if rule.get("timeouts")]
        spec = {"parentRefs": given.get("parentRefs") or (), "rules": timeouts}
        return {**thing, "metadata": _metadata(thing), "spec": spec}

    def _meant(self, name: str | None) -> bool:
        return name is not None and (self._names is None or name in self._names)


def _metadata(thing: Json) -> dict[str, Any]:
    metadata = {key: value for key, value in thing["metadata"].items() if key != "managedFields"}
    if _LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _LAST_APPLIED}
    return metadata


def owner_name(thing: Json) -> str | None:
    """Return the name of the InferenceService that an object belongs to."""
    if label := (thing["metadata"].get("labels") or {}).get(LABEL):
        return str(label)
    owners = thing["metadata"].get("ownerReferences", ())
    return next((str(owner["name"]) for owner in owners if owner.get("kind") == "InferenceService"), None)


class Services:
    """The objects of each service as of the last change; complete: whether everything has been listed."""

    def __init__(self, kinds: Iterable[str] = (SERVICES, *_PARTS)) -> None:
        self._missing = set(kinds)
        self._objects: dict[str, dict[str, dict[str, Json]]] = {}
        self._whose: dict[tuple[str, str], str] = {}

    @property
    def complete(self) -> bool:
        """Whether every source has been listed."""
        return not self._missing

    def names(self) -> list[str]:
        """Return the names of the InferenceServices that are there."""
        return sorted(name for name, parts in self._objects.items() if parts.get(SERVICES))

    def get(self, name: str) -> Objects:
        """Return a service and what belongs to it."""
        parts = self._objects.get(name, {})
        service = next(iter(parts.get(SERVICES, {}).values()), None)
        return Objects(service=service, **{part: list(parts.get(part, {}).values()) for part in _PARTS})

    def apply(self, change: Change) -> set[str]:
        """Take a change in and return the names of the services that it is about.

        :raises KServeError: the follower gave up.
        """
        if change.error:
            raise change.error
        if change.listed is not None:
            return self._listed(change.source, change.listed)
        if change.present is not None:
            return self._put(change.source, change.present)
        return self._drop(change.source, change.absent["metadata"]["uid"]) if change.absent is not None else set()

    def _listed(self, source: str, things: Mapping[str, Json]) -> set[str]:
        self._missing.discard(source)
        deleted = [uid for kind, uid in self._whose if kind == source and uid not in things]
        touched = [self._drop(source, uid) for uid in deleted] + [self._put(source, thing) for thing in things.values()]
        return set().union(*touched)

    def _put(self, source: str, thing: Json) -> set[str]:
        uid, name = thing["metadata"]["uid"], thing["metadata"]["name"]
        owner = name if source == SERVICES else owner_name(thing)
        if owner is None:
            return set()
        self._whose[(source, uid)] = owner
        self._objects.setdefault(owner, {}).setdefault(source, {})[uid] = thing
        return {owner}

    def _drop(self, source: str, uid: str) -> set[str]:
        owner = self._whose.pop((source, uid), None)
        if owner is None:
            return set()
        parts = self._objects[owner]
        parts[source].pop(uid, None)
        if not any(parts.values()):
            del self._objects[owner]
        return {owner}
