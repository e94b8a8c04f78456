# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait of the integration tests returns the value that meets the condition, or fails with the last one."""

from __future__ import annotations

from itertools import count

import pytest

from tests.integration.helpers import wait_until


def test_the_first_value_that_meets_the_condition_is_returned() -> None:
    numbers = count()
    assert wait_until(lambda: next(numbers), lambda number: number >= 3, pause=0) == 3
    assert next(numbers) == 4


def test_a_failure_names_the_condition_and_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"Not within 0 s: the pod is ready\. The last value is 'Pending'\."):
        wait_until(lambda: "Pending", lambda phase: phase == "Running", 0, pause=0, what="the pod is ready")
