# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tasks in a playbook, and return the start, end and resource usage of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import MeasurementError
from benchmarks.tools import Tools
from local.galaxy import COLLECTIONS
from local.settings import REPOSITORY

Task = Mapping[str, Any]
SAMPLE_S = 0.1
START_TIMEOUT_S = 60
EMPTY: Task = {"name": "empty", "ansible.builtin.ping": {}}


@dataclass(frozen=True)
class Timed:
    """One task of a run; started, ended: seconds since 1970; lines: the number of lines added to the counted log."""

    task: str
    started: float
    ended: float
    lines: int
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass
class Run:
    """The result of a run: its tasks by name, and the peak memory of the workers and their child processes, in MiB."""

    tasks: dict[str, Timed]
    peak_mib: float = 0.0


def play(
    tools: Tools,
    tasks: Sequence[Task],
    *,
    env: Mapping[str, str] | None = None,
    counted: Path | None = None,
    core: int | None = None,
    memory: bool = False,
    during: Callable[[], None] | None = None,
) -> Run:
    """Run the tasks on localhost.

    counted: a log whose lines are counted before and after every task.
    core: the CPU core that ansible-playbook and its child processes are pinned to.
    memory: measure the peak memory.
    during: called after the last task has started.
    :raises MeasurementError: a task failed.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        book, times, log_file = folder / "playbook.yml", folder / "times", folder / "output"
        variables = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local"}
        book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": list(tasks)}]))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": f"{COLLECTIONS.parent}:{tools.collections.parent}",
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
            "ANSIBLE_CALLBACKS_ENABLED": "task_times",
            "BENCHMARK_TIMES": str(times),
            "BENCHMARK_COUNTED": str(counted or ""),
            **(env or {}),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(book)]
        pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        with log_file.open("wb") as output:
            process = subprocess.Popen(
                [*pinned, *command], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                peak = _Peak(process.pid) if memory else None
                if during:
                    _wait_for(times, str(tasks[-1]["name"]), process)
                    during()
                process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if process.returncode:
            log = log_file.read_text(errors="replace")
            # The error is followed by its result, which may be long.
            first = log.find("[ERROR]: ")
            raise MeasurementError(f"A task failed:\n{log[first : first + 3000] if first >= 0 else log[-3000:]}")
        return Run(dict(timed(times.read_text().splitlines())), peak.stop() if peak else 0.0)


def timed(lines: Sequence[str]) -> Iterator[tuple[str, Timed]]:
    """The tasks in the lines written by the callback."""
    started: dict[str, Any] = {}
    for line in lines:
        row = json.loads(line)
        if row["what"] == "start":
            started[row["task"]] = row
        else:
            first = started[row["task"]]
            lines_grown = row["lines"] - first["lines"]
            yield row["task"], Timed(row["task"], first["time"], row["time"], lines_grown, row["result"])


def _wait_for(times: Path, task: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the callback has recorded the start of the task."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if times.exists() and any(json.loads(line)["task"] == task for line in times.read_text().splitlines()):
            return
        time.sleep(0.02)


class _Peak:
    """Samples the memory of Ansible's worker processes and their children, which include the modules."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._ended = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        pause = SAMPLE_S
        while not self._ended.wait(pause):
            begun = time.monotonic()
            self._peak = max(self._peak, sum(map(_proportional_mib, below(self._pid))))
            # Sampling hundreds of processes is slow. It must use at most a fifth of a core.
            pause = max(SAMPLE_S, 4 * (time.monotonic() - begun))

    def stop(self) -> float:
        """Stop sampling and return the peak, in MiB."""
        self._ended.set()
        self._thread.join()
        return self._peak


def below(pid: int) -> list[int]:
    """The descendants of a process."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            # The name, in parentheses, may contain spaces (proc(5)).
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, queue = [], [pid]
    while queue:
        found += (started := children.get(queue.pop(), []))
        queue += started
    return found


def _proportional_mib(pid: int) -> float:
    """The proportional set size of a process (proc(5), smaps_rollup)."""
    with suppress(OSError, StopIteration):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))) / 1024
    return 0.0
