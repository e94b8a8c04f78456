# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks named on the command line, each as `make CHECK`, and tell at the end how each of them closed.

A check that fails does not keep the others from running; the exit code is 1 if any failed. Which tests of pytest have
failed is told once more at the end, for a log may be long.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# A line of pytest's short summary, perhaps as an entry of a list that Ansible shows.
FAULT = re.compile(r"\b(?:FAILED|ERROR) \S+\.py(?:::\S.*)?$")


@dataclass(frozen=True)
class Closed:
    """How a check ended; line: the last of its output, faults: pytest's lines of the tests that failed."""

    passed: bool
    line: str
    seconds: float
    faults: list[str]


def run(check: str) -> Closed:
    """Run one check and show its output as it comes."""
    print(f"\n=== make {check}", flush=True)
    begun = time.monotonic()
    faults: list[str] = []
    last: deque[str] = deque(maxlen=1)
    command = ["make", "--no-print-directory", check]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if plain := COLOUR.sub("", line).strip():
                last.append(plain)
            if found := FAULT.search(plain):
                faults.append(found.group())
    return Closed(process.returncode == 0, last[-1] if last else "", time.monotonic() - begun, faults)


def main() -> int:
    """Run all checks; 0 if all passed."""
    results = {check: run(check) for check in sys.argv[1:]}
    print("\n=== closing lines")
    for check, closed in results.items():
        print(f"{check:<12} {'passed' if closed.passed else 'FAILED'}  {closed.seconds:6.0f} s  {closed.line}")
        for fault in closed.faults if not closed.passed else ():
            print(f"  {fault}")
    failed = sum(not closed.passed for closed in results.values())
    print(f"\nchecks: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
