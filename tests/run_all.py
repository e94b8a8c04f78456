# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks and the scenarios, and print the result of each at the end.

    run_all.py [--scenarios all] [lint sanity …]

Lanes run in parallel, since most of the time is spent waiting for clusters: one for the checks, and one for each
cluster, which runs its scenarios one after another. Each line of output has the name of its check. A failure does not
stop the other lanes; the exit code is 1 if anything failed. Failed tests of pytest are listed again at the end, because
the log may be long.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from local import settings  # noqa: E402
from local.errors import LocalError  # noqa: E402
from tests import process_output, scenarios  # noqa: E402
from tests.scenarios import ALL, Choice, Scenario  # noqa: E402

# A line of pytest's short summary, possibly as an entry of a list that Ansible prints.
FAULT = re.compile(r"\b(?:FAILED|ERROR) \S+\.py(?:::\S.*)?$")
# pytest's last line: 61 passed, 2 skipped in 210.31s (0:03:30)
SUMMARY = re.compile(
    r"(?:\d+ (?:passed|failed|skipped|deselected|xfailed|xpassed|warnings?|errors?)(?:, )?)+ in [\d.]+s"
)
BIN = ROOT / ".venv" / "bin"
# The checks run at a lower priority than the clusters, because no check depends on time.
LOW_PRIORITY = ("nice", "-n", "10")


@dataclass
class CheckResult:
    """The result of a check; line: its last line of output, or pytest's; faults: pytest's lines of failed tests."""

    passed: bool
    line: str
    seconds: float
    faults: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)

    def and_then(self, other: CheckResult) -> CheckResult:
        """The combined result of two steps."""
        return CheckResult(
            self.passed and other.passed,
            self.line if not self.passed else other.line,
            self.seconds + other.seconds,
            self.faults + other.faults,
            self.summaries + other.summaries,
        )


