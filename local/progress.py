# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the current stage or step, its number, and the elapsed time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LOG_EVERY_S = 30  # without a terminal, a line this often shows that a long step is still running


def clock(seconds: float) -> str:
    """Minutes and seconds as 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@dataclass
class Progress:
    """Times the stages of one command and prints them to standard output."""

    started: float = field(default_factory=time.monotonic)
    stages: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """A stage whose time is listed in the final table."""
        print(f"==> {title}", flush=True)
        begun = time.monotonic()
        yield
        self.stages.append((title, time.monotonic() - begun))

    @contextmanager
    def step(self, number: int, count: int, title: str) -> Iterator[None]:
        """A step that may take minutes: printed at its start, while it runs and at its end."""
        begun = time.monotonic()
        ended = threading.Event()
        line = f"    [{number}/{count}] {title}"
        terminal = sys.stdout.isatty()

        def show() -> None:
            while not ended.wait(1 if terminal else LOG_EVERY_S):
                times = f"{clock(time.monotonic() - begun)}, {clock(time.monotonic() - self.started)} in all"
                print(
                    f"\r{line} … {times}" if terminal else f"{line} … {times}", end="" if terminal else "\n", flush=True
                )

        print(f"{line} …", end="" if terminal else "\n", flush=True)
        ticker = threading.Thread(target=show, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()
            if terminal:
                print(flush=True)
        if not terminal:
            print(f"{line}: {clock(time.monotonic() - begun)}", flush=True)

    def table(self) -> str:
        """The duration of each stage, in seconds."""
        rows = [*self.stages, ("in all", time.monotonic() - self.started)]
        width = max(len(title) for title, _seconds in rows)
        return "\n".join(f"  {title:<{width}}  {seconds:7.1f} s" for title, seconds in rows)
