# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection, installed into an empty folder: its files, playbooks, and the precedence of variables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT, run_ansible

PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
FOLDERS = {"changelogs", "docs", "meta", "model", "playbooks", "plugins", "roles"}
# The rest of model/ is what images are built of.
COMPLETE = (FOLDERS - {"model"}) | {"model/churn", "model/iris"}
FILES = {
    *("README.md", "LICENSE", "CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("MANIFEST.json", "FILES.json"),
}


def run(program: str, *words: str | Path, folder: Path, **env: str) -> str:
    """Run a command of Ansible without any configuration of the user, and return its output."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **env}
    return run_ansible(program, *words, folder=folder, env=env)


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tarball")
    run("ansible-galaxy", "collection", "build", ROOT, "--output-path", folder, folder=folder)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that contains only collections/."""
    folder = tmp_path_factory.mktemp("user")
    words = ("collection", "install", tarball, "--no-deps", "--offline", "-p", "collections")
    run("ansible-galaxy", *words, folder=folder)
    # The dependency, which is otherwise installed from Galaxy.
    kubernetes = ROOT / "collections" / "ansible_collections" / "kubernetes"
    (folder / "collections" / "ansible_collections" / "kubernetes").symlink_to(kubernetes)
    return folder


def test_the_tarball_contains_only_what_a_user_runs(tarball: Path) -> None:
    with tarfile.open(tarball) as opened:
        held = {member.name for member in opened if member.isfile()}
    assert {name.partition("/")[0] for name in held if "/" in name} == FOLDERS
    assert {name for name in held if "/" not in name} == FILES
    assert not [name for name in held if re.search(r"__pycache__|\.pyc$", name)]


def test_no_file_of_these_folders_is_missing(tarball: Path) -> None:
    with tarfile.open(tarball) as opened:
        held = {member.name for member in opened if member.isfile()}
    there = {
        str(path.relative_to(ROOT))
        for folder in COMPLETE
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not re.search(r"__pycache__|/\.[^/]+$", str(path.relative_to(ROOT)))
    }
    assert there - held == set()


def test_the_recipes_of_the_example_models_run_from_the_collection(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "model.iris", "--output", tmp_path / "iris", "--version", "v1"]
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(installed / "collections/ansible_collections/hashfoundry/kserve"),
    }
    subprocess.run(command, cwd=tmp_path, env=env, check=True)
    assert (tmp_path / "iris" / "metadata.json").exists()


def test_other_folders_are_excluded(tmp_path: Path) -> None:
    for name in ("galaxy.yml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    own = ("backups/huge.bin", "playbooks/backup/objects.yml", "docs/notes/mine.md", "meta/mine/list.yml")
    for name in (*own, "roles/probe/tasks/main.yml", "roles/probe/files/data.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("---\n")
    run("ansible-galaxy", "collection", "build", "--output-path", "out", folder=tmp_path)
    with tarfile.open(next((tmp_path / "out").glob("*.tar.gz"))) as opened:
        held = {member.name for member in opened if member.isfile()}
    assert held == {"README.md", "LICENSE", "MANIFEST.json", "FILES.json", "roles/probe/tasks/main.yml"}


def test_nothing_in_the_tarball_refers_to_the_checkout() -> None:
    outside = re.compile(r"playbook_dir|inventory_dir|\.\./\.\./(?!meta|roles|plugins|playbooks|docs)")
    found = [
        str(path.relative_to(ROOT))
        for folder in ("playbooks", "roles")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".yml", ".j2"} and outside.search(path.read_text())
    ]
    assert found == []


def test_every_playbook_is_found_by_its_full_name(installed: Path) -> None:
    inventory = installed / "syntax.yml"
    inventory.write_text("clusters: {hosts: {mine: {ansible_connection: local}}}\n")
    names = [f"hashfoundry.kserve.{name}" for name in PLAYBOOKS]
    output = run(
        "ansible-playbook", "--syntax-check", "-i", inventory, *names,
        folder=installed, ANSIBLE_COLLECTIONS_PATH="collections",
    )  # fmt: skip
    assert len(PLAYBOOKS) == 16
    assert [name for name in PLAYBOOKS if f"playbook: {installed}" not in output or f"/{name}.yml" not in output] == []
    assert "[WARNING]" not in output


# A shared variable and a role variable at each level of an inventory: the roles must have these values.
PLACES: dict[str, dict[str, Any]] = {
    "group_vars/all.yml": {"platform_domain": "all.example.com", "gateway_timeout": 1},
    "group_vars/clusters.yml": {"platform_bucket": "of-the-group", "model_serving_timeout": 2},
    "host_vars/mine.yml": {"platform_model_namespace": "of-the-host", "model_volume_timeout": 3},
    "inventory.yml": {"platform_replicas": 4, "kserve_timeout": 5},
}
SEEN = {
    "gateway": {"gateway_domain": "all.example.com", "gateway_timeout": 1, "gateway_envoy_replicas": 4},
    "kserve": {"kserve_domain": "all.example.com", "kserve_replicas": 4, "kserve_timeout": 5},
    "model_serving": {
        "model_serving_bucket": "of-the-group",
        "model_serving_namespace": "of-the-host",
        "model_serving_timeout": 2,
    },
    "model_volume": {
        "model_volume_bucket": "of-the-group",
        "model_volume_namespace": "of-the-host",
        "model_volume_timeout": 3,
    },
}


def values(folder: Path, inventory: Path, roles: dict[str, list[str]], **env: str) -> dict[str, dict[str, Any]]:
    """Return the variables of each role, alone in a play; undefined variables are omitted."""
    plays: list[dict[str, Any]] = [
        {
            "name": "Look at what the role would be given",
            "hosts": "clusters",
            "gather_facts": False,
            "roles": [{"role": f"hashfoundry.kserve.{role}", "when": False}],
            "tasks": [
                {
                    "name": "Keep it",
                    "ansible.builtin.set_fact": {
                        f"given_{role}": "{{ dict(names | zip(query('vars', *names, default='(none)'))) }}"
                    },
                    "vars": {"names": names},
                }
            ],
        }
        for role, names in roles.items()
    ]
    write = {
        "dest": str(folder / "values.json"),
        "content": "{{ dict(roles | zip(query('vars', *(roles | map('regex_replace', '^', 'given_'))))) | to_json }}",
        "mode": "0600",
    }
    tasks = [{"name": "Write it down", "ansible.builtin.copy": write, "vars": {"roles": list(roles)}}]
    plays.append({"name": "Write it down", "hosts": "clusters", "gather_facts": False, "tasks": tasks})
    playbook = folder / "values.yml"
    playbook.write_text(yaml.safe_dump(plays))
    run("ansible-playbook", "-i", inventory, playbook, folder=folder, **env)
    found: dict[str, dict[str, Any]] = json.loads((folder / "values.json").read_text())
    return found


def test_the_inventory_has_precedence_over_role_defaults(installed: Path) -> None:
    for place, variables in PLACES.items():
        path = installed / "mine" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        host = {"mine": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
        path.write_text(
            yaml.safe_dump({"clusters": {"hosts": host, "vars": variables}} if "/" not in place else variables)
        )
    names = {role: list(seen) for role, seen in SEEN.items()}
    found = values(
        installed, installed / "mine" / "inventory.yml", names, ANSIBLE_COLLECTIONS_PATH=str(installed / "collections")
    )
    assert found == SEEN
