# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The troubleshooting guide explains the reason codes of the readiness verdicts, all of them and no others."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "docsite" / "rst" / "troubleshoot.rst"
SOURCES = ROOT / "plugins" / "module_utils"
CODE = re.compile(
    r"``((?:[A-Z]+[a-z]+){2,}|Stopped|Deleting|Unschedulable|OOMKilled|NoCABundle|Forbidden|Unauthorized)``"
)
# What KServe's and Kubernetes' own reasons are taken over as, or is made of a part of a message.
COMPUTED = {"ConfigmapMissing"}


def test_each_code_of_the_guide_is_one_that_the_collection_gives() -> None:
    source = "\n".join(path.read_text() for path in sorted(SOURCES.rglob("*.py")))
    named = {code for line in GUIDE.read_text().splitlines() if line.startswith("   * - ``")
             for code in CODE.findall(line)}  # fmt: skip
    assert len(named) > 30
    assert {code for code in named - COMPUTED if f'"{code}"' not in source} == set()


def test_each_verdict_that_names_its_code_is_in_the_guide() -> None:
    guide = GUIDE.read_text()
    given = {
        code
        for path in SOURCES.rglob("*.py")
        for code in re.findall(r'\b(?:doubtful|hopeless|degraded|failed)\(\s*"([A-Z]\w+)"', path.read_text())
    }
    # They are verdicts on objects that are applied, not on models.
    applied = {"JobFailed", "NamesNotAccepted", "Terminating"}
    assert len(given) > 10
    assert {code for code in given - applied if f"``{code}``" not in guide} == set()
