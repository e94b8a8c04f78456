# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The duration of `make demo` with a warm cache, without a cluster and again without changes.

Each round deletes the demo cluster, then runs `make demo` twice. A round takes about two minutes.
"""

from __future__ import annotations

import re
import statistics
import subprocess

from benchmarks import tools
from benchmarks.results import ROOT, MeasurementError, Report, Row

ROUNDS = 3
STAGE = re.compile(r"^  (.+?) +(\d+\.\d) s$", re.MULTILINE)
SITE = "playbooks/site.yml"


def make(target: str) -> str:
    """Run a target of the Makefile and return what it printed."""
    command = ["make", "--no-print-directory", target]
    result = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        raise MeasurementError(f"make {target} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def stages(output: str) -> dict[str, float]:
    """The final table of `make demo`: seconds by stage."""
    return {name: float(seconds) for name, seconds in STAGE.findall(output)}


def measure(rounds: int = ROUNDS) -> Report:
    """Run `make demo` without a cluster, and again."""
    make("build")
    first, again = [], []
    for number in range(rounds):
        make("clean")
        first.append(stages(make("demo")))
        output = make("demo")
        if not re.search(r"changed=0 ", output):
            raise MeasurementError("The second run changed something.")
        again.append(stages(output))
        print(f"    round {number + 1}: {first[-1]['in all']:.0f} s, {again[-1]['in all']:.0f} s", flush=True)
    after_create = [sum(run[name] for name in ("component images", SITE, "prediction")) for run in first]
    ratios = [second[SITE] / one[SITE] for one, second in zip(first, again, strict=True)]
    versions = tools.ensure().versions(("ansible-core", "kind", "kubectl", "kserve-manager", "contour", "versitygw"))
    report = Report("demo", "make demo with a warm cache", versions)
    report.rows += [
        Row("from no cluster", "make demo", [run["in all"] for run in first]),
        Row("of it kind create cluster", "make demo", [run["kind cluster"] for run in first]),
        _row("of it after that, to the prediction", after_create, "s", 150),
        Row("of it site.yml", "make demo", [run[SITE] for run in first]),
        Row("again, nothing changed", "make demo", [run["in all"] for run in again]),
        _row("again, of it site.yml", [run[SITE] for run in again], "s", 30),
        _row("again, as a part of the first site.yml", ratios, "", 0.2),
    ]
    return report


def _row(figure: str, values: list[float], unit: str, limit: float) -> Row:
    return Row(figure, "make demo", values, unit, f"under {limit} {unit}".rstrip(), statistics.median(values) < limit)
