# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supported versions of the collection are the tested ones of meta/tested_platforms.yml."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
ROWS = yaml.safe_load((ROOT / "meta" / "tested_platforms.yml").read_text())
EE = yaml.safe_load((ROOT / "execution-environment.yml").read_text())


def exactly(accepted: str, versions: list[str]) -> bool:
    """Whether a range starts with the oldest minor version, contains all, and ends before the next minor version."""
    known = sorted(map(Version, versions))
    first, last = f"{known[0].major}.{known[0].minor}.0", f"{known[-1].major}.{known[-1].minor + 1}.0"
    return SpecifierSet(accepted) == SpecifierSet(f">={first},<{last}")


@pytest.mark.parametrize(
    ("accepted", "right"),
    [(">=2.19.0,<2.22.0", True), (">=2.19.0", False), (">=2.18.0,<2.22.0", False), (">=2.19.0,<2.23.0", False)],
)
def test_only_the_range_of_tested_versions_is_accepted(accepted: str, right: bool) -> None:
    assert exactly(accepted, ["2.19.14", "2.21.5"]) is right


def test_the_supported_ansible_versions_are_the_tested_ones() -> None:
    promised = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"]
    assert exactly(promised, [row["ansible_core"] for row in ROWS])


def test_the_supported_kubernetes_core_versions_are_the_tested_ones() -> None:
    promised = yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]["kubernetes.core"]
    assert exactly(promised, [row["kubernetes_core"] for row in ROWS])


def test_the_checkout_supports_the_oldest_row() -> None:
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    collections = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    assert f"ansible-core=={ROWS[0]['ansible_core']}" in pins
    # The matrix sets the row's version in its copy of the checkout.
    assert collections in [[{"name": "kubernetes.core", "version": row["kubernetes_core"]}] for row in ROWS]


@pytest.mark.parametrize("row", ROWS[1:], ids=lambda row: row["ansible_core"])
def test_the_lock_of_each_other_row_has_its_version(row: dict[str, Any]) -> None:
    lock = ROOT / "tests" / "matrix" / f"{row['ansible_core'].rpartition('.')[0]}.lock"
    assert lock.read_text().startswith(f"ansible-core=={row['ansible_core']} ")


def test_the_execution_environment_has_the_newest_row_and_the_pins_of_the_checks() -> None:
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    dependencies = EE["dependencies"]
    assert dependencies["ansible_core"] == {"package_pip": f"ansible-core=={ROWS[-1]['ansible_core']}"}
    assert set(dependencies["python"]) <= set(pins)
    wanted = (ROOT / "meta" / "ee-requirements.txt").read_text().split()
    assert {Requirement(line).name for line in wanted} == {Requirement(line).name for line in dependencies["python"]}
    assert f"python:{ROWS[-1]['python']}-" in EE["images"]["base_image"]["name"]


def rows_of_the_readme(first: str) -> list[list[str]]:
    """The cells of the README's table whose first column has this title."""
    lines = (ROOT / "README.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |")) + 2
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_readme_lists_the_tested_platforms() -> None:
    wanted = [[row["ansible_core"], row["python"], row["kubernetes_core"]] for row in ROWS]
    assert rows_of_the_readme("ansible-core") == wanted


def test_the_readme_lists_the_version_sets() -> None:
    sets = yaml.safe_load((ROOT / "meta" / "version_sets.yml").read_text())["sets"]
    columns = ("kserve", "contour", "knative_serving", "net_kourier", "istio", "cert_manager")
    wanted = []
    for name, row in sets.items():
        found = [row["components"].get(column) for column in columns]
        kubernetes = f"{row['kubernetes']['min']}–{row['kubernetes']['max']}"  # noqa: RUF001 - an en dash, as in prose
        cells = [f"{part['version']}{'' if part.get('tested', True) else ' *'}" if part else "" for part in found]
        wanted.append([f"`{name}`", row["status"], kubernetes, *cells])
    assert rows_of_the_readme("version set") == wanted
