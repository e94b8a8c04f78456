# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the scenarios of a run of `make test` from the table of scenarios.toml.

It chooses the core of each cluster, the scenarios whose files have changed since they last passed, and one more in
turn. It runs before the virtual environment exists, so it imports only the standard library.
"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from local import programs, settings, table

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("scenarios.toml")
# A line for each scenario: its name, and the last commit on which it has passed. A run with SCENARIOS=… writes it.
PASSED = ROOT / "tests" / "last-passed"
BUDGET = 60  # minutes of a default run on a quiet machine
LATEST = 75  # minutes after which no scenario of a default run should end on a busy machine
BUILD_BUDGET = 15  # minutes that the programs of one scenario may take to be built in a default run
ALL = "all"


class UnknownScenario(Exception):
    """SCENARIOS contains a name that is not in the table."""


@dataclass(frozen=True)
class Scenario:
    """A row of scenarios.toml, which documents the columns."""

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
    """The rows in order; everywhere: patterns of files that affect all scenarios."""

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
    """The scenarios that run, in the order of the table, and the skipped ones, each with the reason."""

    chosen: dict[Scenario, str] = field(default_factory=dict)
    skipped: dict[Scenario, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """The files that have changed since a scenario last passed, or None if unknown; why: since when, or why unknown."""

    files: tuple[str, ...] | None
    why: str


@dataclass(frozen=True)
class History:
    """The history in git; scenarios: by name; otherwise: of all others; commits: their number, or 0 if unknown."""

    otherwise: Change
    scenarios: Mapping[str, Change] = field(default_factory=dict)
    commits: int = 0

    def of(self, scenario: Scenario) -> Change:
        return self.scenarios.get(scenario.name, self.otherwise)


def load(path: Path = TABLE) -> Table:
    """Read the table; an unknown column is a TypeError."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = [Scenario(**{**row, "paths": tuple(row.get("paths", ()))}) for row in raw["scenario"]]
    return Table(tuple(rows), tuple(raw.get("everywhere", ())))


def concerns(patterns: Sequence[str], files: Sequence[str]) -> str | None:
    """The first of the files that matches one of the patterns."""
    return next((file for file in files if any(fnmatchcase(file, pattern) for pattern in patterns)), None)


def _git(root: Path, *arguments: str) -> str | None:
    """The output of git, or None if it fails or is not installed."""
    command = ["git", "-C", str(root), *arguments]
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return result.stdout if result.returncode == 0 else None


def recorded(passed: Path = PASSED) -> dict[str, str]:
    """The commit on which each scenario last passed, by the scenario's name."""
    lines = passed.read_text(encoding="utf-8").splitlines() if passed.exists() else []
    return {line.split()[0]: line.split()[1] for line in lines if len(line.split()) == 2}


def history(root: Path = ROOT, passed: Path = PASSED) -> History:
    """The files of the working tree that differ from the last commit on which each scenario passed."""
    counted = _git(root, "rev-list", "--count", "HEAD")
    if counted is None:
        return History(Change(None, "the checkout is not a git repository"))
    commits = recorded(passed)
    changes = {commit: _change(root, commit, str(passed.relative_to(root))) for commit in set(commits.values())}
    never = Change(None, f"{passed.relative_to(root)} has no commit of it")
    return History(never, {name: changes[commit] for name, commit in commits.items()}, int(counted))


def _change(root: Path, commit: str, name: str) -> Change:
    # Both names of a renamed file count, since the scenario that it belonged to has changed, too.
    changed = _git(root, "diff", "--no-renames", "--name-only", "-z", commit, "--")
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    if changed is None or new is None:
        return Change(None, f"git does not have the commit {commit[:10]} of {name}")
    return Change(tuple(sorted({*filter(None, (changed + new).split("\0"))})), f"since {commit[:10]}")


def record(names: Iterable[str], root: Path = ROOT, passed: Path = PASSED) -> str:
    """Record that these scenarios have passed on the current commit, and return a message about it."""
    name = passed.relative_to(root)
    commit, status = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--", f":!{name}")
    if commit is None or status is None:
        return f"{name} was not updated: the checkout is not a git repository."
    if status.strip():
        return f"{name} was not updated: there are uncommitted changes."
    commits = {**recorded(passed), **dict.fromkeys(names, commit.strip())}
    passed.write_text("".join(f"{key} {commits[key]}\n" for key in sorted(commits)), encoding="utf-8")
    return f"{name} now has {commit[:10]} for {', '.join(sorted(names))}: commit it."


def unbuilt_programs(scenario: Scenario, where: settings.Settings) -> list[str]:
    """The programs that only this scenario needs and that are not built yet."""
    if not scenario.components:
        return []
    known = table.load().programs.values()
    return [
        f"{row.name} {row.version}"
        for row in table.load(table.TABLE, ROOT / scenario.components).programs.values()
        if row not in known and not programs.product(row, where).path.exists() and not programs.seeded(row, where)
    ]


def choose(rows: Table, wanted: str, seen: History, missing: Callable[[Scenario], Sequence[str]]) -> Choice:
    """Choose the scenarios; wanted: empty, `all`, or names separated by commas, in addition to the core.

    missing returns the programs of a scenario that are not built yet.
    """
    if wanted == ALL:
        return _in_order(rows, dict.fromkeys(rows.scenarios, "all were requested"), {})
    if wanted:
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        known = {scenario.name: scenario for scenario in rows.scenarios}
        if unknown := [name for name in names if name not in known]:
            raise UnknownScenario(
                f"SCENARIOS={wanted} contains unknown scenarios ({', '.join(unknown)}): use {ALL}, or names from "
                f"{', '.join(known)}."
            )
        requested = {known[name]: "requested" for name in names}
        return _in_order(rows, {**dict.fromkeys(rows.core, "core"), **requested}, {}, "not requested")
    return _by_change(rows, seen, missing)


def _by_change(rows: Table, seen: History, missing: Callable[[Scenario], Sequence[str]]) -> Choice:
    further = rows.further
    turn = seen.commits % len(further) if further else 0
    reasons: dict[Scenario, str] = {}
    skipped: dict[Scenario, str] = {}
    # Starting with the scenario in turn, so that each is first at times if there is not enough time for all.
    for scenario in further[turn:] + further[:turn]:
        change = seen.of(scenario)
        if change.files is None:
            reasons[scenario] = change.why
        elif file := concerns((*rows.everywhere, *scenario.paths), change.files):
            reasons[scenario] = f"{file} has changed {change.why}"
        elif scenario is further[turn]:
            reasons[scenario] = "in turn"
        else:
            skipped[scenario] = f"unchanged {change.why}"
    chosen = dict.fromkeys(rows.core, "core")
    minutes: dict[str, float] = {}
    for scenario in rows.core:
        minutes[scenario.cluster] = minutes.get(scenario.cluster, 0) + scenario.minutes
    for scenario, reason in reasons.items():
        if scenario.build_minutes > BUILD_BUDGET and (unbuilt := missing(scenario)):
            skipped[scenario] = (
                f"{', '.join(unbuilt)} is neither cached nor in HASHFOUNDRY_SEED, and takes "
                f"{scenario.build_minutes:g} minutes to build"
            )
            continue
        needed = minutes.get(scenario.cluster, 0) + scenario.minutes
        if needed > BUDGET:
            skipped[scenario] = f"beyond the time limit of {BUDGET} minutes; {reason}"
            continue
        minutes[scenario.cluster] = needed
        chosen[scenario] = reason
    return _in_order(rows, chosen, skipped)


def _in_order(rows: Table, chosen: dict[Scenario, str], skipped: dict[Scenario, str], otherwise: str = "") -> Choice:
    choice = Choice()
    for scenario in rows.scenarios:
        if scenario in chosen:
            choice.chosen[scenario] = chosen[scenario]
        else:
            choice.skipped[scenario] = skipped.get(scenario, otherwise)
    return choice
