# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs whose output is shown while they run, for the runners of the checks."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run(
    command: Sequence[str | Path],
    show: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[int, list[str]]:
    """Run a program to its end; return its exit code and the lines that it printed, without colours and empty ones.

    command: the program and its arguments; show: is given each line as it comes; env: variables beside those of this
    process; folder: where the program begins.
    """
    lines = []
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout
        for line in process.stdout:
            show(line.rstrip("\n"))
            if plain := COLOUR.sub("", line).strip():
                lines.append(plain)
    return process.returncode, lines