class Results:
    """The results of checks that run in several threads, and their output line by line.

    minutes: no scenario starts that would usually end after this time; None: no limit.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self.checks: dict[str, CheckResult] = {}
        self.skipped: dict[Scenario, str] = {}
        self._minutes = minutes
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def record(self, name: str, result: CheckResult) -> None:
        with self._lock:
            self.checks[name] = result

    def too_late(self, row: Scenario) -> bool:
        """Whether the scenario would usually end after the time limit; if so, record it as skipped."""
        if self._minutes is None or self.seconds / 60 + row.minutes <= self._minutes:
            return False
        with self._lock:
            self.skipped[row] = f"it takes {row.minutes:g} minutes, and the run ends after {self._minutes:g}"
        return True

    def passed(self, row: Scenario) -> bool:
        return row.name in self.checks and self.checks[row.name].passed

    def log(self, name: str, text: str) -> None:
        with self._lock:
            print(f"[{name}] {text}", flush=True)

    def run(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> CheckResult:
        """Run a command until it exits, and print its output line by line."""
        self.log(name, f"=== {' '.join(Path(part).name if isinstance(part, Path) else part for part in command)}")
        begun = time.monotonic()
        code, lines = process_output.run(command, lambda line: self.log(name, line), env, ROOT)
        # The output of a scenario contains that of its verifier, and again if it fails.
        faults = dict.fromkeys(found.group() for line in lines if (found := FAULT.search(line)))
        summaries = dict.fromkeys(found.group() for line in lines if (found := SUMMARY.search(line)))
        return CheckResult(code == 0, lines[-1] if lines else "", time.monotonic() - begun, [*faults], [*summaries])

    def make(self, target: str, before: Sequence[str] = ()) -> CheckResult:
        return self.run(target, [*before, "make", "--no-print-directory", target])


def checks_lane(results: Results, checks: Iterable[str], rows: Iterable[Scenario]) -> None:
    """Run targets of make one after another: the checks, which have no time limit, and then scenarios."""
    for target in checks:
        results.record(target, results.make(target, LOW_PRIORITY))
    for row in rows:
        if not results.too_late(row):
            results.record(row.name, results.make(row.name, LOW_PRIORITY))


class Molecule:
    """The scenarios that share one cluster."""

    def __init__(self, results: Results, rows: Sequence[Scenario]) -> None:
        self._results = results
        self._rows = rows

    def _run(self, row: Scenario, *arguments: str) -> CheckResult:
        env = {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "MOLECULE_COMMAND_BORDERS": "0"}
        return self._results.run(row.name, [BIN / "molecule", *arguments, "-s", row.name], env)

    def lane(self) -> None:
        """Run the scenarios one after another on a new cluster, and delete it."""
        first = self._rows[0]
        usable = False
        for row in self._rows:
            if not row.core and self._results.too_late(row):
                continue
            if row.components and not (built := build(self._results, row.cluster, row.components)).passed:
                line = f"not run, because its components were not built: {built.line}"
                self._results.record(row.name, CheckResult(False, line, built.seconds))
                continue
            if row.core:
                # The core has no time limit. It first deletes what an interrupted run has left.
                result = self._run(row, "destroy").and_then(self._run(row, "test", "--destroy=never"))
            # A scenario with components of its own needs them on the cluster.
            elif (usable and not row.components) or (result := self._run(row, "converge")).passed:
                result = self._run(row, "verify")
            else:
                result.line = "site.yml fails on the cluster"
            usable = result.passed
            if not result.passed:
                self._run(row, "cleanup")
            self._results.record(row.name, result)
        destroyed = self._run(first, "destroy")
        if not destroyed.passed:
            self._results.record(f"{first.name} destroy", destroyed)


def build(results: Results, mode: str, *tables: str) -> CheckResult:
    """Build the components of a cluster, before Molecule, which prints the output of a step only at its end.

    What only one scenario needs is built right before it, and not at all if the time is over by then.
    """
    command = [BIN / "python", "-m", "local", "build", *tables]
    return results.run(f"build-{mode.lower()}", command, {"HASHFOUNDRY_MODE": mode})


def clusters(results: Results, rows: Sequence[Scenario]) -> list[Molecule]:
    """Build the components of the clusters one after another; return the clusters whose scenarios can run."""
    lanes = []
    for mode in dict.fromkeys(row.cluster for row in rows):
        mine = [row for row in rows if row.cluster == mode]
        result = build(results, mode)
        if result.passed:
            lanes.append(Molecule(results, mine))
            continue
        for row in mine:
            line = f"not run, because the images of its cluster were not built: {result.line}"
            results.record(row.name, CheckResult(False, line, result.seconds))
    return lanes


def run(results: Results, checks: Sequence[str], choice: Choice) -> None:
    """Run all lanes, each in its own thread."""
    if not (ready := results.make("collections")).passed:
        results.record("collections", ready)
        return
    rows = [row for row in choice.chosen if row.kind == "molecule"]
    made = [row for row in choice.chosen if row.kind == "make"]
    with ThreadPoolExecutor(1 + len({row.cluster for row in rows})) as pool:
        lanes = [pool.submit(checks_lane, results, checks, made)]
        lanes += [pool.submit(molecule.lane) for molecule in clusters(results, rows)]
        for lane in lanes:
            lane.result()


def plan(choice: Choice) -> str:
    """Which scenarios run and why, and which do not."""
    lines = ["=== scenarios"]
    lines += [f"{row.name:<18} runs: {reason}" for row, reason in choice.chosen.items()]
    return "\n".join(lines + skipped_lines(choice.skipped))


def skipped_lines(rows: Mapping[Scenario, str]) -> list[str]:
    return [f"{row.name:<18} skipped: {reason}" for row, reason in rows.items()]


def summary(results: Results, order: Sequence[str], choice: Choice) -> str:
    """The summary; the last line has the numbers of passed and failed checks."""
    lines = ["", "=== summary"]
    checks = results.checks
    for name in sorted(checks, key=lambda name: order.index(name) if name in order else len(order)):
        check = checks[name]
        line = "; ".join(check.summaries) or check.line
        lines.append(f"{name:<18} {'passed' if check.passed else 'FAILED'}  {check.seconds:6.0f} s  {line}")
        lines += [f"  {fault}" for fault in check.faults if not check.passed]
    lines += skipped_lines({**choice.skipped, **results.skipped})
    failed = sum(not check.passed for check in checks.values())
    lines.append(f"{'total':<18}         {results.seconds:6.0f} s")
    return "\n".join([*lines, "", f"checks: {len(checks) - failed} passed, {failed} failed"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and the chosen scenarios; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", help="targets of make")
    parser.add_argument("--scenarios", default="", help=f"{ALL}, or names with commas; by default what has changed")
    given = parser.parse_args(arguments)
    rows = scenarios.load()
    try:
        here = settings.load()
        choice = scenarios.choose(
            rows, given.scenarios, scenarios.history(), lambda row: scenarios.unbuilt_programs(row, here)
        )
    except (LocalError, scenarios.UnknownScenario) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(plan(choice), flush=True)
    # A default run has a time limit, so that it finishes on a slow machine, too.
    results = Results(None if given.scenarios else scenarios.LATEST)
    run(results, given.checks, choice)
    passed = all(check.passed for check in results.checks.values())
    # Whoever names scenarios means to commit what has passed; a default run leaves the checkout as it is.
    if given.scenarios and (names := [row.name for row in choice.chosen if results.passed(row)]):
        print(f"\n{scenarios.record(names)}")
    print(summary(results, [*given.checks, *(row.name for row in rows.scenarios)], choice))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
