# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands and print their output while they run, for the runners of the checks."""

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
    """Run a command until it exits; return its exit code and its lines of output, without colours and empty lines.

    command: the argument list; show: called with each line; env: variables in addition to those of this process;
    folder: the working directory.
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
