# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reporting how far a long wait has come.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable

# Seconds between two reports; a wait that is shorter reports nothing.
PAUSE = 15.0

Report = Callable[[str], None]


class Progress:
    """Says when a report is due, and gives it."""

    def __init__(self, report: Report | None, start: float, pause: float = PAUSE) -> None:
        """:param report: shows a sentence; None for no reports.
        :param start: seconds of a monotonic clock.
        """
        self._report = report
        self._start = start
        self._pause = pause
        self._due = start + pause

    def left(self, now: float) -> float:
        """Return for how many seconds nothing has to be reported."""
        return max(0.0, self._due - now) if self._report else float("inf")

    def at(self, now: float, sentence: Callable[[float], str]) -> None:
        """Report if it is due.

        :param sentence: returns it for the seconds since the start.
        """
        if self._report and now >= self._due:
            self._due = now + self._pause
            self._report(sentence(round(now - self._start)))
