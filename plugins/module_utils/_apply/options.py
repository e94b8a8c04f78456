# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What applying and deleting manifests have in common: options, time, and the namespace of each object.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff, Retry
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.progress import Report
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Kind, Manifest, Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Follow, Followers

A = TypeVar("A")

# the field manager of a task that names none
FIELD_MANAGER = "hashfoundry.kserve"

# seconds between attempts of an apply: a webhook is missed by two at most, for a request that costs the server little
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 2.0


@dataclass(frozen=True)
class Options:
    """The module's options of the same names; namespace: for objects that name none; times in seconds."""

    namespace: str | None = None
    field_manager: str = FIELD_MANAGER
    previous_field_managers: Sequence[str] = ()
    force_conflicts: bool = False
    adopt: bool = False
    in_use: str = "fail"
    wait: bool = True
    wait_timeout: float = 300
    webhook_timeout: float = 60
    grace_period: float = 60
    prune: Sequence[Mapping[str, Any]] = ()
    check_mode: bool = False
    diff: bool = False

    @property
    def field_managers(self) -> tuple[str, ...]:
        """The field manager, and those whose fields it takes over."""
        return (self.field_manager, *self.previous_field_managers)


@dataclass(frozen=True)
class Timing:
    """How to wait: a monotonic clock in seconds, a sleep, a function that watches objects, and one that reports."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    follow: Follow = Followers
    report: Report | None = None


def previous_field_managers(field_manager: str) -> list[str]:
    """Return which field managers one replaces unless the task names them.

    Those of the collection's roles replace the single one of before, which is still the default. One of users does not:
    what the default has applied may be another list's.
    """
    return [FIELD_MANAGER] if field_manager.startswith(f"{FIELD_MANAGER}.") else []


def identity(target: Target) -> dict[str, Any]:
    """Return what names an object in the module's result."""
    manifest = target.manifest
    return {
        "api_version": manifest.api_version,
        "kind": manifest.kind,
        "namespace": manifest.namespace or None,
        "name": manifest.name,
    }


def with_namespace(manifest: Manifest, kind: Kind, options: Options) -> Target:
    """Return the manifest with its namespace.

    :raises KServeError: it needs a namespace, and there is none.
    """
    namespace = (manifest.namespace or manifest.home or options.namespace or "") if kind.namespaced else ""
    if kind.namespaced and not namespace:
        raise KServeError(
            f"{manifest} has no namespace; set its metadata.namespace, or the option namespace.",
            reason="NamespaceMissing",
        )
    metadata: Mapping[str, Any] = manifest.body["metadata"]
    metadata = {key: value for key, value in metadata.items() if key != "namespace"}
    if namespace:
        metadata = {**metadata, "namespace": namespace}
    return Target(replace(manifest, body={**manifest.body, "metadata": metadata}), kind)


def placed(manifests: Iterable[tuple[Manifest, Kind]], options: Options) -> list[Target]:
    """Return each object once, with its namespace.

    :raises KServeError: an object needs a namespace, and there is none, or it is given twice with different content.
    """
    found: dict[tuple[str, str, str, str], Target] = {}
    for manifest, kind in manifests:
        target = with_namespace(manifest, kind, options)
        other = found.setdefault(target.manifest.key, target)
        if other.manifest.body == target.manifest.body or (other.manifest.overrides and not manifest.overrides):
            continue
        if other.manifest.overrides == manifest.overrides:
            raise KServeError(
                f"{target} is given twice with different content, in {other.manifest.source} and in "
                f"{manifest.source}; remove one of them.",
                reason="DuplicateManifest",
            )
        found[target.manifest.key] = target
    return list(found.values())


def retry_while(ask: Callable[[], A], passes: Callable[[ApiError], bool], seconds: float, timing: Timing) -> A:
    """Retry while the error is a temporary one: a webhook or a new CRD that is not served yet.

    :raises ApiError: the API server refuses, or the time for such errors is over.
    """
    retry = _retry(seconds, _FIRST_PAUSE, timing)
    while True:
        try:
            return ask()
        except ApiError as error:
            if not passes(error) or not retry.pause():
                raise


def poll_until(holds: Callable[[], bool], seconds: float, timing: Timing) -> bool:
    """Poll until a condition holds; return whether it did in time."""
    retry = _retry(seconds, _FIRST_PAUSE / 5, timing)
    while not holds():
        if not retry.pause():
            return False
    return True


def _retry(seconds: float, first: float, timing: Timing) -> Retry:
    return Retry(timing.clock() + seconds, Backoff(first, _LONGEST_PAUSE), timing.clock, timing.sleep)
