# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following collections of objects by list and watch, each in a thread of its own, into one queue.

The way of Kubernetes' own clients ("Efficient detection of changes" in the Kubernetes API concepts):
list, watch from the list's resourceVersion, resume from the last event when the watch ends, and list
again when the server no longer knows that version. This file is private to the collection and may
change at any time.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .client import ApiError, KubeApi, Unreachable

Json = Mapping[str, Any]

# Seconds between attempts to reach a server that is away. The first attempt is made at once.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
# A list comes in pages of so many objects, of which only what is kept stays in memory. KServe makes two routes for a
# service: those of five hundred come in one.
PAGE = 1000
# What is temporary: the server is starting, is busy, or lists again because a page was requested too late.
_BUSY = (410, 429, 500, 502, 503, 504)
_ATTEMPTS = 10  # at a first list, over about eleven seconds


@dataclass(frozen=True)
class Source:
    """What to follow: the path of a collection, and its selectors as query parameters.

    optional: the API may be absent, as a CRD that is not installed; the collection is then empty.
    keep: what to keep of an object, or None for one that does not belong; it must know its metadata's uid.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False
    keep: Callable[[Json], Json | None] = field(default=lambda thing: thing, compare=False)


@dataclass(frozen=True)
class Change:
    """One change of a source, as its follower reports it.

    Either the whole collection by uid (listed), or one object that is there (present) or gone (absent),
    or the error with which it gave up.
    """

    source: str
    listed: Mapping[str, Json] | None = None
    present: Json | None = None
    absent: Json | None = None
    error: KServeError | None = None


class Feed(Protocol):
    """Where changes come from."""

    def next(self, timeout: float) -> list[Change]:
        """Wait for changes for the given seconds; return them, or nothing."""

    def stop(self) -> None:
        """Stop following."""


Follow = Callable[[KubeApi, Mapping[str, Source]], Feed]


class Follower:
    """Follows one source, in the thread that calls run."""

    def __init__(
        self,
        api: KubeApi,
        name: str,
        source: Source,
        put: Callable[[Change], None],
        pause: Callable[[float], bool],
        reached: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """:param put: takes the changes.
        :param pause: waits for the given seconds; returns whether to stop.
        :param reached: whether the server has answered to any follower.
        :param clock: seconds of a monotonic clock.
        :param stopped: says whether to stop.
        """
        self._api = api
        self._name = name
        self._source = source
        self._put = put
        self._pause = pause
        self._reached = reached or threading.Event()
        self._stopped = stopped
        self._clock = clock
        self._version = ""
        self._listed = False
        self._attempts = 0
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)

    def run(self, watch: bool = True) -> None:
        """Report every change of the source, until pause says so or the first list fails for good.

        Once the server has answered, it is waited for when it no longer does, since it may be restarting: it then
        refuses connections, and for a moment also what it allows later.

        :param watch: False for the list alone.
        """
        while True:
            try:
                self._version = self._version or self._list()
                if not watch or self._stopped():
                    return
                self._watch()
            except Unreachable as error:
                # The version is still good for a watch from where the last one broke off.
                if self._gives_up(error, self._reached.is_set()):
                    return
            except ApiError as error:
                # The version is too old (410), or the server is not yet itself: a list tells what was missed.
                self._version = ""
                if self._gives_up(error, error.status in _BUSY):
                    return
            if self._pause(self._backoff.seconds):
                return
            self._backoff.grow()

    def _gives_up(self, error: KServeError, passes: bool) -> bool:
        self._attempts += 1
        if self._listed or (passes and self._attempts < _ATTEMPTS):
            return False
        absent = self._source.optional and isinstance(error, ApiError) and error.status == 404
        self._put(Change(self._name, listed={}) if absent else Change(self._name, error=error))
        return True

    def _list(self) -> str:
        found: dict[str, Json] = {}
        query = {**self._source.query, "limit": PAGE}
        while True:
            page = self._api.get(self._source.path, **query)
            self._reached.set()
            for entry in page["items"]:
                if kept := self._source.keep(entry):
                    found[entry["metadata"]["uid"]] = kept
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        self._put(Change(self._name, listed=found))
        self._listed = True
        return str(page["metadata"]["resourceVersion"])

    def _watch(self) -> None:
        start = self._clock()
        try:
            self._follow_events()
        finally:
            # A server, or a proxy before it, that ends every watch at once is asked ever more slowly.
            if self._clock() - start > LONGEST_PAUSE:
                self._backoff.reset()

    def _follow_events(self) -> None:
        for event in self._api.watch(self._source.path, resourceVersion=self._version, **self._source.query):
            kind, thing = event["type"], event["object"]
            if kind == "ERROR":
                raise ApiError("The watch has ended.", int(thing.get("code", 500)), str(thing.get("message", "")))
            self._version = str(thing["metadata"]["resourceVersion"])
            if kind != "BOOKMARK" and (kept := self._source.keep(thing)):
                self._put(Change(self._name, absent=kept) if kind == "DELETED" else Change(self._name, present=kept))


class Followers:
    """Threads that watch several sources, and their events so far."""

    def __init__(self, api: KubeApi, sources: Mapping[str, Source], watch: bool = True) -> None:
        """:param watch: False for one list of each."""
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._api = api
        self._stop = threading.Event()
        reached = threading.Event()
        for name, source in sources.items():
            follower = Follower(api, name, source, self._queue.put, self._stop.wait, reached, stopped=self._stop.is_set)
            # Daemons: one that waits for the server to speak must not keep the process.
            threading.Thread(target=self._run, args=(follower, name, watch), daemon=True).start()

    def _run(self, follower: Follower, name: str, watch: bool) -> None:
        try:
            follower.run(watch)
        except Exception as error:  # a thread that ended without a word would be waited for
            message = short(f"{error.__class__.__name__}: {error}")
            self._queue.put(
                Change(
                    name,
                    error=KServeError(f"The API server's answer cannot be parsed ({message}).", reason="InvalidAnswer"),
                )
            )

    def next(self, timeout: float) -> list[Any]:
        """Wait for something new for the given seconds; return all of it, or nothing."""
        try:
            changes = [self._queue.get(timeout=max(timeout, 0))]
        except queue.Empty:
            return []
        while not self._queue.empty():
            changes.append(self._queue.get())
        return changes

    def put(self, change: Any) -> None:
        """Let the next call return something that another thread has to say."""
        self._queue.put(change)

    def stop(self) -> None:
        """Let the threads end at their next step, and their watches at once."""
        self._stop.set()
        self._api.end_watches()


class Store:
    """The objects of every source as of the last change."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = set(sources)
        self._objects: dict[str, dict[str, Json]] = {}

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

    def get(self, source: str) -> list[Json]:
        """Return the source's objects."""
        return list(self._objects.get(source, {}).values())
