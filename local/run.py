# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands, and report the end of their output if they fail."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.errors import DISK_FULL, LocalError

TAIL_LINES = 15


def run(
    command: Sequence[str | Path],
    *,
    hint: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Path | None = None,
    stdout: Path | None = None,
) -> str:
    """Run a command and return its standard output.

    hint: what the user should change if it fails; it ends the message of the LocalError.
    stdin, stdout: files used instead of pipes; with stdout the returned string is empty.
    """
    argv = [str(part) for part in command]
    source = stdin.open("rb") if stdin else subprocess.DEVNULL
    sink = stdout.open("wb") if stdout else subprocess.PIPE
    try:
        completed = subprocess.run(
            argv, cwd=cwd, env=env, stdin=source, stdout=sink, stderr=subprocess.PIPE, check=False
        )
    except FileNotFoundError:
        raise LocalError(f"The command {argv[0]} was not found: {hint}") from None
    finally:
        for stream in (source, sink):
            if not isinstance(stream, int):
                stream.close()
    if completed.returncode:
        output = (completed.stderr + (completed.stdout or b"")).decode(errors="replace").strip()
        if "No space left on device" in output:
            hint = DISK_FULL
        last = "\n".join(f"    {line}" for line in output.splitlines()[-TAIL_LINES:])
        raise LocalError(f"`{' '.join(argv[:3])} …` failed with exit code {completed.returncode}: {hint}\n{last}")
    return (completed.stdout or b"").decode(errors="replace")


def succeeds(command: Sequence[str | Path], env: Mapping[str, str] | None = None, timeout: float = 60) -> bool:
    """Whether a command exists and succeeds within timeout seconds."""
    argv = [str(part) for part in command]
    try:
        completed = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return completed.returncode == 0
