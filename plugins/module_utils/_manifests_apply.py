# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a cluster to what a list of manifests says: read, send what differs, wait.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifests_api import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifests_compare import difference, projection
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifests_errors import (
    is_kind_unknown,
    is_webhook_away,
    refusal,
    unknown_kind,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifests_kinds import concurrently, find_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifests_object import Json, Kind, Manifest, Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifests_secret import hidden, secret_values
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifests_wait import Follow, Waiter
from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import redact
from ansible_collections.hashfoundry.kserve.plugins.module_utils._watch import Followers

# seconds between attempts of an apply: a webhook is missed by two at most, for a request that costs the server little
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 2.0
_ACTIONS = ("created", "configured", "unchanged", "unvalidated")


@dataclass(frozen=True)
class Options:
    """The module's options of the same names; namespace: for objects that name none; times in seconds."""

    namespace: str | None = None
    field_manager: str = "hashfoundry.kserve"
    force_conflicts: bool = False
    wait: bool = True
    wait_timeout: float = 300
    webhook_timeout: float = 60
    check_mode: bool = False
    diff: bool = False


@dataclass(frozen=True)
class Timing:
    """What passes the time: a monotonic clock in seconds, a sleep, and what follows objects."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    follow: Follow = Followers


@dataclass
class _Done:
    """What has been done with one manifest; before: None for an object that was not there; why: of unvalidated."""

    target: Target
    action: str
    before: Json | None
    after: Json
    why: str = ""


@dataclass
class _Report:
    """What has been done so far; it is shown on failure, too."""

    done: list[_Done] = field(default_factory=list)

    def result(self, api: ApplyApi, waiter: Waiter) -> dict[str, Any]:
        actions = [entry.action for entry in self.done]
        return {
            "changed": any(action != "unchanged" for action in actions),
            "objects": [{**_identity(entry.target), "action": entry.action} for entry in self.done],
            "unvalidated": [{**_identity(entry.target), "reason": entry.why} for entry in self.done if entry.why],
            "counts": {action: actions.count(action) for action in _ACTIONS},
            "requests": api.requests,
            "waited_seconds": round(waiter.seconds, 1),
        }


def _identity(target: Target) -> dict[str, Any]:
    manifest = target.manifest
    return {
        "api_version": manifest.api_version,
        "kind": manifest.kind,
        "namespace": manifest.namespace or None,
        "name": manifest.name,
    }


def apply_manifests(
    api: ApplyApi, manifests: Sequence[Manifest], options: Options, timing: Timing | None = None
) -> dict[str, Any]:
    """Apply the manifests in their order and return the module's result.

    :raises KServeError: an object is refused or does not come up; the result says what has been done until then.
    """
    timing = timing or Timing()
    waiter, report = Waiter(api, timing.follow, timing.clock), _Report()
    try:
        _Stage(api, options, timing, waiter, report).run(manifests)
    except KServeError as error:
        secrets = secret_values(manifests)
        result = {key: _redacted(value, secrets) for key, value in error.result.items()}
        raise KServeError(redact(str(error), *secrets), **report.result(api, waiter), **result) from None
    result = report.result(api, waiter)
    if options.diff:
        result["diff"] = [_diff(entry) for entry in report.done if entry.action != "unchanged"]
    return result


def _redacted(value: Any, secrets: set[str]) -> Any:
    if isinstance(value, list):
        return [_redacted(entry, secrets) for entry in value]
    return redact(value, *secrets) if isinstance(value, str) else value


def _diff(entry: _Done) -> dict[str, Any]:
    shape = entry.target.manifest.body
    name = str(entry.target)
    before = hidden(projection(entry.before, shape)) if entry.before else {}
    return {
        "before_header": name,
        "after_header": name,
        "before": before,
        "after": hidden(projection(entry.after, shape)),
    }


class _Stage:
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
        # In check mode, a kind that is not there yet is none of the errors; its objects are only listed.
        targets = [self._target(manifest, kinds) for manifest in manifests]
        before = concurrently(self._read, targets)
        crds: list[_Done] = []
        defined = {key for manifest in manifests if manifest.is_crd for key in _kinds_of(manifest)}
        for target, live in zip(targets, before, strict=True):
            if (target.manifest.group, target.manifest.kind) in defined and not self._options.check_mode:
                self._wait(crds)
                sent = any(entry.action != "unchanged" for entry in crds)
                # What the kind's objects were before could not be read before it was there.
                live = self._read(target) if sent and live is None else live
            done = self._bring(target, live)
            self._report.done.append(done)
            if target.manifest.is_crd:
                crds.append(done)
        if self._options.wait and not self._options.check_mode:
            self._wait(self._report.done)

    def _refused(self, target: Target, error: ApiError) -> KServeError:
        # Masked before it is shortened: a secret cut in two would not be known any more.
        masked = ApiError(redact(str(error), *self._secrets), error.status, redact(error.text, *self._secrets))
        return refusal(target, masked, self._options.webhook_timeout)

    def _wait(self, done: list[_Done]) -> None:
        self._waiter.wait([(entry.target, entry.after) for entry in done], self._options.wait_timeout)

    def _target(self, manifest: Manifest, kinds: dict[tuple[str, str], Kind]) -> Target:
        kind = kinds.get((manifest.api_version, manifest.kind))
        if kind is None and self._options.check_mode:
            kind = Kind("", bool(manifest.namespace))
        if kind is None:
            raise unknown_kind(manifest.api_version, str(manifest))
        namespace = (manifest.namespace or self._options.namespace or "") if kind.namespaced else ""
        if kind.namespaced and not namespace:
            raise KServeError(f"{manifest} names no namespace; set its metadata.namespace, or the option namespace.")
        metadata = {key: value for key, value in manifest.body["metadata"].items() if key != "namespace"}
        if namespace:
            metadata["namespace"] = namespace
        return Target(replace(manifest, body={**manifest.body, "metadata": metadata}), kind)

    def _read(self, target: Target) -> Json | None:
        if not target.kind.plural:
            return None
        try:
            return self._patiently(lambda: self._api.get(target.path), is_webhook_away)
        except ApiError as error:
            if error.status == 404:
                return None
            raise self._refused(target, error) from None

    def _bring(self, target: Target, live: Json | None) -> _Done:
        body, check_mode = target.manifest.body, self._options.check_mode
        if not target.kind.plural:
            return _Done(target, "unvalidated", None, body, "The cluster does not know the kind yet.")
        if live is not None and difference(body, live, self._options.field_manager) is None:
            return _Done(target, "unchanged", live, live)
        try:
            after = self._send(target)
        except ApiError as error:
            if check_mode and error.status == 404:
                why = "kind" if is_kind_unknown(error) else "namespace"
                return _Done(target, "unvalidated", live, body, f"The cluster does not know the {why} yet.")
            raise self._refused(target, error) from None
        if live is None:
            return _Done(target, "created", None, after)
        same = _content(live) == _content(after) if check_mode else _version(live) == _version(after)
        return _Done(target, "unchanged" if same else "configured", live, after)

    def _send(self, target: Target) -> Json:
        query = {"fieldManager": self._options.field_manager, "force": str(self._options.force_conflicts).lower()}
        if self._options.check_mode:
            query["dryRun"] = "All"

        def passes(error: ApiError) -> bool:
            return is_webhook_away(error) or (is_kind_unknown(error) and not self._options.check_mode)

        return self._patiently(lambda: self._api.apply(target.path, target.manifest.body, **query), passes)

    def _patiently(self, ask: Callable[[], Json], passes: Callable[[ApiError], bool]) -> Json:
        """Ask, again and again while the error is one that passes: a webhook or a new kind that is not served yet.

        :raises ApiError: the API server refuses, or the time for such errors is over.
        """
        deadline, pause = self._timing.clock() + self._options.webhook_timeout, _FIRST_PAUSE
        while True:
            try:
                return ask()
            except ApiError as error:
                left = deadline - self._timing.clock()
                if not passes(error) or left <= 0:
                    raise
                self._timing.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE)


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
