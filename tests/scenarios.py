# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the scenarios of a run of `make test` from the table of scenarios.toml.

Chosen are the core of each cluster, what has changed since all scenarios passed, and one more in turn. It runs before
there is a virtual environment: nothing but the standard library.
"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from local import programs, settings, table

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("scenarios.toml")
# Names the last commit on which all scenarios have passed; `make test SCENARIOS=all` writes it.
PASSED = ROOT / "tests" / "last-passed"
BUDGET = 60  # minutes of a default run on a quiet machine
BUILD_BUDGET = 15  # minutes that the programs of one scenario may take to be built in a default run
CLUSTER_MINUTES = 4  # to create a second cluster and run site.yml on it, beside the others
ALL = "all"


class UnknownScenario(Exception):
    """SCENARIOS names what the table does not have."""


@dataclass(frozen=True)
class Scenario:
    """A row of scenarios.toml, where the columns are explained."""

    name: str
    minutes: float
    cluster: str = ""
    core: bool = False
    kind: str = "molecule"
    paths: tuple[str, ...] = ()
    components: str = ""
    build_minutes: float = 0


@dataclass(frozen=True)
class Table:
    """The rows in their order; everywhere: patterns of files that concern all of them."""

    scenarios: tuple[Scenario, ...]
    everywhere: tuple[str, ...] = ()

    @property
    def core(self) -> list[Scenario]:
        return [scenario for scenario in self.scenarios if scenario.core]

    @property
    def further(self) -> list[Scenario]:
        return [scenario for scenario in self.scenarios if not scenario.core]


@dataclass
class Choice:
    """The scenarios that run, in the table's order, and those that do not; both with the reason."""

    chosen: dict[Scenario, str] = field(default_factory=dict)
    left_out: dict[Scenario, str] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """What git says. changed: files since all scenarios passed, or None; why: then the reason, else since when.

    commits: how many there are, or 0.
    """

    changed: tuple[str, ...] | None
    why: str
    commits: int = 0


