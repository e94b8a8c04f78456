# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories are short, name existing variables, have the same models, and contain no secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# The maximum number of lines of an inventory, in all of its files. The local one names locally built components, too.
ENVIRONMENTS = {"local": 140, "staging": 50, "prod": 50}
SECRET = re.compile(r"(access_key|secret_key|password|token)$")


def variables(root: Path, environment: str) -> dict[str, dict[str, Any]]:
    """Return the variables by the file in which they are set."""
    folder = root / "inventories" / environment / "group_vars"
    files = sorted(folder.rglob("*.yml"))
    return {str(path.relative_to(folder)): yaml.safe_load(path.read_text()) for path in files}


def length_faults(root: Path) -> list[str]:
    """Count the lines."""
    lengths = {
        name: sum(len(path.read_text().splitlines()) for path in (root / "inventories" / name).rglob("*.yml"))
        for name in ENVIRONMENTS
    }
    return [
        f"inventories/{name} has {lengths[name]} lines, not at most {most}"
        for name, most in ENVIRONMENTS.items()
        if lengths[name] > most
    ]


def known(root: Path) -> set[str]:
    """Return the variables that the roles accept, and the list of models."""
    names = {"models"}
    for path in (root / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            names |= (entry.get("options") or {}).keys()
    for path in (root / "roles").glob("*/defaults/main.yml"):
        names |= yaml.safe_load(path.read_text()).keys()
    return names


def variable_faults(root: Path) -> list[str]:
    """Return the variables that no role accepts."""
    names = known(root)
    return [
        f"inventories/{name} names {variable}, which no role takes"
        for name in ENVIRONMENTS
        for values in variables(root, name).values()
        for variable in sorted(values.keys() - names)
    ]


def model_faults(root: Path) -> list[str]:
    """Compare the names of the models."""
    names = {
        name: [model["name"] for model in variables(root, name)["clusters.yml"]["models"]] for name in ENVIRONMENTS
    }
    return [f"{name} has the models {names[name]}" for name in ENVIRONMENTS if names[name] != names["local"]]


def secrets_in(value: Any, name: str = "") -> list[str]:
    """Return the names of secrets in plain text; a template only refers to a secret."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in secrets_in(inner, str(key))]
    if isinstance(value, list):
        return [found for inner in value for found in secrets_in(inner)]
    plain = isinstance(value, str) and value and "{{" not in value
    return [name] if plain and SECRET.search(name) else []


def secret_faults(root: Path) -> list[str]:
    """Return the secrets of an inventory. The local one contains the owner of an object store that only it reaches."""
    return [
        f"{name}: {file} holds {secret}"
        for name in ENVIRONMENTS
        for file, values in variables(root, name).items()
        for secret in secrets_in(values)
        if (name, secret) != ("local", "platform_access_key")
    ]


Check = Callable[[Path], list[str]]
CHECKS: list[Check] = [length_faults, variable_faults, model_faults, secret_faults]


@pytest.mark.parametrize("check", CHECKS)
def test_the_inventories_follow_the_rules(check: Check) -> None:
    assert check(ROOT) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_inventory_is_one_cluster_and_is_readable_without_secrets(environment: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("ansible-inventory")
    result = subprocess.run(
        [program, "-i", ROOT / "inventories" / environment, "--list"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    listed = json.loads(result.stdout)
    assert listed["clusters"]["hosts"] == [environment]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three inventories that violate no rule, and the role that accepts their variables."""
    for folder, file, text in (
        ("meta", "argument_specs.yml", "argument_specs: {main: {options: {probe_count: {type: int}}}}\n"),
        ("defaults", "main.yml", "probe_secret_key:\n"),
    ):
        path = tmp_path / "roles" / "probe" / folder / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
    for environment in ENVIRONMENTS:
        folder = tmp_path / "inventories" / environment / "group_vars"
        folder.mkdir(parents=True)
        (folder / "clusters.yml").write_text("models: [{name: iris}]\nprobe_count: 1\n")
        (folder / "more.yml").write_text('probe_secret_key: \'{{ lookup("env", "KEY") }}\'\n')
    return tmp_path


def test_a_correct_tree_has_no_fault(tree: Path) -> None:
    assert [check(tree) for check in CHECKS] == [[], [], [], []]


@pytest.mark.parametrize(
    ("check", "file", "text", "fault"),
    [
        (length_faults, "prod/group_vars/more.yml", "probe_count: 1\n" * 50, "inventories/prod has 52 lines"),
        (
            variable_faults,
            "staging/group_vars/more.yml",
            "probe_cuont: 1",
            "inventories/staging names probe_cuont, which",
        ),
        (model_faults, "prod/group_vars/clusters.yml", "models: [{name: churn}]", "prod has the models ['churn']"),
        (secret_faults, "prod/group_vars/more.yml", "probe_secret_key: abc", "holds probe_secret_key"),
        (secret_faults, "local/group_vars/more.yml", "probe: [{access_key: abc}]", "holds access_key"),
    ],
)
def test_a_broken_tree_has_the_fault(tree: Path, check: Check, file: str, text: str, fault: str) -> None:
    (tree / "inventories" / file).write_text(text)
    assert any(fault in found for found in check(tree))
