# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for playbooks: each role is tagged with its name, and there is a play for each role.

An included role has the tag twice, on the task and in `apply`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "hashfoundry.kserve."
# It has no tasks; the other roles depend on it.
FACTS = "platform"


def entries(root: Path) -> list[tuple[str, Any]]:
    """Return the roles that the plays list or include, each with the name of its playbook."""
    return [
        (path.name, entry)
        for path in sorted((root / "playbooks").glob("*.yml"))
        for play in yaml.safe_load(path.read_text())
        for entry in [*(play.get("roles") or []), *included(play)]
    ]


def included(play: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the roles that the play's tasks include, in the form of listed roles."""
    for task in [*(play.get("pre_tasks") or []), *(play.get("tasks") or [])]:
        if (static := task.get("ansible.builtin.import_role")) is not None:
            yield listed(static, task, task.get("tags"))
        if (found := task.get("ansible.builtin.include_role")) is not None:
            yield listed(found, task, (found.get("apply") or {}).get("tags"))
            yield listed(found, task, task.get("tags"))


def listed(role: dict[str, Any], task: dict[str, Any], tags: Any) -> dict[str, Any]:
    """Return an included role in the form of a listed one."""
    return {"role": role["name"], "from": role.get("tasks_from"), "vars": task.get("vars"), "tags": tags}


def playbook_faults(root: Path) -> list[str]:
    """Compare the playbooks with the roles. A role without tags is a fault, too."""
    roles = {path.name for path in (root / "roles").iterdir() if path.is_dir()}
    faults, listed = [], set()
    for playbook, entry in entries(root):
        named = entry if isinstance(entry, dict) else {"role": entry}
        role = named.get("role", "").removeprefix(PREFIX)
        listed.add(role)
        if named.get("role") != PREFIX + role or role not in roles:
            faults.append(f"{playbook}: {named.get('role')} is not a role of this collection by its full name")
        if named.get("tags") != [role]:
            faults.append(f"{playbook}: the tags of {role} are {named.get('tags')}, not [{role}]")
    return faults + [f"{role} is in no playbook" for role in sorted(roles - listed - {FACTS})]


def test_the_playbooks_follow_the_rules() -> None:
    assert entries(ROOT)
    assert playbook_faults(ROOT) == []


LIST = "{{ platform_models }}"
# site.yml serves the models after addons.yml, and upgrade.yml ends with verify.yml.
USE_MODELS_LATER = {"addons.yml", "upgrade.yml"}


def test_playbooks_that_use_the_list_of_models_validate_it_first_and_others_do_not() -> None:
    uses: set[str] = {
        path.name for path in (ROOT / "playbooks").glob("*.yml") if "platform_models |" in path.read_text()
    }
    preflight: dict[str, bool] = {}
    for playbook, entry in entries(ROOT):
        role = entry["role"].removeprefix(PREFIX)
        if role == "cluster_preflight" and not entry.get("from"):
            preflight[playbook] = (entry.get("vars") or {}).get("cluster_preflight_models") == LIST
        elif (entry.get("vars") or {}).get(f"{role}_models") == []:
            continue
        elif f'_models: "{LIST}"' in (ROOT / "roles" / role / "defaults" / "main.yml").read_text():
            uses.add(playbook)
    wanted = (uses | USE_MODELS_LATER) & preflight.keys()
    assert {playbook for playbook, validates in preflight.items() if validates} == wanted
    assert {"backup.yml", "teardown.yml", "account.yml"} <= preflight.keys() - wanted


SOUND = """
- name: Import
  ansible.builtin.import_playbook: other.yml
- name: Probe
  hosts: clusters
  roles:
    - role: hashfoundry.kserve.probe
      tags: [probe]
"""
INCLUDED = """
- name: Probe
  hosts: clusters
  tasks:
    - name: Probe
      ansible.builtin.include_role:
        name: hashfoundry.kserve.probe
        apply: {tags: [probe]}
      tags: [probe]
"""


def faults_of(tree: Path, playbook: str, old: str, new: str) -> list[str]:
    """Return the faults of a tree with one playbook, in which old is replaced by new, if given."""
    (tree / "roles" / "probe").mkdir(parents=True)
    (tree / "playbooks").mkdir()
    assert old in playbook
    (tree / "playbooks" / "site.yml").write_text(playbook.replace(old, new) if old else playbook)
    return playbook_faults(tree)


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ("", "", []),
        ("[probe]", "[other]", ["site.yml: the tags of probe are ['other'], not [probe]"]),
        ("[probe]", "[probe, other]", ["site.yml: the tags of probe are ['probe', 'other'], not [probe]"]),
        ("      tags: [probe]\n", "", ["site.yml: the tags of probe are None, not [probe]"]),
        (
            "role: hashfoundry.kserve.probe\n      tags: [probe]",
            "hashfoundry.kserve.probe",
            [
                "site.yml: the tags of probe are None, not [probe]",
            ],
        ),
        ("hashfoundry.kserve.", "", ["site.yml: probe is not a role of this collection by its full name"]),
        ("    - role: hashfoundry.kserve.probe\n      tags: [probe]\n", "", ["probe is in no playbook"]),
        (
            "kserve.probe\n      tags: [probe]",
            "kserve.gone\n      tags: [gone]",
            [
                "site.yml: hashfoundry.kserve.gone is not a role of this collection by its full name",
                "probe is in no playbook",
            ],
        ),
    ],
)
def test_a_broken_playbook_has_the_fault(tmp_path: Path, old: str, new: str, faults: list[str]) -> None:
    assert faults_of(tmp_path, SOUND, old, new) == faults


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ("", "", []),
        ("        apply: {tags: [probe]}\n", "", ["site.yml: the tags of probe are None, not [probe]"]),
        ("      tags: [probe]\n", "      tags: [other]\n", ["site.yml: the tags of probe are ['other'], not [probe]"]),
    ],
)
def test_an_included_role_has_its_tag_twice(tmp_path: Path, old: str, new: str, faults: list[str]) -> None:
    assert faults_of(tmp_path, INCLUDED, old, new) == faults
