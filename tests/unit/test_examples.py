# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of an inventory take another model where they say, and commands name their inventory."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT

MARK = "# - name: the next model, indented like this"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "docsite" / "rst").glob("*.rst"))]


def examples(path: Path) -> list[str]:
    """The YAML of a page that lists models up to the mark, or the whole file."""
    text = path.read_text()
    if path.suffix == ".yml":
        return [text]
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    blocks += [textwrap.dedent(found) for found in re.findall(r"code-block:: yaml\n\n((?:    .*\n|\n)+)", text)]
    return [block for block in blocks if MARK in block]


def models(found: Any) -> list[Any]:
    """The list of models in an inventory, or in variables."""
    listed: list[Any] = (found.get("clusters", {}).get("vars") or found)["models"]
    return listed


@pytest.mark.parametrize("path", ["README.md", "docs/examples/inventory.yml", "docs/docsite/rst/own_model.rst"])
def test_a_model_can_be_appended_to_the_list(path: str) -> None:
    (text,) = examples(ROOT / path)
    added = yaml.safe_load(text.replace(MARK, "- name: another"))
    assert [entry["name"] for entry in models(added)] == ["wine-classifier", "another"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_names_its_inventory(page: Path) -> None:
    text = re.sub(r"\\\n\s*", "", page.read_text())
    commands = re.findall(r"\$ (?:\S+=\S+ )*\S*ansible-playbook .*", text)
    assert [command for command in commands if " -i " not in command] == []


def test_the_commands_for_the_demo_run_without_an_active_environment() -> None:
    text = (ROOT / "README.md").read_text()
    demo = " ".join(text.partition("## Try it")[2].partition("## Install")[0].split())
    commands = re.findall(r"[^\s`]*ansible-playbook [^`]*", demo)
    assert commands == [".venv/bin/ansible-playbook playbooks/verify.yml -i inventories/local"]
