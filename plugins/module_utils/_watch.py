# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following collections of objects by list and watch, each in a thread of its own, into one queue.

The way of Kubernetes' own clients ("Efficient detection of changes" in the Kubernetes API concepts):
list, watch from the list's resourceVersion, go on from the last event when the watch ends, and list
again when the server no longer knows that version. This file is private to the collection and may
change at any time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import ApiError, KubeApi, Unreachable

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between attempts to reach a server that is away


@dataclass(frozen=True)
class Source:
    """What to follow: the path of a collection, and its selectors as query parameters.

    optional: the API may be absent, as a CRD that is not installed; the collection is then empty.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True)
class Change:
    """One thing that a follower has to say about its source.

    Either the whole collection by uid (listed), or one object that is there (present) or gone (absent),
    or the error with which it gave up.
    """

    source: str
    listed: Mapping[str, Mapping[str, Any]] | None = None
    present: Mapping[str, Any] | None = None
    absent: Mapping[str, Any] | None = None
    error: KServeError | None = None


def follow(
    api: KubeApi, name: str, source: Source, put: Callable[[Change], None], pause: Callable[[float], bool]
) -> None:
    """Put every change of the source, until pause says so or the first list fails.

    Once a list has worked, a server that does not answer is waited for, since it may be restarting.

    :param pause: waits for the given seconds; returns whether to stop.
    """
    seconds, known = FIRST_PAUSE, False
    while True:
        try:
            version = _list(api, name, source, put)
            seconds, known = FIRST_PAUSE, True
            while True:
                version = _watch(api, name, source, version, put)
                # For a server, or a proxy before it, that ends every watch at once.
                if pause(FIRST_PAUSE):
                    return
        except (ApiError, Unreachable) as error:
            if not known:
                absent = source.optional and isinstance(error, ApiError) and error.status == 404
                put(Change(name, listed={}) if absent else Change(name, error=error))
                return
        # The version is too old (410), the connection is lost, or the server has just started and refuses for a
        # moment what it allows later: in every case a new list tells what was missed.
        if pause(seconds):
            return
        seconds = min(seconds * 2, LONGEST_PAUSE)


def _list(api: KubeApi, name: str, source: Source, put: Callable[[Change], None]) -> str:
    answer = api.get(source.path, **source.query)
    put(Change(name, listed={entry["metadata"]["uid"]: entry for entry in answer["items"]}))
    return str(answer["metadata"]["resourceVersion"])


def _watch(api: KubeApi, name: str, source: Source, version: str, put: Callable[[Change], None]) -> str:
    for event in api.watch(source.path, resourceVersion=version, **source.query):
        kind, thing = event["type"], event["object"]
        if kind == "ERROR":
            raise ApiError("The watch has ended.", int(thing.get("code", 500)), str(thing.get("message", "")))
        version = str(thing["metadata"]["resourceVersion"])
        if kind == "DELETED":
            put(Change(name, absent=thing))
        elif kind != "BOOKMARK":
            put(Change(name, present=thing))
    return version


class Followers:
    """Threads that follow several sources, and what they have said so far."""

    def __init__(self, api: KubeApi, sources: Mapping[str, Source]) -> None:
        self._queue: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._stop = threading.Event()
        for name, source in sources.items():
            # Daemons: one that waits for the server to speak must not keep the process.
            arguments = (api, name, source, self._queue.put, self._stop.wait)
            threading.Thread(target=follow, args=arguments, daemon=True).start()

    def next(self, timeout: float) -> list[Change]:
        """Wait for something new for the given seconds; return all of it, or nothing."""
        try:
            changes = [self._queue.get(timeout=max(timeout, 0))]
        except queue.Empty:
            return []
        while not self._queue.empty():
            changes.append(self._queue.get())
        return changes

    def stop(self) -> None:
        """Let the threads end at their next step."""
        self._stop.set()


class Store:
    """The objects of every source as of the last change."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = set(sources)
        self._objects: dict[str, dict[str, Mapping[str, Any]]] = {}

    def apply(self, change: Change) -> None:
        """Take a change in.

        :raises KServeError: the follower gave up.
        """
        if change.error:
            raise change.error
        if change.listed is not None:
            self._objects[change.source] = dict(change.listed)
        objects = self._objects.setdefault(change.source, {})
        if change.present:
            objects[change.present["metadata"]["uid"]] = change.present
        if change.absent:
            objects.pop(change.absent["metadata"]["uid"], None)

    @property
    def complete(self) -> bool:
        """Whether every source has been listed."""
        return self._sources <= set(self._objects)

    def get(self, source: str) -> list[Mapping[str, Any]]:
        """Return the source's objects."""
        return list(self._objects.get(source, {}).values())
