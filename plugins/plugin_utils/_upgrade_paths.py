# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which upgrades of a component are supported in one step, and the upgrade path where more are needed.

For plugins that run where Ansible runs: the rules are in a file of the collection, meta/upgrade_paths.yml. This file is
private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._version_sets import TITLES

FILE = Path(__file__).resolve().parents[2] / "meta" / "upgrade_paths.yml"
Version = tuple[int, int, int]


@dataclass(frozen=True)
class Barrier:
    """An upgrade between two minor versions that applying the newer one does not achieve."""

    older: tuple[int, int]
    newer: tuple[int, int]
    why: str
    instead: str


@dataclass(frozen=True)
class Rule:
    """How far a component can be upgraded at once; minors: how many minor versions, or None for any number."""

    minors: int | None = None
    barriers: tuple[Barrier, ...] = ()


@dataclass(frozen=True)
class Plan:
    """steps: what goes from which version to which; rejected: why it does not, in sentences."""

    steps: tuple[dict[str, str], ...]
    rejected: tuple[str, ...]


def plan(rules: Mapping[str, Rule], installed: Mapping[str, str], wanted: Mapping[str, str]) -> Plan:
    """Compare what is installed with what is wanted, component by component.

    :raises KServeError: a version is none.
    """
    steps, rejected = [], []
    for name, target in wanted.items():
        source = installed.get(name)
        if not source or _version(name, source) == _version(name, target):
            continue
        steps.append({"component": name, "from": source, "to": target})
        if why := _fault(name, rules.get(name, Rule()), source, target):
            rejected.append(why)
    return Plan(tuple(steps), tuple(rejected))


def _fault(name: str, rule: Rule, source: str, target: str) -> str:
    """Return why a component cannot be upgraded in one step, with the upgrade path, or nothing."""
    title = TITLES.get(name, name)
    old, new = _version(name, source), _version(name, target)
    if new < old:
        return (
            f"{title} {source} is newer than {target}, and a downgrade is not supported: set its version to {source} "
            "or newer, or restore a backup on another cluster"
        )
    if old[0] != new[0]:
        return f"{title} cannot be upgraded from {source} to {target} in one step, since a major version lies between"
    crossed = [barrier for barrier in rule.barriers if old[:2] <= barrier.older and barrier.newer <= new[:2]]
    if rule.minors is not None and new[1] - old[1] > rule.minors:
        way = ", ".join(_names("v" * target.startswith("v"), old[0], range(old[1] + rule.minors, new[1], rule.minors)))
        most = "one minor version" if rule.minors == 1 else f"{rule.minors} minor versions"
        sentence = f"{title} is upgraded {most} at a time, and {source} to {target} is more: upgrade to {way} first"
        return "; ".join([sentence, *(_at(barrier) for barrier in crossed)])
    if crossed:
        return f"{title} cannot be upgraded from {source} to {target} by applying it: {_at(crossed[0])}"
    return ""


def _at(barrier: Barrier) -> str:
    older, newer = (f"v{major}.{minor}" for major, minor in (barrier.older, barrier.newer))
    return f"from {older} to {newer} {barrier.why}, so {barrier.instead}"


def _names(prefix: str, major: int, minors: range) -> list[str]:
    return [f"{prefix}{major}.{minor}" for minor in minors]


def _version(name: str, version: str) -> Version:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if found is None:
        raise KServeError(
            f"The version {version!r} of {TITLES.get(name, name)} is not one such as v1.2.3; correct it.",
            reason="InvalidVersion",
        )
    return int(found[1]), int(found[2]), int(found[3] or 0)


def parsed(document: Mapping[str, Any]) -> dict[str, Rule]:
    """Return the rules in the content of the file."""
    return {name: Rule(entry.get("minors"), tuple(map(_barrier, entry.get("barriers") or ()))) for name, entry in
            document.items()}  # fmt: skip


def _barrier(entry: Mapping[str, str]) -> Barrier:
    older, newer = (_version("", entry[key])[:2] for key in ("from", "to"))
    return Barrier(older, newer, entry["why"], entry["instead"])


@cache
def load() -> dict[str, Rule]:
    """Return the rules of the collection."""
    return parsed(yaml_load(FILE.read_text(encoding="utf-8")))