def load(path: Path = TABLE) -> Table:
    """Read the table; an unknown column is a TypeError, for the table is code."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = [Scenario(**{**row, "paths": tuple(row.get("paths", ()))}) for row in raw["scenario"]]
    return Table(tuple(rows), tuple(raw.get("everywhere", ())))


def concerns(patterns: Sequence[str], files: Sequence[str]) -> str | None:
    """The first of the files that one of the patterns matches."""
    return next((file for file in files if any(fnmatchcase(file, pattern) for pattern in patterns)), None)


def _git(root: Path, *words: str) -> str | None:
    """What git prints, or None where it fails or is not there."""
    command = ["git", "-C", str(root), *words]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def history(root: Path = ROOT, passed: Path = PASSED) -> History:
    """Ask git which files of the working tree differ from the last commit on which all scenarios passed."""
    counted = _git(root, "rev-list", "--count", "HEAD")
    if counted is None:
        return History(None, "git does not know this checkout")
    commits = int(counted)
    name = passed.relative_to(root)
    commit = passed.read_text(encoding="utf-8").strip() if passed.exists() else ""
    if not commit:
        return History(None, f"{name} names no commit", commits)
    # Of a file that was renamed both names count: the scenario that it is taken from has changed, too.
    changed = _git(root, "diff", "--no-renames", "--name-only", "-z", commit, "--")
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    if changed is None or new is None:
        return History(None, f"git does not have the commit {commit[:10]} of {name}", commits)
    return History(tuple(sorted({*filter(None, (changed + new).split("\0"))})), f"since {commit[:10]}", commits)


def record(root: Path = ROOT, passed: Path = PASSED) -> str:
    """Write that all scenarios have passed on the commit that is checked out; return what there is to say about it."""
    name = passed.relative_to(root)
    commit, status = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    if commit is None or status is None:
        return f"{name} is left as it is: git does not know this checkout."
    if status.strip():
        return f"{name} is left as it is: there are changes that no commit has."
    passed.write_text(commit, encoding="utf-8")
    return f"{name} names {commit[:10]} now: commit it."


def not_at_hand(scenario: Scenario, where: settings.Settings) -> list[str]:
    """The programs that only this scenario needs and that would have to be built."""
    if not scenario.components:
        return []
    known = table.load().programs.values()
    return [
        f"{row.name} {row.version}"
        for row in table.load(table.TABLE, ROOT / scenario.components).programs.values()
        if row not in known and not programs.product(row, where).path.exists() and not programs.seeded(row, where)
    ]


def choose(rows: Table, wanted: str, seen: History, missing: Callable[[Scenario], Sequence[str]]) -> Choice:
    """Choose the scenarios: wanted is empty, `all`, or the names of further ones, with commas between them.

    missing gives the programs of a scenario that would have to be built.
    """
    if wanted == ALL:
        return _in_order(rows, dict.fromkeys(rows.scenarios, "all are asked for"), {})
    if wanted:
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        known = {scenario.name: scenario for scenario in rows.scenarios}
        if unknown := [name for name in names if name not in known]:
            raise UnknownScenario(
                f"SCENARIOS={wanted} names {', '.join(unknown)}: take {ALL}, or of {', '.join(known)} those to run."
            )
        asked = {known[name]: "asked for" for name in names}
        return _in_order(rows, {**dict.fromkeys(rows.core, "core"), **asked}, {}, "not asked for")
    return _by_change(rows, seen, missing)


def _by_change(rows: Table, seen: History, missing: Callable[[Scenario], Sequence[str]]) -> Choice:
    further = rows.further
    turn = seen.commits % len(further) if further else 0
    reasons: dict[Scenario, str] = {}
    left_out: dict[Scenario, str] = {}
    # From the one in turn on, so that where there is not time for all, each comes first now and then.
    for scenario in further[turn:] + further[:turn]:
        if seen.changed is None:
            reasons[scenario] = seen.why
        elif file := concerns((*rows.everywhere, *scenario.paths), seen.changed):
            reasons[scenario] = f"{file} has changed {seen.why}"
        elif scenario is further[turn]:
            reasons[scenario] = "in turn"
        else:
            left_out[scenario] = f"nothing of it has changed {seen.why}"
    chosen = dict.fromkeys(rows.core, "core")
    minutes: dict[str, float] = {}
    for scenario in rows.core:
        minutes[scenario.cluster] = minutes.get(scenario.cluster, 0) + scenario.minutes
    for scenario, reason in reasons.items():
        if scenario.build_minutes > BUILD_BUDGET and (lacking := missing(scenario)):
            left_out[scenario] = (
                f"{', '.join(lacking)} is neither cached nor in HASHFOUNDRY_SEED, and takes "
                f"{scenario.build_minutes:g} minutes to build"
            )
            continue
        needed = minutes.get(scenario.cluster, 0) + scenario.minutes
        if needed > BUDGET:
            left_out[scenario] = f"no time is left of {BUDGET} minutes; {reason}"
            continue
        minutes[scenario.cluster] = needed
        chosen[scenario] = reason
    return _in_order(rows, chosen, left_out)


def split(rows: Sequence[Scenario]) -> tuple[list[Scenario], list[Scenario]]:
    """Divide the scenarios of a cluster between it and a second one, so that both end as early as they can.

    The first keeps its core; the second is empty where it would save less time than it takes. Only Standard mode has a
    second cluster.
    """

    def longest(kept: int) -> float:
        moved = sum(row.minutes for row in rows[kept:])
        return max(sum(row.minutes for row in rows[:kept]), moved + CLUSTER_MINUTES if moved else 0)

    core = sum(row.core for row in rows)
    if not core or rows[0].cluster != "Standard":
        return list(rows), []
    kept = min(range(len(rows), core - 1, -1), key=longest)
    if longest(len(rows)) - longest(kept) < CLUSTER_MINUTES:
        kept = len(rows)
    return list(rows[:kept]), list(rows[kept:])


def _in_order(rows: Table, chosen: dict[Scenario, str], left_out: dict[Scenario, str], otherwise: str = "") -> Choice:
    choice = Choice()
    for scenario in rows.scenarios:
        if scenario in chosen:
            choice.chosen[scenario] = chosen[scenario]
        else:
            choice.left_out[scenario] = left_out.get(scenario, otherwise)
    return choice
