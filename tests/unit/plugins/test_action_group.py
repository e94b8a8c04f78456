# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module is in the action group, for module_defaults; an action plugin runs the use case of its module."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ACTIONS = sorted(path.stem for path in (ROOT / "plugins" / "action").glob("[!_]*.py"))
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("[!_]*.py"))


def test_the_action_group_contains_every_module() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    assert set(MODULES) <= set(groups["kserve"])
    assert groups["kserve"] == sorted(groups["kserve"])


@pytest.mark.parametrize("module", MODULES)
def test_the_module_documents_its_membership(module: str) -> None:
    text = (ROOT / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    assert "hashfoundry.kserve.attributes.actiongroup_kserve" in text


@pytest.mark.parametrize("action", ACTIONS)
def test_the_action_runs_the_use_case_of_its_module(action: str) -> None:
    found = import_module(f"ansible_collections.hashfoundry.kserve.plugins.action.{action}").ActionModule
    module = import_module(f"ansible_collections.hashfoundry.kserve.plugins.modules.{action}")
    assert found.USE_CASE is module.USE_CASE
