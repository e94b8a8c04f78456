# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a condition, in tests on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(
    look: Callable[[], Any],
    holds: Callable[[Any], bool] = bool,
    seconds: float = 120,
    *,
    what: str = "the condition holds",
    every: float = 0.1,
) -> Any:
    """Look until the condition holds for what is seen, and return that; fail with what was last seen."""
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, f"Not within {seconds:g} seconds: {what}. Last seen: {seen!r}"
        time.sleep(every)
    return seen
