# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for InferenceServices: which verdict each has after every change, whose model to ask when, and when to end.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.progress import Progress, Report
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import (
    GracePeriod,
    State,
    Verdict,
    progressing,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import READ_TIMEOUT
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Change

from .model_probe import Answer
from .readiness import Objects, current_pods, judge
from .selection import SERVICES, Selection, Services

# A model has nothing to watch. One that is not ready is asked again when an object of its service changes, and else
# after pauses, in seconds, that grow from the first to the last. That one grows with the number of models that are
# not ready, so that all of them together are asked this often a second.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
QUESTIONS_A_SECOND = 25
NOT_FOUND = "NotFound"


@dataclass(frozen=True)
class Limits:
    """timeout, grace_period: seconds; fail_fast: end at the first failed service; absent_is_fine: in check mode."""

    timeout: float = 0
    grace_period: float = float("inf")
    fail_fast: bool = False
    absent_is_fine: bool = False


class Feed(Protocol):
    """Where changes and answers come from."""

    def next(self, timeout: float) -> Sequence[Change | Answer]:
        """Wait for something new for the given seconds; return all of it, or nothing."""


class Ask(Protocol):
    """How models are queried; the answers come through the feed.

    not_queried: a sentence on a model that serves and was not queried.
    """

    not_queried: str

    def target(self, objects: Objects) -> str | Verdict | None:
        """Return the Service to ask, or None for not at all, or why not yet."""

    def ask(self, name: str, service: str, old: Collection[str], about: Any) -> None:
        """Ask the model of the named InferenceService at a Service, where some pods do not count; return at once."""


class Watched:
    """One InferenceService, its verdict, and what is known of its model.

    model_ready: None while it was not queried; seconds: when the verdict last became what it is.
    """

    def __init__(self, name: str, grace_period: float) -> None:
        self.name = name
        self.objects = Objects()
        self.verdict = progressing("Connecting", "The cluster is being read.")
        self.seconds = 0.0
        self._patience = GracePeriod(grace_period)
        self._answer: Verdict | None = None
        self._about: Any = None
        self._asking = False
        self._again = False
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._due: float | None = None

    @property
    def model_ready(self) -> bool | None:
        """Whether the model reported that it is ready; None if it was not queried."""
        return None if self._answer is None else self._answer.state is State.SERVING

    @property
    def settled(self) -> bool:
        """Whether no more waiting is needed."""
        return self.verdict.state in (State.SERVING, State.FAILED)

    @property
    def not_queried(self) -> bool:
        """Whether its model is being asked for the first time."""
        return self._asking and self._answer is None

    def changed(self, objects: Objects) -> None:
        """Take in that objects of the service have changed."""
        self.objects = objects
        self._again = self._asking
        if not self._asking and self._due is not None:
            self._due = 0.0

    def answered(self, answer: Answer, now: float, longest_pause: float) -> None:
        """Take in the model's answer."""
        self._asking = False
        if answer.about != self._about:  # it was asked of pods that are no longer those that count
            self._due = now
            return
        self._answer = answer.verdict
        self._due = None
        if answer.verdict.state is not State.SERVING:
            pause = self._backoff.grow(longest_pause)
            self._due = now if self._again else now + pause
        self._again = False

    def judge(self, ask: Ask, now: float, start: float) -> None:
        """Work out the verdict of now, and ask the model if it is time to."""
        verdict = judge(self.objects)
        service = ask.target(self.objects) if verdict.state is State.SERVING else verdict
        if isinstance(service, str):
            self._ask(ask, service, now)
            verdict = self._answer or progressing("ProbePending", "The model has not answered yet.")
        else:
            self._about = self._answer = self._due = None
            self._backoff.reset()
            verdict = service or replace(verdict, message=f"{verdict.message} {ask.not_queried}")
        verdict = self._patience.judge(verdict, now)
        if (verdict.state, verdict.reason) != (self.verdict.state, self.verdict.reason):
            self.seconds = now - start
        self.verdict = verdict

    def _ask(self, ask: Ask, service: str, now: float) -> None:
        current = current_pods(self.objects)
        about = (service, *sorted(map(_life, current)))
        if about != self._about:
            self._about = about
            self._due = now
            if self.model_ready:  # the answer of other pods; a degraded verdict remains until the next answer
                self._answer = None
        if not self._asking and self._due is not None and self._due <= now:
            self._asking, self._due = True, None
            old = {pod["metadata"]["name"] for pod in self.objects.pods} - {pod["metadata"]["name"] for pod in current}
            ask.ask(self.name, service, old, about)

    def next_at(self, now: float) -> float | None:
        """Return when, on the clock, the verdict can change without any news; None for never."""
        limits = [] if self._due is None or self._asking else [self._due]
        patience = self._patience.left(now)
        if patience is not None and not self.settled:
            limits.append(now + patience)
        return min(limits, default=None)


def _life(pod: Any) -> tuple[str, int]:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return pod["metadata"]["uid"], sum(entry.get("restartCount", 0) for entry in statuses)


@dataclass(frozen=True)
class Outcome:
    """How the waiting ended; seconds: how long it took; late: whether the time was over."""

    services: Sequence[Watched]
    seconds: float
    late: bool


def wait(
    feed: Feed,
    ask: Ask,
    selection: Selection,
    limits: Limits,
    clock: Callable[[], float] = time.monotonic,
    report: Report | None = None,
) -> Outcome:
    """Follow the feed until every verdict is final, or one is failed and that is enough, or the time is over.

    :param clock: seconds of a monotonic clock.
    :param report: shows how far it has come.
    :raises KServeError: the cluster cannot be read.
    """
    waiting = _Waiting(ask, selection, limits, clock())
    now = waiting.start
    progress = Progress(report, now)
    while True:
        for news in feed.next(min(waiting.left(now), progress.left(now))):
            waiting.take(news, clock())
        now = clock()
        if waiting.over(now):
            return waiting.outcome(now)
        progress.at(now, waiting.sentence)


class _Waiting:
    """The state of one wait. What one piece of news costs does not grow with the number of services."""

    def __init__(self, ask: Ask, selection: Selection, limits: Limits, start: float) -> None:
        self._ask = ask
        self._selection = selection
        self._limits = limits
        self.start = start
        self._deadline = start + limits.timeout
        self._services = Services()
        self._watched: dict[str, Watched] = {}
        # Whose objects have changed, and who else is to be judged.
        self._changed: set[str] = set()
        self._touched: set[str] = set()
        self._moved = True  # whether an InferenceService may have come or gone
        # By name: those without a final verdict, the failed ones, and those whose model has yet to answer once.
        self._unsettled: set[str] = set()
        self._failed: set[str] = set()
        self._not_queried: set[str] = set()
        self._not_ready: set[str] = set()
        # When which service is to be judged again without news; what is out of date here does no harm.
        self._calendar: list[tuple[float, str]] = []

    def take(self, news: Change | Answer, now: float) -> None:
        """Take in what the feed has given."""
        if isinstance(news, Answer):
            if news.name in self._watched:
                self._watched[news.name].answered(news, now, self._longest_pause())
                self._touched.add(news.name)
            return
        self._changed |= self._services.apply(news)
        self._moved |= news.source == SERVICES

    def over(self, now: float) -> bool:
        """Judge what there is to judge, and say whether no more waiting is needed."""
        if not self._services.complete:
            return False
        self._select()
        while self._calendar and self._calendar[0][0] <= now:
            self._touched.add(heapq.heappop(self._calendar)[1])
        for name in (self._changed | self._touched) & self._watched.keys():
            self._judge(self._watched[name], now)
        self._changed, self._touched = set(), set()
        if not self._unsettled or (self._limits.fail_fast and self._failed):
            return True
        return now >= self._deadline and not self._not_queried

    def left(self, now: float) -> float:
        """Return for how many seconds to wait for news."""
        # The cluster is read once in any case, and each model asked once, which end by themselves.
        left = self._deadline - now if self._services.complete and now < self._deadline else READ_TIMEOUT
        return max(0.0, min(left, self._calendar[0][0] - now)) if self._calendar else left

    def sentence(self, seconds: float) -> str:
        """Return how far it has come after so many seconds."""
        if not self._unsettled:
            return f"The API server has not listed everything after {seconds} seconds."
        name = min(self._unsettled)
        example = f"{name}: {self._watched[name].verdict.message}"
        count = len(self._watched) - len(self._unsettled) - len(self._failed)
        return f"{count} of {len(self._watched)} InferenceServices serve after {seconds} seconds. {example}"

    def outcome(self, now: float) -> Outcome:
        """Return how it ended."""
        names = sorted(self._watched) if self._selection.names is None else self._selection.names
        return Outcome([self._watched[name] for name in names], now - self.start, now >= self._deadline)

    def _select(self) -> None:
        if not self._moved:
            return
        self._moved = False
        names = self._services.names() if self._selection.names is None else self._selection.names
        for name in names:
            if name not in self._watched:
                self._watched[name] = Watched(name, self._limits.grace_period)
                self._changed.add(name)
        # A service chosen by its labels may be gone or have lost them.
        for name in set(self._watched) - set(names):
            del self._watched[name]
            for group in (self._unsettled, self._failed, self._not_queried, self._not_ready):
                group.discard(name)

    def _judge(self, service: Watched, now: float) -> None:
        if service.name in self._changed:
            service.changed(self._services.get(service.name))
        service.judge(self._ask, now, self.start)
        excused = self._limits.absent_is_fine and service.verdict.reason == NOT_FOUND
        for group, belongs in (
            (self._unsettled, not service.settled and not excused),
            (self._failed, service.verdict.state is State.FAILED and not excused),
            (self._not_queried, service.not_queried),
            (self._not_ready, service.model_ready is False),
        ):
            if belongs:
                group.add(service.name)
            else:
                group.discard(service.name)
        if (when := service.next_at(now)) is not None:
            heapq.heappush(self._calendar, (when, service.name))

    def _longest_pause(self) -> float:
        return max(LONGEST_PAUSE, len(self._not_ready) / QUESTIONS_A_SECOND)
