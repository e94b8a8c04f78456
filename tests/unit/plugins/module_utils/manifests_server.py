# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An in-memory API server with the part of server-side apply that the manifest tests need."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Timing
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Change, Source

from . import server_side_apply

MANAGER = "hashfoundry.kserve"
RESOURCES = {
    "/api/v1": {
        "Namespace": ("namespaces", False),
        "ConfigMap": ("configmaps", True),
        "Secret": ("secrets", True),
        "Service": ("services", True),
    },
    "/apis/apps/v1": {"Deployment": ("deployments", True)},
    "/apis/batch/v1": {"Job": ("jobs", True)},
    "/apis/rbac.authorization.k8s.io/v1": {"ClusterRole": ("clusterroles", False)},
    "/apis/apiextensions.k8s.io/v1": {"CustomResourceDefinition": ("customresourcedefinitions", False)},
}
AWAY = ApiError(
    "500",
    500,
    'Internal error occurred: failed calling webhook "x.kserve": failed to call webhook: Post "https://x.kserve.svc": '
    "dial tcp 10.96.0.9:443: connect: connection refused",
)


def thing(kind: str, name: str, namespace: str | None = "models", api: str = "v1", **fields: Any) -> dict[str, Any]:
    """Return an object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **copy.deepcopy(fields)}


def crd(plural: str = "foos", kind: str = "Foo") -> dict[str, Any]:
    """Return a CRD in group example.com."""
    return thing(
        "CustomResourceDefinition",
        f"{plural}.example.com",
        None,
        "apiextensions.k8s.io/v1",
        spec={
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": True, "storage": True}],
        },
    )


class Server:
    """The ApplyApi port.

    errors: by the end of a path, the errors of its next applies and deletions; sent: paths and queries of all applies;
    deleted: paths of all deletions, and whether they were dry runs; established: whether new CRDs are at once; late:
    how often discovery does not list them yet; finalized: ends of paths of objects that remain when they are deleted.
    """

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.requests = 0
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, list[ApiError]] = {}
        self.read_errors: dict[str, ApiError] = {}
        self.deleted: list[tuple[str, bool]] = []
        self.established = True
        self.late = 0
        self.finalized: tuple[str, ...] = ()
        self.namespaces = {"models"}
        self.kinds = copy.deepcopy(RESOURCES)
        self.objects: dict[str, dict[str, Any]] = {}
        for entry in objects:
            self.apply(self.path(entry), entry, fieldManager=MANAGER)
        self.requests, self.sent = 0, []

    def path(self, body: dict[str, Any]) -> str:
        root = f"/apis/{body['apiVersion']}" if "/" in body["apiVersion"] else "/api/v1"
        plural, namespaced = self.kinds[root][body["kind"]]
        namespace = f"/namespaces/{body['metadata']['namespace']}" if namespaced else ""
        return f"{root}{namespace}/{plural}/{body['metadata']['name']}"

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        self.requests += 1
        if path in self.read_errors:
            raise self.read_errors[path]
        if path in self.kinds:
            found = [{"name": n, "namespaced": s, "kind": k} for k, (n, s) in self.kinds[path].items()]
            return {"resources": [*found, {"name": "deployments/scale", "namespaced": True, "kind": "Scale"}]}
        if path.rpartition("/")[2] in {plural for kinds in self.kinds.values() for plural, _spaced in kinds.values()}:
            return self._list(path, query)
        if path.endswith(("/pods", "/events")):
            return {"items": self.objects.get(path, {}).get("items", []), "metadata": {}}
        if path not in self.objects:
            raise ApiError("not found", 404, f'"{path}" not found')
        return copy.deepcopy(self.objects[path])

    def _list(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        folder, _slash, plural = path.rpartition("/")
        root = folder.partition("/namespaces/")[0]
        if plural not in {name for name, _spaced in self.kinds.get(root, {}).values()}:
            raise ApiError("404", 404, "404 page not found")
        # Entries of a list have neither kind nor apiVersion.
        found = [
            {key: value for key, value in copy.deepcopy(body).items() if key not in ("apiVersion", "kind")}
            for at, body in sorted(self.objects.items())
            if _is_in(at, path, root) and _selected(body, query.get("labelSelector", ""))
        ]
        return {"items": found, "metadata": {"resourceVersion": "1"}}

    def discovery(self, path: str = "/apis") -> dict[str, Any]:
        self.requests += 1
        groups = []
        for root, kinds in self.kinds.items():
            group, version = root.split("/")[2:4] if root.startswith("/apis") else ("", "v1")
            if (path == "/apis") is not bool(group) or (group == "example.com" and self.late > 0):
                continue
            resources = [
                {
                    "resource": plural,
                    "responseKind": {"kind": kind},
                    "scope": "Namespaced" if spaced else "Cluster",
                    "verbs": ["get", "list"],
                }
                for kind, (plural, spaced) in kinds.items()
            ]
            groups.append({"metadata": {"name": group}, "versions": [{"version": version, "resources": resources}]})
        self.late -= 1
        return {"items": groups}

    def delete(self, path: str, uid: str, dry_run: bool = False) -> None:
        self.requests += 1
        self.deleted.append((path, dry_run))
        for end, errors in self.errors.items():
            if path.endswith(end) and errors:
                raise errors.pop(0)
        if path not in self.objects:
            raise ApiError("404", 404, f'"{path}" not found')
        assert self.objects[path]["metadata"]["uid"] == uid
        if dry_run:
            return
        if path.endswith(self.finalized or ("?",)):
            self.objects[path]["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
            return
        del self.objects[path]

    def text(self, path: str, **query: Any) -> str:
        raise AssertionError(path)

    def end_watches(self) -> None:
        pass

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        raise AssertionError(path)

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        self.requests += 1
        self.sent.append((path, query))
        for end, errors in self.errors.items():
            if path.endswith(end) and errors:
                raise errors.pop(0)
        root = f"/apis/{body['apiVersion']}" if "/" in body["apiVersion"] else "/api/v1"
        if body["kind"] not in self.kinds.get(root, {}):
            raise ApiError("404", 404, "404 page not found")
        namespace = body["metadata"].get("namespace")
        if namespace and namespace not in self.namespaces:
            raise ApiError("404", 404, f'namespaces "{namespace}" not found')
        before = self.objects.get(path)
        after = self._merged(before, copy.deepcopy(body), query)
        if before and {**before, "metadata": {**before["metadata"], "resourceVersion": ""}} == {
            **after,
            "metadata": {**after["metadata"], "resourceVersion": ""},
        }:
            return before
        if "dryRun" not in query:
            after["metadata"]["resourceVersion"] = str(int(after["metadata"]["resourceVersion"]) + 1)
            self.objects[path] = after
            self._took(after)
        return copy.deepcopy(after)

    def _merged(self, before: dict[str, Any] | None, body: dict[str, Any], query: dict[str, Any]) -> dict[str, Any]:
        known = before or {"metadata": {"resourceVersion": "0", "uid": path_of(body)}}
        body = server_side_apply.apply(known, body, query["fieldManager"], query.get("force") == "true")
        if body["kind"] == "CustomResourceDefinition":
            status = "True" if self.established else "False"
            body["status"] = {
                "conditions": [
                    {"type": "NamesAccepted", "status": "True"},
                    {"type": "Established", "status": status},
                ]
            }
        if body["kind"] == "Namespace":
            body["status"] = {"phase": "Active"}
        return body

    def _took(self, body: dict[str, Any]) -> None:
        if body["kind"] == "CustomResourceDefinition":
            spec = body["spec"]
            for version in (version for version in spec["versions"] if version["served"]):
                kinds = self.kinds.setdefault(f"/apis/{spec['group']}/{version['name']}", {})
                kinds[spec["names"]["kind"]] = (spec["names"]["plural"], True)
        if body["kind"] == "Namespace":
            self.namespaces.add(body["metadata"]["name"])


def _is_in(at: str, path: str, root: str) -> bool:
    """Say whether an object is in a collection, which each version of its group shows."""
    group = root if root == "/api/v1" else root.rpartition("/")[0]
    if not at.startswith(f"{group}/") or at.split("/")[-2] != path.rpartition("/")[2]:
        return False
    space = path.partition("/namespaces/")[2].partition("/")[0]
    return not space or f"/namespaces/{space}/" in at


def _selected(body: dict[str, Any], selector: str) -> bool:
    labels = body["metadata"].get("labels") or {}

    def meets(requirement: str) -> bool:
        if requirement.startswith("!"):
            return requirement[1:] not in labels
        if named := re.fullmatch(r"(\S+) in \((.*)\)", requirement):
            return labels.get(named[1]) in re.split(r",\s*", named[2])
        key, _equals, value = requirement.partition("=")
        return not key or labels.get(key) == value

    return all(map(meets, re.split(r",(?![^(]*\))", selector)))


def path_of(body: dict[str, Any]) -> str:
    """Return a unique string for an object's uid."""
    return f"{body['kind']}-{body['metadata']['name']}"


class Time:
    """A simulated clock, which advances by sleeping and by waiting for changes.

    script: the changes that the followers return, in order; sources: those that are followed.
    """

    def __init__(self, *script: list[Change]) -> None:
        self.now = self._started = 100.0
        self.script = list(script)
        self.sources: dict[str, Source] = {}
        self.stopped = 0

    def clock(self) -> float:
        return self.now

    @property
    def passed(self) -> float:
        """The seconds since the start."""
        return self.now - self._started

    @property
    def timing(self) -> Timing:
        """The clock as the modules take it."""
        return Timing(clock=self.clock, sleep=self.sleep, follow=self.follow)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def follow(self, api: Any, sources: Mapping[str, Source]) -> Time:
        self.sources = dict(sources)
        return self

    def next(self, timeout: float) -> list[Change]:
        if self.script:
            self.now += 1
            return self.script.pop(0)
        self.now += max(timeout, 0)
        return []

    def stop(self) -> None:
        self.stopped += 1


def listed(path: str, body: dict[str, Any]) -> Change:
    """Return the first change of a follower: the list, whose entries have neither kind nor apiVersion."""
    entry = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
    uid = body["metadata"].setdefault("uid", path_of(body))
    return Change(path, listed={uid: entry})
