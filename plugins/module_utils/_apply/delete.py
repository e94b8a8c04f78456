# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deleting the objects of a list of manifests from a cluster, and none that others manage.

Custom resources go first, while the controllers run that clean up after them; then everything else against the order
of applying; CRDs when none of their custom resources is left, and namespaces when they are empty. This file is
private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.discovery import find_kinds, stored_first
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.install_order import is_built_in
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Json, Kind, Manifest, Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.secrets import mask_secrets

from .compare import has_applied, has_fields, projection
from .contents import GATEWAY, list_objects, namespace_contents, remaining_after, unavailable_apis
from .errors import is_webhook_away, refusal, shortened
from .options import Options, Timing, identity, placed, poll_until, retry_while

A = TypeVar("A")

_ACTIONS = ("deleted", "kept", "absent")
_SHOWN = 5


@dataclass
class _Entry:
    """A manifest and what becomes of its object; live: None where it is not there; why: it is kept."""

    target: Target
    live: Json | None
    action: str = "absent"
    why: str = ""

    @property
    def due(self) -> bool:
        """Whether it has still to be deleted."""
        return self.live is not None and self.action == "absent"


def delete_manifests(
    api: ApplyApi, manifests: Sequence[Manifest], options: Options, timing: Timing | None = None
) -> dict[str, Any]:
    """Delete what the manifests name, against their order, and return the module's result.

    :raises KServeError: something is in use, or does not go; the result says what has been done until then.
    """
    deletion = _Deletion(api, options, timing or Timing())
    return deletion.with_result(lambda: deletion.run(manifests))


def delete_objects(
    api: ApplyApi, found: Iterable[tuple[Target, Json]], options: Options, timing: Timing
) -> dict[str, Any]:
    """Delete objects that have been read, but for those that another manager has applied, and return the result.

    :raises KServeError: one does not go; the result says what has been done until then.
    """
    deletion = _Deletion(api, options, timing)
    return deletion.with_result(lambda: deletion.delete(found))


