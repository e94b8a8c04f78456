# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Applying a list of manifests to a cluster: read, send what differs, wait.

Not by kubernetes.core's modules, which are the choice elsewhere: k8s and helm_template take three times the time for
the same objects, eleven times where nothing has changed, with three times the requests, and k8s fails on an object
whose CRD is in the same call. The benchmark manifests measures it.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.discovery import (
    defined_kinds,
    find_kinds,
    served_kinds,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Json, Kind, Manifest, Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.secrets import (
    mask_secrets,
    secret_values,
)

from .compare import first_difference, has_applied, projection
from .crd_ownership import refuse_crds_of_others
from .errors import conflicting_managers, is_kind_unknown, is_webhook_away, refusal, unknown_kind
from .options import Options, Timing, identity, placed, poll_until, retry_while
from .owners import with_owner_uids
from .prune import prune
from .wait import Waiter

_ACTIONS = ("created", "configured", "unchanged", "unvalidated")


@dataclass
class _Action:
    """What has been done with one manifest; before: None for an object that was not there; why: of unvalidated."""

    target: Target
    action: str
    before: Json | None
    after: Json
    why: str = ""


@dataclass
class _Report:
    """What has been done so far; it is shown on failure, too."""

    entries: list[_Action] = field(default_factory=list)

    def result(self, api: ApplyApi, waiter: Waiter) -> dict[str, Any]:
        actions = [entry.action for entry in self.entries]
        return {
            "changed": any(action != "unchanged" for action in actions),
            "objects": [{**identity(entry.target), "action": entry.action} for entry in self.entries],
            "unvalidated": [{**identity(entry.target), "reason": entry.why} for entry in self.entries if entry.why],
            "counts": {action: actions.count(action) for action in _ACTIONS},
            "requests": api.requests,
            "waited_seconds": round(waiter.seconds, 1),
        }


def apply_manifests(
    api: ApplyApi, manifests: Sequence[Manifest], options: Options, timing: Timing | None = None
) -> dict[str, Any]:
    """Apply the manifests in their order and return the module's result.

    :raises KServeError: an object is refused or does not come up; the result says what has been done until then.
    """
    timing = timing or Timing()
    waiter = Waiter(api, timing.follow, timing.clock, options.grace_period, timing.report)
    report = _Report()
    try:
        _ApplyRun(api, options, timing, waiter, report).run(manifests)
    except KServeError as error:
        secrets = secret_values(manifests)
        result = {key: _redacted(value, secrets) for key, value in error.result.items()}
        raise KServeError(redact(str(error), *secrets), **report.result(api, waiter), **result) from None
    result = report.result(api, waiter)
    if options.diff:
        result["diff"] = [_diff(entry) for entry in report.entries if entry.action != "unchanged"]
    return _with_pruned(result, api, report, options, timing) if options.prune else result


def _with_pruned(
    result: dict[str, Any], api: ApplyApi, report: _Report, options: Options, timing: Timing
) -> dict[str, Any]:
    try:
        pruned = prune(api, options.prune, (entry.target for entry in report.entries), options, timing)
    except KServeError as error:
        raise KServeError(str(error), reason=error.reason, **_merged(result, error.result)) from None
    return _merged(result, pruned)


def _merged(result: dict[str, Any], pruned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of applying with what a deletion after it has done."""
    merged = {**result, "changed": result["changed"] or pruned.get("changed", False)}
    merged["objects"] = [*result["objects"], *pruned.get("objects", ())]
    merged["kept"] = list(pruned.get("kept", ()))
    merged["counts"] = {**result["counts"], "deleted": pruned.get("counts", {}).get("deleted", 0)}
    merged["requests"] = pruned.get("requests", result["requests"])
    merged["waited_seconds"] = round(result["waited_seconds"] + pruned.get("waited_seconds", 0), 1)
    if "diff" in result:
        merged["diff"] = [*result["diff"], *pruned.get("diff", ())]
    return merged


def unvalidated_warnings(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each reason that check mode had to leave objects unchecked for.

    :param entries: what the result has as unvalidated.
    """
    named: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        name = f"{entry['namespace']}/{entry['name']}" if entry["namespace"] else entry["name"]
        named.setdefault(entry["reason"], {}).setdefault(entry["kind"], []).append(name)
    listed = {
        reason: "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items())
        for reason, kinds in named.items()
    }
    return [f"{reason} Check mode could not validate {objects}." for reason, objects in listed.items()]


def _redacted(value: Any, secrets: set[str]) -> Any:
    if isinstance(value, list):
        return [_redacted(entry, secrets) for entry in value]
    return redact(value, *secrets) if isinstance(value, str) else value


def _diff(entry: _Action) -> dict[str, Any]:
    shape = entry.target.manifest.body
    name = str(entry.target)
    before = mask_secrets(projection(entry.before, shape)) if entry.before else {}
    return {
        "before_header": name,
        "after_header": name,
        "before": before,
        "after": mask_secrets(projection(entry.after, shape)),
    }


class _ApplyRun:
    """One pass over the manifests."""

    def __init__(self, api: ApplyApi, options: Options, timing: Timing, waiter: Waiter, report: _Report) -> None:
        self._api = api
        self._options = options
        self._timing = timing
        self._waiter = waiter
        self._report = report
        self._secrets: set[str] = set()

    def run(self, manifests: Sequence[Manifest]) -> None:
        """Apply and wait."""
        self._secrets = secret_values(manifests)
        kinds = find_kinds(self._api, manifests)
        # In check mode, a CRD that is not installed yet is no error; its custom resources are only listed.
        targets = placed(((manifest, self._kind(manifest, kinds)) for manifest in manifests), self._options)
        targets = with_owner_uids(self._api, targets, self._options)
        before = concurrently(self._read, targets)
        if not self._options.adopt:
            refuse_crds_of_others(zip(targets, before, strict=True), self._options.field_managers)
        crds: list[_Action] = []
        defined = {key for manifest in manifests if manifest.is_crd for key in _kinds_of(manifest)}
        awaited = self._options.check_mode
        for target, live in zip(targets, before, strict=True):
            # A controller that starts before its kinds are served ends again, or never learns of them.
            if not awaited and crds and not target.manifest.is_crd:
                self._await_kinds(crds)
                awaited = True
            if live is None and not self._options.check_mode and _kind(target.manifest) in defined:
                # What the kind's objects were before could not be read before it was there.
                live = self._read(target) if any(entry.action != "unchanged" for entry in crds) else None
            action = self._apply_one(target, live)
            self._report.entries.append(action)
            if target.manifest.is_crd:
                crds.append(action)
        if self._options.wait and not self._options.check_mode:
            self._wait(self._report.entries)

    def _await_kinds(self, crds: Sequence[_Action]) -> None:
        """Wait until CRDs are established and the discovery lists what they define."""
        self._wait(crds)
        sent = [entry.target.manifest for entry in crds if entry.action != "unchanged"]
        missing = {key for manifest in sent for key in defined_kinds(manifest)}
        if not missing:
            return

        def known() -> bool:
            missing.difference_update(served_kinds(self._api.discovery()) or missing)
            return not missing

        if not poll_until(known, self._options.wait_timeout, self._timing):
            names = ", ".join(sorted(f"{kind} in {api_version}" for api_version, kind in missing))
            raise KServeError(
                f"The API server does not serve {names} after {self._options.wait_timeout:g} seconds, though the "
                "CRDs are established; see whether it is overloaded, and run again.",
                reason="KindNotServed",
            )

    def _refused(self, target: Target, error: ApiError) -> KServeError:
        # Masked before it is shortened: a secret cut in two would not be known any more.
        masked = ApiError(redact(str(error), *self._secrets), error.status, redact(error.text, *self._secrets))
        return refusal(target, masked, self._options.webhook_timeout)

    def _wait(self, actions: Sequence[_Action]) -> None:
        self._waiter.wait([(entry.target, entry.after) for entry in actions], self._options.wait_timeout)

    def _kind(self, manifest: Manifest, kinds: dict[tuple[str, str], Kind]) -> Kind:
        kind = kinds.get((manifest.api_version, manifest.kind))
        if kind is None and self._options.check_mode:
            kind = Kind("", bool(manifest.namespace))
        if kind is None:
            raise unknown_kind(manifest.api_version, str(manifest))
        return kind

    def _read(self, target: Target) -> Json | None:
        if not target.kind.plural:
            return None
        try:
            return self._retry_webhook(lambda: self._api.get(target.path), is_webhook_away)
        except ApiError as error:
            if error.status == 404:
                return None
            raise self._refused(target, error) from None

    def _apply_one(self, target: Target, live: Json | None) -> _Action:
        body, check_mode = target.manifest.body, self._options.check_mode
        if not target.kind.plural:
            return _Action(target, "unvalidated", None, body, "The cluster does not know the kind yet.")
        previous = live is not None and has_applied(live, self._options.previous_field_managers)
        differs = live is None or first_difference(body, live, self._options.field_manager) is not None
        if live is not None and not differs and not previous:
            return _Action(target, "unchanged", live, live)
        try:
            after = self._send(target) if live is None or differs else live
            if previous and not check_mode:
                after = self._release(target, after)
        except ApiError as error:
            if check_mode and error.status == 404:
                why = "kind" if is_kind_unknown(error) else "namespace"
                return _Action(target, "unvalidated", live, body, f"The cluster does not know the {why} yet.")
            raise self._refused(target, error) from None
        if live is None:
            return _Action(target, "created", None, after)
        if previous and check_mode:
            return _Action(target, "configured", live, after)
        same = _content(live) == _content(after) if check_mode else _version(live) == _version(after)
        return _Action(target, "unchanged" if same else "configured", live, after)

    def _send(self, target: Target) -> Json:
        def passes(error: ApiError) -> bool:
            return is_webhook_away(error) or (is_kind_unknown(error) and not self._options.check_mode)

        def apply(force: bool) -> Json:
            return self._apply(target.path, target.manifest.body, self._options.field_manager, force)

        def send() -> Json:
            try:
                return apply(self._options.force_conflicts)
            except ApiError as error:
                # Fields of a previous field manager only are taken over, and no others with them.
                managers = conflicting_managers(error)
                if not managers or managers - set(self._options.previous_field_managers):
                    raise
                return apply(True)

        return self._retry_webhook(send, passes)

    def _release(self, target: Target, live: Json) -> Json:
        """Have the previous field managers own nothing any more, and return the object.

        What they have applied and this manifest has not is removed, as if one manager had applied both ("Transferring
        ownership", Kubernetes docs).
        """
        manifest = target.manifest
        metadata = {key: value for key, value in manifest.body["metadata"].items() if key in ("name", "namespace")}
        nothing = {"apiVersion": manifest.api_version, "kind": manifest.kind, "metadata": metadata}
        for manager in self._options.previous_field_managers:
            if has_applied(live, [manager]):
                live = self._retry_webhook(partial(self._apply, target.path, nothing, manager, False), is_webhook_away)
        return live

    def _apply(self, path: str, body: Json, manager: str, force: bool) -> Json:
        query = {"fieldManager": manager, "force": str(force).lower()}
        if self._options.check_mode:
            query["dryRun"] = "All"
        return self._api.apply(path, body, **query)

    def _retry_webhook(self, ask: Callable[[], Json], passes: Callable[[ApiError], bool]) -> Json:
        return retry_while(ask, passes, self._options.webhook_timeout, self._timing)


def _kind(manifest: Manifest) -> tuple[str, str]:
    return manifest.group, manifest.kind


def _kinds_of(crd: Manifest) -> set[tuple[str, str]]:
    spec = crd.body.get("spec") or {}
    return {(str(spec.get("group")), str((spec.get("names") or {}).get("kind")))}


def _version(thing: Json) -> Any:
    return thing["metadata"].get("resourceVersion")


def _content(thing: Json) -> dict[str, Any]:
    """Return what a dry run may change of an object; its version it never does, and times always."""
    passing = ("resourceVersion", "generation", "managedFields")
    metadata = {key: value for key, value in thing["metadata"].items() if key not in passing}
    managers = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in thing["metadata"].get("managedFields") or ()
    ]
    return {**thing, "metadata": {**metadata, "managedFields": managers}}
