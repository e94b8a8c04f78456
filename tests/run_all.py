# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks and the scenarios, and tell at the end how each of them closed.

    run_all.py [--scenarios all] [lint sanity …]

Lanes run side by side, because most of the time something waits for a cluster: the checks, which need none, and the
scenarios of each cluster, one after another. Where Standard mode has many scenarios, they share two clusters. Each line
of output says whose it is. What fails does not keep the others from running; the exit code is 1 if anything failed.
Which tests of pytest have failed is told once more at the end, for a log may be long.
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
from tests import scenarios, shown  # noqa: E402
from tests.scenarios import ALL, Choice, Scenario  # noqa: E402

# A line of pytest's short summary, perhaps as an entry of a list that Ansible shows.
FAULT = re.compile(r"\b(?:FAILED|ERROR) \S+\.py(?:::\S.*)?$")
# pytest's last line: 61 passed, 2 skipped in 210.31s (0:03:30)
SUMMARY = re.compile(
    r"(?:\d+ (?:passed|failed|skipped|deselected|xfailed|xpassed|warnings?|errors?)(?:, )?)+ in [\d.]+s"
)
BIN = ROOT / ".venv" / "bin"
# They have what the clusters leave: a test against the clock is not theirs.
BEHIND = ("nice", "-n", "10")


@dataclass
class Closed:
    """How a check ended; line: the last of its output, or pytest's; faults: pytest's lines of the tests that failed."""

    passed: bool
    line: str
    seconds: float
    faults: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)

    def and_then(self, other: Closed) -> Closed:
        """What the two are together."""
        return Closed(
            self.passed and other.passed,
            self.line if not self.passed else other.line,
            self.seconds + other.seconds,
            self.faults + other.faults,
            self.summaries + other.summaries,
        )


class Results:
    """How checks have closed, from several threads, and their output without lines mixed up.

    minutes: after so many no further scenario is begun; None: there is no such limit.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self.closed: dict[str, Closed] = {}
        self.left_out: dict[Scenario, str] = {}
        self._minutes = minutes
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def close(self, name: str, closed: Closed) -> None:
        with self._lock:
            self.closed[name] = closed

    def too_late(self, row: Scenario) -> bool:
        """Tell whether the time is over, and remember that the scenario is left out then."""
        if self._minutes is None or self.seconds < self._minutes * 60:
            return False
        with self._lock:
            self.left_out[row] = f"{self._minutes:g} minutes are over"
        return True

    def say(self, name: str, text: str) -> None:
        with self._lock:
            print(f"[{name}] {text}", flush=True)

    def run(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Closed:
        """Run a program to its end, and show its output as it comes."""
        self.say(name, f"=== {' '.join(Path(word).name if isinstance(word, Path) else word for word in command)}")
        begun = time.monotonic()
        code, lines = shown.run(command, lambda line: self.say(name, line), env, ROOT)
        # A scenario's output shows what its verifier printed, and shows it again where it fails.
        faults = dict.fromkeys(found.group() for line in lines if (found := FAULT.search(line)))
        summaries = dict.fromkeys(found.group() for line in lines if (found := SUMMARY.search(line)))
        return Closed(code == 0, lines[-1] if lines else "", time.monotonic() - begun, [*faults], [*summaries])

    def make(self, target: str, before: Sequence[str] = ()) -> Closed:
        return self.run(target, [*before, "make", "--no-print-directory", target])


def checks_lane(results: Results, targets: Iterable[str]) -> None:
    """Run targets of make one after another."""
    for target in targets:
        results.close(target, results.make(target, BEHIND))


def second_cluster() -> dict[str, str]:
    """The variables that give Molecule another cluster of Standard mode, beside the first one."""
    name = os.environ.get("HASHFOUNDRY_MOLECULE_CLUSTER", "hashfoundry-molecule")
    return {
        "HASHFOUNDRY_MOLECULE_CLUSTER": f"{name}-second",
        "HASHFOUNDRY_MOLECULE_STATE": ".local-molecule-second",
        "HASHFOUNDRY_MOLECULE_HTTPS_PORT": os.environ.get("HASHFOUNDRY_MOLECULE_SECOND_HTTPS_PORT", "18445"),
        "HASHFOUNDRY_MOLECULE_S3_PORT": os.environ.get("HASHFOUNDRY_MOLECULE_SECOND_S3_PORT", "17072"),
    }


class Molecule:
    """The scenarios that share one cluster; env: variables that say which, by default the first of its mode."""

    def __init__(self, results: Results, rows: Sequence[Scenario], env: Mapping[str, str] | None = None) -> None:
        self._results = results
        self._rows = rows
        self._env = {**(env or {}), "MOLECULE_COMMAND_BORDERS": "0"}

    def _run(self, row: Scenario, *words: str) -> Closed:
        env = {**self._env, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        return self._results.run(row.name, [BIN / "molecule", *words, "-s", row.name], env)

    def lane(self) -> None:
        """Run the scenarios one after another on a new cluster, and take it away."""
        first = self._rows[0]
        usable = False
        if not first.core:
            self._run(first, "destroy")  # what an interrupted run has left
        for row in self._rows:
            if not row.core and self._results.too_late(row):
                continue
            if row.core:
                # Without the look at the clock: what a run of before has left is not this scenario's.
                done = self._run(row, "destroy").and_then(self._run(row, "test", "--destroy=never"))
            elif usable or (done := self._run(row, "converge")).passed:
                done = self._run(row, "verify")
            else:
                done.line = "site.yml fails on the cluster"
            usable = done.passed
            if not done.passed:
                self._run(row, "cleanup")
            self._results.close(row.name, done)
        gone = self._run(first, "destroy")
        if not gone.passed:
            self._results.close(f"{first.name} destroy", gone)


def build(results: Results, mode: str, rows: Sequence[Scenario]) -> Closed:
    """Build what the scenarios of a mode need, where it can be seen: Molecule shows a step's output at its end."""
    tables = sorted({row.components for row in rows if row.components})
    command = [BIN / "python", "-m", "local", "build", *tables]
    return results.run(f"build-{mode.lower()}", command, {"HASHFOUNDRY_MODE": mode})


