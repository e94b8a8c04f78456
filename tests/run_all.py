# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks named on the command line, each as `make CHECK`, and tell at the end how each of them closed.

A check that fails does not keep the others from running; the exit code is 1 if any failed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import deque

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run(check: str) -> tuple[bool, str, float]:
    """Run one check and show its output as it comes; whether it passed, its last line, and its seconds."""
    print(f"\n=== make {check}", flush=True)
    begun = time.monotonic()
    last: deque[str] = deque(maxlen=1)
    command = ["make", "--no-print-directory", check]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.strip():
                last.append(COLOUR.sub("", line).strip())
    return process.returncode == 0, last[-1] if last else "", time.monotonic() - begun


def main() -> int:
    """Run all checks; 0 if all passed."""
    results = [(check, *run(check)) for check in sys.argv[1:]]
    print("\n=== closing lines")
    for check, passed, line, seconds in results:
        print(f"{check:<12} {'passed' if passed else 'FAILED'}  {seconds:6.0f} s  {line}")
    failed = sum(not passed for _check, passed, _line, _seconds in results)
    print(f"\nchecks: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