class _Deletion:
    """One pass against the order of the manifests."""

    def __init__(self, api: ApplyApi, options: Options, timing: Timing) -> None:
        self._api = api
        self._options = options
        self._timing = timing
        self._waited = 0.0
        self._entries: list[_Entry] = []

    def with_result(self, work: Callable[[], None]) -> dict[str, Any]:
        """Do the work and return the result, which is also added to an error of it."""
        try:
            work()
        except KServeError as error:
            raise KServeError(str(error), **self.result(), **error.result) from None
        return self.result()

    def result(self) -> dict[str, Any]:
        """Return what has been done so far."""
        actions = [entry.action for entry in self._entries]
        result: dict[str, Any] = {
            "changed": "deleted" in actions,
            "objects": [{**identity(entry.target), "action": entry.action} for entry in self._entries],
            "kept": [{**identity(entry.target), "reason": entry.why} for entry in self._entries if entry.why],
            "unvalidated": [],
            "counts": {action: actions.count(action) for action in _ACTIONS},
            "requests": self._api.requests,
            "waited_seconds": round(self._waited, 1),
        }
        if self._options.diff:
            result["diff"] = [_diff(entry) for entry in self._entries if entry.action == "deleted"]
        return result

    def run(self, manifests: Sequence[Manifest]) -> None:
        """Verify that nothing is in use, delete, and wait until all is gone."""
        kinds = find_kinds(self._api, manifests)
        # What the cluster does not know cannot be in it.
        known = [(manifest, kinds.get((manifest.api_version, manifest.kind))) for manifest in manifests]
        with_kinds = ((manifest, kind or Kind("", bool(manifest.namespace))) for manifest, kind in known)
        targets = placed(with_kinds, self._options)[::-1]
        self.delete(zip(targets, concurrently(self._read, targets), strict=True))

    def delete(self, found: Iterable[tuple[Target, Json | None]]) -> None:
        """Delete objects that have been read, those that may be needed for the deletion of others last."""
        self._load_entries(found)
        crds = [entry for entry in self._entries if entry.target.manifest.is_crd]
        spaces = [entry for entry in self._entries if _is_namespace(entry.target)]
        custom = [entry for entry in self._entries if not is_built_in(entry.target.manifest)]
        taken = {id(entry) for entry in (*crds, *spaces, *custom)}
        self._check_use(crds)
        self._delete(custom)
        self._await_gateways(custom)
        rest = [entry for entry in self._entries if id(entry) not in taken]
        # An aggregated ClusterRole would be written again when one of its parts is deleted.
        self._delete(sorted(rest, key=lambda entry: "aggregationRule" not in entry.target.manifest.body))
        self._check_use(crds, keep=True)
        self._delete(crds)
        for entry in spaces:
            if entry.due and (why := self._contents(entry)):
                self._keep(entry, why)
        self._await_pods([entry.target.manifest.name for entry in spaces if entry.due])
        self._delete(spaces)

    def _load_entries(self, found: Iterable[tuple[Target, Json | None]]) -> None:
        self._entries = [_Entry(target, live) for target, live in found]
        for entry in self._entries:
            if entry.live is not None and (why := _reason_to_keep(entry, self._options.field_managers)):
                self._keep(entry, why)

    def _read(self, target: Target) -> Json | None:
        if not target.kind.plural:
            return None
        try:
            return self._retry_webhook(lambda: self._api.get(target.path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise self._refused(target, error) from None

    def _retry_webhook(self, ask: Callable[[], A]) -> A:
        return retry_while(ask, is_webhook_away, self._options.webhook_timeout, self._timing)

    def _refused(self, target: Target, error: ApiError) -> KServeError:
        return refusal(target, error, self._options.webhook_timeout, verb="delete")

    def _keep(self, entry: _Entry, why: str) -> None:
        entry.action, entry.why = "kept", why

    def _check_use(self, crds: Iterable[_Entry], keep: bool = False) -> None:
        """Find the CRDs with custom resources that others have created; fail, or keep these CRDs.

        What cannot be read counts as in use.
        """
        due = [entry for entry in crds if entry.due]
        counts, unread = self._in_use(due)
        if (counts or unread) and not keep and self._options.in_use == "fail":
            raise _in_use_error(counts, unread)
        for entry in due:
            name = entry.target.manifest.name
            if name in unread:
                self._keep(entry, f"its custom resources cannot be read: {unread[name]}")
            elif count := counts.get(name, 0):
                self._keep(entry, f"there {'is' if count == 1 else 'are'} still {count} of its custom resources")

    def _in_use(self, crds: Sequence[_Entry]) -> tuple[dict[str, int], dict[str, str]]:
        """Return by CRD how many custom resources would be lost, and of which CRDs they cannot be read, and why."""
        read = dict(zip((entry.target.manifest.name for entry in crds), concurrently(self._objects, crds), strict=True))
        unread = {name: things for name, things in read.items() if isinstance(things, str)}
        objects = {name: things for name, things in read.items() if not isinstance(things, str)}
        # A custom resource may be owned by one of another CRD that is deleted, too.
        going = {str(one.live["metadata"]["uid"]) for one in self._entries if one.live and one.action != "kept"}
        everything = (thing for things in objects.values() for thing in things)
        left = {thing["metadata"]["uid"] for thing in remaining_after(everything, going)}
        counts = {name: sum(thing["metadata"]["uid"] in left for thing in things) for name, things in objects.items()}
        return {name: count for name, count in counts.items() if count}, unread

    def _objects(self, crd: _Entry) -> list[Json] | str:
        """Return the custom resources of a CRD as the cluster has it, or why they cannot be read.

        The manifest may have other versions. Each version that is served shows the same objects; the one in which they
        are stored needs no conversion webhook, which may be deleted by now.
        """
        why = "it serves no version"
        for path in stored_first(crd.live or {}):
            try:
                return list(list_objects(self._api, path))
            except ApiError as error:
                if error.status == 401:
                    raise
                why = error.text or str(error)
        # A CRD that was deleted since it was read has none.
        return why if self._is_there(crd) else []

    def _delete(self, entries: Sequence[_Entry]) -> None:
        due = [entry for entry in entries if entry.due]
        for entry in due:
            self._send(entry)
            entry.action = "deleted"
        if not self._options.check_mode and self._options.wait:
            self._await_deletion(due)

    def _send(self, entry: _Entry) -> None:
        uid = str(entry.live["metadata"]["uid"]) if entry.live else ""
        path = entry.target.path
        try:
            self._retry_webhook(lambda: self._api.delete(path, uid, self._options.check_mode))
        except ApiError as error:
            # Deleted meanwhile, or deleted and re-created by another client.
            if error.status not in (404, 409):
                raise self._refused(entry.target, error) from None

    def _await_deletion(self, entries: Sequence[_Entry]) -> None:
        left = list(entries)

        def all_deleted() -> bool:
            left[:] = [entry for entry in left if self._is_there(entry)]
            return not left

        start = self._timing.clock()
        in_time = poll_until(all_deleted, self._options.wait_timeout, self._timing)
        self._waited += self._timing.clock() - start
        if not in_time:
            live = self._read(left[0].target) or {"metadata": {}}
            finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers") or []
            cause = f"its finalizers {', '.join(finalizers)} remain" if finalizers else "no finalizer explains why"
            raise KServeError(
                f"{left[0].target} is not gone after {self._options.wait_timeout:g} seconds: {cause}; see that the "
                "controllers that clean up after it run, and run again.",
                reason="DeletionTimeout",
            )

    def _is_there(self, entry: _Entry) -> bool:
        live = self._read(entry.target)
        before = entry.live or live
        return live is not None and before is not None and live["metadata"].get("uid") == before["metadata"].get("uid")

    def _await_gateways(self, entries: Iterable[_Entry]) -> None:
        """Wait until a controller has deleted what it created for a Gateway, before it is deleted itself."""
        if self._options.check_mode or not self._options.wait:
            return
        for entry in entries:
            manifest = entry.target.manifest
            if manifest.kind != "Gateway" or entry.action != "deleted":
                continue
            made = _GatewayObjects(self._api, manifest)
            if not poll_until(made.all_deleted, self._options.wait_timeout, self._timing):
                raise KServeError(
                    f"The objects created for {entry.target} still exist after {self._options.wait_timeout:g} seconds "
                    f"({shortened(made.left, _SHOWN)}); check that the Gateway's controller is running, and run again.",
                    reason="DeletionTimeout",
                )

    def _await_pods(self, namespaces: Sequence[str]) -> None:
        """Wait for pods that are ending, as long as may be waited.

        The controller of namespaces looks again after half of the longest grace period (EstimatedTimeToFinish in
        Kubernetes' namespaced_resources_deleter.go), which is minutes for Knative's activator, though it ends at once.
        """
        if self._options.check_mode or not self._options.wait:
            return

        def all_deleted() -> bool:
            pods = (pod for name in namespaces for pod in list_objects(self._api, f"/api/v1/namespaces/{name}/pods"))
            return all((pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") for pod in pods)

        start = self._timing.clock()
        poll_until(all_deleted, self._options.wait_timeout, self._timing)
        self._waited += self._timing.clock() - start

    def _contents(self, entry: _Entry) -> str:
        """Return why a namespace is not to be deleted, or nothing."""
        if silent := unavailable_apis(self._api):
            return f"it is not known what it holds, since the API {shortened(silent, _SHOWN)} is not available"
        inside = self._inside(entry)
        return f"it holds {shortened(inside, _SHOWN)}" if inside else ""

    def _inside(self, entry: _Entry) -> list[str]:
        namespace = entry.target.manifest.name
        if not self._options.check_mode:
            return namespace_contents(self._api, namespace)
        # What would be gone by then, and what was made for Gateways, which go or are there themselves.
        found = namespace_contents(self._api, namespace, f"!{GATEWAY}")
        going = {
            f"{other.target.manifest.kind} {other.target.manifest.name}"
            for other in self._entries
            if other.target.manifest.namespace == namespace and other.action == "deleted"
        }
        return [name for name in found if name not in going]


class _GatewayObjects:
    """What a controller has created for a Gateway; left: what of it still existed at the last poll."""

    def __init__(self, api: ApplyApi, gateway: Manifest) -> None:
        self._api = api
        self._gateway = gateway
        self.left: list[str] = []

    def all_deleted(self) -> bool:
        """Poll whether all is deleted."""
        self.left = namespace_contents(self._api, self._gateway.namespace, f"{GATEWAY}={self._gateway.name}")
        return not self.left


def _in_use_error(counts: Mapping[str, int], unread: Mapping[str, str]) -> KServeError:
    lost = ", ".join(f"{count} of {name}" for name, count in counts.items())
    unknown = ", ".join(f"{name} ({why.rstrip('.')})" for name, why in unread.items())
    faults = [
        f"custom resources would be lost that these manifests do not name: {lost}" if lost else "",
        f"it is not known whether there are custom resources of {unknown}" if unknown else "",
    ]
    advice = "delete them first" if lost else "have the API server serve them"
    return KServeError(
        f"Nothing is deleted, since {', and '.join(filter(None, faults))}; {advice}, or set in_use to keep, which "
        "keeps their CRDs.",
        reason="CRDInUse",
    )


def _is_namespace(target: Target) -> bool:
    return (target.manifest.group, target.manifest.kind) == ("", "Namespace")


def _reason_to_keep(entry: _Entry, managers: Sequence[str]) -> str:
    """Return why an object is not to be deleted, or nothing."""
    live = entry.live or {"metadata": {}}
    # An object whose manifest has no fields beside its identity leaves no trace of who applied it.
    if not has_applied(live, managers) and has_fields(entry.target.manifest.body):
        return f"{managers[0]} has not applied it"
    if entry.target.manifest.is_crd:
        # Another manager that has applied spec.names manages the CRD, too; a controller only adds to it.
        managed = live["metadata"].get("managedFields") or ()
        others = {one.get("manager") for one in managed if "f:names" in (one.get("fieldsV1") or {}).get("f:spec", {})}
        if others := others - set(managers):
            return f"it is managed by {', '.join(sorted(map(str, others)))}, too"
    return ""


def _diff(entry: _Entry) -> dict[str, Any]:
    name = str(entry.target)
    before = mask_secrets(projection(entry.live, entry.target.manifest.body))
    return {"before_header": name, "after_header": name, "before": before, "after": {}}
