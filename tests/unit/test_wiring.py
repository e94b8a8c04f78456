# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of role variables with each inventory, as recorded in fixtures/wiring.yml.

The file contains the shared variables, and of the roles' variables those that an inventory sets and those whose default
is computed from shared variables. Values that all four cases share are under `all`. After an intended change,
HASHFOUNDRY_RECORD=1 writes the file again, and the diff shows the change.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT
from tests.unit.test_conformity_roles import FACTS, ROLES, is_reckoned, load, specified
from tests.unit.test_tarball import values

FIXTURE = Path(__file__).with_name("fixtures") / "wiring.yml"
CASES = {
    "local-Standard": ("local", "Standard"),
    "local-Knative": ("local", "Knative"),
    "staging": ("staging", ""),
    "prod": ("prod", ""),
}
ALIAS = re.compile(rf"\{{\{{ {FACTS}_\w+ \}}\}}")
ENVIRONMENT = {"SPACES_ACCESS_KEY_ID": "the-access-key", "SPACES_SECRET_ACCESS_KEY": "the-secret-key"}


def watched() -> dict[str, list[str]]:
    """Return the recorded variables by role."""
    named = set()
    for path in (ROOT / "inventories").glob("*/group_vars/*.yml"):
        named |= load(path).keys()
    found = {}
    for role in ROLES:
        defaults = load(role / "defaults" / "main.yml")
        if role.name == FACTS:
            found[role.name] = sorted(defaults)
            continue
        names = [name for name, _option in specified(role) if is_reckoned(defaults.get(name)) or name in named]
        if more := [name for name in names if not ALIAS.fullmatch(str(defaults.get(name)))]:
            found[role.name] = sorted(more)
    return found


def effective(case: str, folder: Path) -> dict[str, Any]:
    inventory, mode = CASES[case]
    state = folder / "state"
    state.mkdir()
    (state / "s3-secret-key").write_text("the-secret-key\n")
    (state / "mode").write_text(mode)
    env = {**ENVIRONMENT, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    env |= {"HASHFOUNDRY_STATE": str(state)} if mode else {}
    found = values(folder, ROOT / "inventories" / inventory, watched(), **env)
    text = yaml.safe_dump({name: value for options in found.values() for name, value in options.items()}, width=10000)
    # Values that are specific to this machine.
    text = text.replace(str(state), "STATE").replace(str(folder), "HOME").replace(str(ROOT), "CHECKOUT")
    # The parent folder of the playbook, which is the checkout for a playbook of the collection.
    text = text.replace(str(folder.parent), "CHECKOUT")
    return yaml.safe_load(re.sub(r"\S+/bin/python\S*", "PYTHON", text))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    cases = {case: effective(case, tmp_path_factory.mktemp(case)) for case in CASES}
    if os.environ.get("HASHFOUNDRY_RECORD"):
        first, *others = cases.values()
        shared = {name: first[name] for name in first if all(other[name] == first[name] for other in others)}
        rest = {
            case: {name: value for name, value in given.items() if name not in shared} for case, given in cases.items()
        }
        FIXTURE.write_text("---\n" + yaml.safe_dump({"all": shared, **rest}, width=110, default_flow_style=None))
    return cases


@pytest.mark.parametrize("case", CASES)
def test_an_inventory_sets_the_recorded_values(case: str, found: dict[str, dict[str, Any]]) -> None:
    expected = load(FIXTURE)
    assert found[case] == {**expected["all"], **expected[case]}
