# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same work on many things at once.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

# As many connections as kubernetes' client keeps at the least on two cores.
_AT_ONCE = 8


def concurrently(function: Callable[[A], B], things: Iterable[A], at_once: int = _AT_ONCE) -> list[B]:
    """Return the function of each thing, in order, worked out by this many threads."""
    pool, finished = ThreadPoolExecutor(at_once), False
    try:
        found = list(pool.map(function, things))
        finished = True
        return found
    finally:
        # An interruption, as by the keyword timeout, is not to wait for what is under way.
        pool.shutdown(wait=finished, cancel_futures=True)
