# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the start, end and result of each task as lines of JSON.

BENCHMARK_TIMES is the file. BENCHMARK_COUNTED is an optional log whose lines are counted at the start and the end.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: notification
short_description: Write the times of tasks as lines of JSON
description:
  - For the benchmarks of this repository only.
"""


def lines(path: str) -> int:
    """The number of lines in the counted log."""
    return Path(path).read_bytes().count(b"\n") if path and Path(path).exists() else 0


class CallbackModule(CallbackBase):
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "task_times"

    def _write(self, what: str, task: Any, result: Any = None) -> None:
        now = time.time()
        row = {"what": what, "task": task.get_name(), "time": now, "lines": lines(os.environ["BENCHMARK_COUNTED"])}
        if result is not None:
            row["result"] = result
        with Path(os.environ["BENCHMARK_TIMES"]).open("a") as file:
            file.write(json.dumps(row, default=str) + "\n")

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Record that the task started."""
        self._write("start", task)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Record that the task succeeded."""
        self._write("ok", result.task, result.result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Record that the task failed."""
        self._write("failed", result.task, result.result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Record that the task was skipped."""
        self._write("skipped", result.task, result.result)
