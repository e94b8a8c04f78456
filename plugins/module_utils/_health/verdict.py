# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a verdict on an InferenceService is, and how long a degraded one is tolerated.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """serving: it answers; progressing: it needs time; degraded: wrong, but it may recover; failed: it will not."""

    SERVING = "serving"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """reason: CamelCase word for machines; message: one sentence with the cause and what to do, for people."""

    state: State
    reason: str
    message: str


def progressing(reason: str, message: str) -> Verdict:
    """Return the verdict that more time is all that is needed."""
    return Verdict(State.PROGRESSING, reason, message)


def degraded(reason: str, message: str) -> Verdict:
    """Return the verdict that something is wrong which may still recover."""
    return Verdict(State.DEGRADED, reason, message)


def failed(reason: str, message: str) -> Verdict:
    """Return the verdict that only a change helps."""
    return Verdict(State.FAILED, reason, message)


def worst(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    """Return the first of the worst verdicts, or None when there is none."""
    order = (State.FAILED, State.DEGRADED, State.PROGRESSING, State.SERVING)
    return min(
        (verdict for verdict in verdicts if verdict), key=lambda verdict: order.index(verdict.state), default=None
    )


class GracePeriod:
    """Turns a degraded state that has lasted longer than the grace period into a failed one.

    The period runs over different reasons, since one cause shows as several: a container that
    crashes is by turns terminated, waiting and running.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._since: float | None = None

    def judge(self, verdict: Verdict, now: float) -> Verdict:
        """Return the verdict as it stands at a moment of a monotonic clock, in seconds."""
        if verdict.state is not State.DEGRADED:
            self._since = None
            return verdict
        if self._since is None:
            self._since = now
        if now - self._since >= self._grace:
            return replace(verdict, state=State.FAILED)
        return verdict

    def left(self, now: float) -> float | None:
        """Return the seconds until the period is over, or None while nothing is degraded."""
        return None if self._since is None else max(0.0, self._since + self._grace - now)