def clusters(results: Results, rows: Sequence[Scenario]) -> list[Molecule]:
    """Build what the clusters are made of, one after another; return those on which the scenarios can run."""
    lanes = []
    for mode in dict.fromkeys(row.cluster for row in rows):
        mine = [row for row in rows if row.cluster == mode]
        done = build(results, mode, mine)
        if done.passed:
            begun, moved = scenarios.split(mine)
            lanes.append(Molecule(results, begun))
            if moved:
                lanes.append(Molecule(results, moved, second_cluster()))
            continue
        for row in mine:
            line = f"not run, for its cluster cannot be built: {done.line}"
            results.close(row.name, Closed(False, line, done.seconds))
    return lanes


def run(results: Results, checks: Sequence[str], choice: Choice) -> None:
    """Run everything, each lane in a thread of its own."""
    if not (ready := results.make("collections")).passed:
        results.close("collections", ready)
        return
    rows = [row for row in choice.chosen if row.kind == "molecule"]
    targets = [*checks, *(row.name for row in choice.chosen if row.kind == "make")]
    with ThreadPoolExecutor(1 + 2 * len({row.cluster for row in rows})) as pool:
        lanes = [pool.submit(checks_lane, results, targets)]
        lanes += [pool.submit(molecule.lane) for molecule in clusters(results, rows)]
        for lane in lanes:
            lane.result()


def plan(choice: Choice) -> str:
    """Which scenarios run and why, and which do not."""
    lines = ["=== scenarios"]
    lines += [f"{row.name:<18} runs: {reason}" for row, reason in choice.chosen.items()]
    return "\n".join(lines + left_out(choice.left_out))


def left_out(rows: Mapping[Scenario, str]) -> list[str]:
    return [f"{row.name:<18} left out: {reason}" for row, reason in rows.items()]


def closing(results: Results, order: Sequence[str], choice: Choice) -> str:
    """The closing lines, of which the last says how many passed and failed."""
    lines = ["", "=== closing lines"]
    closed = results.closed
    for name in sorted(closed, key=lambda name: order.index(name) if name in order else len(order)):
        done = closed[name]
        said = "; ".join(done.summaries) or done.line
        lines.append(f"{name:<18} {'passed' if done.passed else 'FAILED'}  {done.seconds:6.0f} s  {said}")
        lines += [f"  {fault}" for fault in done.faults if not done.passed]
    lines += left_out({**choice.left_out, **results.left_out})
    failed = sum(not done.passed for done in closed.values())
    lines.append(f"{'in all':<18}         {results.seconds:6.0f} s")
    return "\n".join([*lines, "", f"checks: {len(closed) - failed} passed, {failed} failed"])


def main(words: Sequence[str] | None = None) -> int:
    """Run the checks and the chosen scenarios; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", help="targets of make")
    parser.add_argument("--scenarios", default="", help=f"{ALL}, or names with commas; by default what has changed")
    given = parser.parse_args(words)
    rows = scenarios.load()
    try:
        here = settings.load()
        choice = scenarios.choose(
            rows, given.scenarios, scenarios.history(), lambda row: scenarios.not_at_hand(row, here)
        )
    except (LocalError, scenarios.UnknownScenario) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(plan(choice), flush=True)
    # At a slow hour, too, a run that nobody has asked more of comes to its end.
    results = Results(None if given.scenarios else scenarios.BUDGET)
    run(results, given.checks, choice)
    passed = all(done.passed for done in results.closed.values())
    if passed and given.scenarios == ALL:
        print(f"\n{scenarios.record()}")
    print(closing(results, [*given.checks, *(row.name for row in rows.scenarios)], choice))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
