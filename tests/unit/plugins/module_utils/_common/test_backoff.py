# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pauses double up to the longest, restart after a reset, and never exceed the deadline."""

from __future__ import annotations

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff, Retry


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 2.0)
    assert backoff.seconds == 0
    assert [backoff.grow() for _number in range(4)] == [0.5, 1.0, 2.0, 2.0]


def test_the_longest_pause_may_differ_each_time() -> None:
    backoff = Backoff(1.0, 2.0)
    assert [backoff.grow(8.0) for _number in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert backoff.grow() == 2.0


def test_a_reset_restarts_the_backoff() -> None:
    backoff = Backoff(0.5, 2.0)
    backoff.grow()
    backoff.grow()
    backoff.reset()
    assert (backoff.seconds, backoff.grow()) == (0.0, 0.5)


def test_attempts_end_at_the_deadline() -> None:
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    retry = Retry(102.0, Backoff(0.5, 4.0), lambda: now, sleep)
    assert [retry.pause() for _number in range(4)] == [True, True, True, False]
    assert now == 102.0
