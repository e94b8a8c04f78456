# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pauses between attempts, which grow while nothing changes.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Pauses in seconds: none yet, then the first one, and each twice as long as the one before."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.seconds = 0.0

    def grow(self, longest: float | None = None) -> float:
        """Double the pause and return it.

        :param longest: what limits this one, where that is not always the same.
        """
        limit = self._longest if longest is None else longest
        self.seconds = min(self.seconds * 2 or self._first, limit)
        return self.seconds

    def reset(self) -> None:
        """Start again without a pause."""
        self.seconds = 0.0


class Retry:
    """Attempts until a deadline, with growing pauses between them."""

    def __init__(
        self, deadline: float, backoff: Backoff, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        """:param deadline: when the time is over, by the clock.
        :param clock: seconds of a monotonic clock.
        """
        self._deadline = deadline
        self._backoff = backoff
        self._clock = clock
        self._sleep = sleep

    def pause(self) -> bool:
        """Wait before the next attempt; return False at once when the deadline has passed."""
        left = self._deadline - self._clock()
        if left <= 0:
            return False
        self._sleep(min(self._backoff.grow(), left))
        return True
