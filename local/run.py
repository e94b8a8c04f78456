# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start programs; what they say is kept for the person who must mend their failure."""

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
    """Run a program to its end and return what it printed.

    hint: what a person should change where it fails; it ends the LocalError's sentence.
    stdin, stdout: files that take the place of the pipes; with stdout the text returned is empty.
    """
    words = [str(word) for word in command]
    source = stdin.open("rb") if stdin else subprocess.DEVNULL
    sink = stdout.open("wb") if stdout else subprocess.PIPE
    try:
        done = subprocess.run(words, cwd=cwd, env=env, stdin=source, stdout=sink, stderr=subprocess.PIPE, check=False)
    except FileNotFoundError:
        raise LocalError(f"The program {words[0]} is not on this machine: {hint}") from None
    finally:
        for stream in (source, sink):
            if not isinstance(stream, int):
                stream.close()
    if done.returncode:
        said = (done.stderr + (done.stdout or b"")).decode(errors="replace").strip()
        if "No space left on device" in said:
            hint = DISK_FULL
        last = "\n".join(f"    {line}" for line in said.splitlines()[-TAIL_LINES:])
        raise LocalError(f"`{' '.join(words[:3])} …` ended with code {done.returncode}: {hint}\n{last}")
    return (done.stdout or b"").decode(errors="replace")


def answers(command: Sequence[str | Path], env: Mapping[str, str] | None = None, timeout: float = 60) -> bool:
    """Tell whether a program is there and ends with code 0 within timeout seconds."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
