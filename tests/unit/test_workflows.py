# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GitHub workflows run targets that the Makefile has, and all of the checks of `make test`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.M))


def targets(workflow: dict[str, Any]) -> Iterator[str]:
    """The targets of make that a workflow runs; those of a matrix one by one."""
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job.get("steps", ()):
            for word in re.findall(r"\bmake (\$\{\{ matrix\.\w+ \}\}|[a-z][a-z-]*)", step.get("run", "")):
                key = re.search(r"matrix\.(\w+)", word)
                yield from matrix[key[1]] if key else [word]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_makefile_has_each_target(path: Path) -> None:
    assert set(targets(yaml.safe_load(path.read_text()))) <= TARGETS


def test_the_checks_are_those_of_make_test_and_the_matrix_and_the_pulled_path() -> None:
    found = set(targets(yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())))
    checks = re.search(r"^CHECKS := (.*)$", MAKEFILE, re.M)
    assert checks
    assert found == {*checks[1].split(), "matrix", "demo", "molecule"}
