# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long `make demo` takes with a warm cache, from no cluster to a prediction and once more without a change.

    python benchmarks/demo.py [ROUNDS]

Each round takes the demo's cluster away, makes it, converges it, and converges it again. Prints medians and the bars
that the project holds itself to. It takes two minutes a round, and the demo's cluster with it.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGE = re.compile(r"^  (.+?) +(\d+\.\d) s$", re.MULTILINE)
SITE = "playbooks/site.yml"


def make(target: str) -> str:
    """Run a target of the Makefile and return what it printed."""
    command = ["make", "--no-print-directory", target]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"make {target} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def stages(output: str) -> dict[str, float]:
    """The closing table of `make demo`: seconds by stage."""
    return {name: float(seconds) for name, seconds in STAGE.findall(output)}


def main() -> None:
    """Measure and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    make("build")
    first, again = [], []
    for _round in range(rounds):
        make("clean")
        first.append(stages(make("demo")))
        output = make("demo")
        if not re.search(r"changed=0 ", output):
            sys.exit("The second run changed something.")
        again.append(stages(output))
    after_create = [sum(run[name] for name in ("component images", SITE, "prediction")) for run in first]
    ratios = [second[SITE] / one[SITE] for one, second in zip(first, again, strict=True)]
    rows = [
        ("make demo, warm cache, no cluster", [run["in all"] for run in first], ""),
        ("  of it kind create cluster", [run["kind cluster"] for run in first], ""),
        ("  of it after that, to the prediction", after_create, "under 150 s"),
        ("  of it site.yml", [run[SITE] for run in first], ""),
        ("make demo again, nothing changed", [run["in all"] for run in again], ""),
        ("  of it site.yml", [run[SITE] for run in again], "under 30 s"),
        ("  as a part of the first site.yml", ratios, "under 0.2"),
    ]
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, {rounds} rounds\n")
    print("| figure | median | least | most | bar |\n|---|---|---|---|---|")
    for name, values, limit in rows:
        unit = "" if max(values) < 1 else " s"
        places = 2 if not unit else 1
        numbers = (statistics.median(values), min(values), max(values))
        print(f"| {name} | " + " | ".join(f"{number:.{places}f}{unit}" for number in numbers) + f" | {limit} |")


if __name__ == "__main__":
    main()
