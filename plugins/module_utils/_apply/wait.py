# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for applied objects by watches, and explaining why one does not become ready.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.progress import Progress, Report
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.cert_manager import (
    CHALLENGES,
    ORDERS,
    REQUESTS,
    certificate_problem,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.pod import pod_problem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import State, Verdict, progressing
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.workloads import readiness_problem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import READ_TIMEOUT, KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Feed, Follow, Source, Store

from .refused_pods import refused_pods

Json = Mapping[str, Any]

_EVENTS = 5
# After so many seconds pods that are refused for good are noticed; the others get the grace period.
_FIRST_LOOK = 5.0
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
_CERTIFICATE = ("cert-manager.io", "Certificate")


class Waiter:
    """Waits for objects; seconds: how long it has waited in all."""

    def __init__(
        self,
        api: KubeApi,
        follow: Follow,
        clock: Callable[[], float],
        grace_period: float = 60,
        report: Report | None = None,
    ) -> None:
        self._api = api
        self._grace_period = grace_period
        self._follow = follow
        self._clock = clock
        self._report = report
        self._seen_ready: set[str] = set()
        self.seconds = 0.0

    def wait(self, states: list[tuple[Target, Json]], timeout: float) -> None:
        """Return when every object works; those that do as they were last read, or were waited for, cost nothing.

        :param states: the objects, each as it was last read.
        :raises KServeError: one will not work, or does not within the given seconds.
        """
        waiting = {
            target.path: (target, verdict)
            for target, thing in states
            if target.path not in self._seen_ready and (verdict := _verdict(target, thing))
        }
        if not waiting:
            return
        _stop_at_failed(self._api, waiting)
        feed = self._follow(self._api, {path: _source(entry[0]) for path, entry in waiting.items()})
        start = self._clock()
        try:
            self._until_ready(feed, waiting, start, timeout)
        finally:
            feed.stop()
            self.seconds += self._clock() - start

    def _until_ready(
        self, feed: Feed, waiting: dict[str, tuple[Target, Verdict]], start: float, timeout: float
    ) -> None:
        store, progress = Store(waiting), Progress(self._report, start)
        look = start + min(_FIRST_LOOK, self._grace_period)
        while waiting:
            if store.complete and self._clock() >= look:
                late = self._clock() >= start + self._grace_period
                self._stop_at_refused(waiting, store, late)
                look = self._clock() + max(self._grace_period, _FIRST_LOOK) if late else start + self._grace_period
            left = start + timeout - self._clock()
            # All is read once in any case, which ends by itself: each follower lists its source or gives up.
            if left <= 0 and store.complete:
                target, verdict = next(iter(waiting.values()))
                raise _failure(self._api, target, verdict, f" after {timeout:g} seconds")
            now = self._clock()
            progress.at(now, lambda seconds: _sentence(waiting, seconds))
            quiet = min(left, max(look - now, 0)) if store.complete else READ_TIMEOUT
            changes = feed.next(min(quiet, progress.left(now)))
            for change in changes:
                store.apply(change)
            for path in {change.source for change in changes} & set(waiting):
                target = waiting[path][0]
                verdict_now = _verdict(target, next(iter(store.get(path)), None))
                if verdict_now:
                    waiting[path] = (target, verdict_now)
                else:
                    del waiting[path]
                    self._seen_ready.add(path)
            _stop_at_failed(self._api, waiting)

    def _stop_at_refused(self, waiting: Mapping[str, tuple[Target, Verdict]], store: Store, late: bool) -> None:
        """Raise if Kubernetes refuses the pods of a workload, and always will or has for the grace period."""
        for path, (target, _verdict_before) in waiting.items():
            thing = next(iter(store.get(path)), None)
            refused = refused_pods(self._api, target, thing) if thing and target.manifest.kind in _WORKLOADS else None
            if refused and (late or refused.state is State.FAILED):
                raise KServeError(f"{target} is not ready: {refused.message}", reason=refused.reason, events=[])


def _sentence(waiting: Mapping[str, tuple[Target, Verdict]], seconds: float) -> str:
    target, verdict = next(iter(waiting.values()))
    others = f" {len(waiting) - 1} other objects are not ready either." if len(waiting) > 1 else ""
    return f"{target} is not ready after {seconds} seconds: {verdict.message.rstrip('.')}.{others}"


def _verdict(target: Target, thing: Json | None) -> Verdict | None:
    if thing is None:
        return progressing("Absent", "it has been deleted")
    return readiness_problem(target.manifest.group, target.manifest.kind, thing)


def _source(target: Target) -> Source:
    return Source(target.collection, {"fieldSelector": f"metadata.name={target.manifest.name}"})


def _stop_at_failed(api: KubeApi, waiting: Mapping[str, tuple[Target, Verdict]]) -> None:
    for target, verdict in waiting.values():
        if verdict.state is State.FAILED:
            raise _failure(api, target, verdict, "")


def _failure(api: KubeApi, target: Target, verdict: Verdict, when: str) -> KServeError:
    why = verdict.message
    events: list[str] = []
    if target.manifest.kind in _WORKLOADS:
        stuck, events = _explanation(api, target)
        why = f"{why}; {stuck[0].lower()}{stuck[1:]}" if stuck else why
    if (target.manifest.group, target.manifest.kind) == _CERTIFICATE:
        why = f"{why}; {_request_explanation(api, target)}"
    return KServeError(f"{target} is not ready{when}: {why.rstrip('.')}.", reason=verdict.reason, events=events)


def _explanation(api: KubeApi, target: Target) -> tuple[str, list[str]]:
    """Return what keeps a workload's pods, and the last events about it and them."""
    namespace = target.collection.rpartition("/")[0].replace("/apis/" + target.manifest.api_version, "/api/v1")
    name = target.manifest.name
    try:
        labels = api.get(target.path)["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        problem = pod_problem(api.get(f"{namespace}/pods", labelSelector=selector)["items"])
        events = api.get(f"{namespace}/events")["items"]
    except (KServeError, KeyError) as error:
        return f"its pods cannot be read ({error})", []
    own = [entry for entry in events if _is_about(str(entry["involvedObject"].get("name", "")), name)]
    lines = [f"{entry.get('reason')}: {short(entry.get('message'))}" for entry in sorted(own, key=_when)[-_EVENTS:]]
    return problem.message if problem else "", lines


def _request_explanation(api: KubeApi, target: Target) -> str:
    """Return what keeps a Certificate from being issued."""

    def listed(api_version: str, plural: str) -> list[Json]:
        items: list[Json] = api.get(f"/apis/{api_version}/namespaces/{target.manifest.namespace}/{plural}")["items"]
        return items

    try:
        certificate, requests, orders = api.get(target.path), listed(*REQUESTS), listed(*ORDERS)
        return certificate_problem(certificate, requests, orders, listed(*CHALLENGES))
    except (KServeError, KeyError) as error:
        return f"what cert-manager says of it cannot be read ({error})"


def _is_about(involved: str, name: str) -> bool:
    # ReplicaSets and pods have their owner's name and a suffix.
    return involved == name or involved.startswith(f"{name}-")


def _when(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))
