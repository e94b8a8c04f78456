# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories are of one shape: the same files with the same variables, the same models, and no secret in any."""

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
ENVIRONMENTS = ("local", "staging", "prod")
# What only the cluster of `make up` has: what it leaves on this machine, and builds of its own.
MADE_HERE = re.compile(r"state_folder|hashfoundry\.local|envoyproxy/envoy|gateway_envoy_image")
# A role that a cluster does without: its file says so, and no more.
WITHOUT = re.compile(r"^(\w+)_managed$")
SECRET = re.compile(r"(access_key|secret_key|password|token)$")


def variables(root: Path, environment: str) -> dict[str, dict[str, Any]]:
    """Return the variables by the file that they stand in."""
    folder = root / "inventories" / environment / "group_vars"
    files = sorted(folder.rglob("*.yml"))
    return {str(path.relative_to(folder)): yaml.safe_load(path.read_text()) for path in files}


def composed(root: Path, environment: str) -> set[str]:
    """Return the variables that the inventory reckons once, when it is read."""
    found = [yaml.safe_load(path.read_text()) for path in (root / "inventories" / environment).glob("*.yml")]
    return {name for source in found for name in source.get("compose") or {}}


def left_out(values: dict[str, Any]) -> bool:
    return [bool(WITHOUT.match(name)) and value is False for name, value in values.items()] == [True]


def file_faults(root: Path) -> list[str]:
    """Compare the files."""
    found = {name: set(variables(root, name)) for name in ENVIRONMENTS}
    every = set().union(*found.values())
    return [
        f"inventories/{name} has no group_vars/{file}" for name in ENVIRONMENTS for file in sorted(every - found[name])
    ]


def variable_faults(root: Path) -> list[str]:
    """Compare the variables of each file with those of the same file elsewhere."""
    trees = {name: variables(root, name) for name in ENVIRONMENTS}
    faults = []
    for file in sorted(set().union(*trees.values())):
        sides = {name: tree[file] for name, tree in trees.items() if file in tree and not left_out(tree[file])}
        for name, values in sides.items():
            for other in sides:
                faults += [
                    f"{file}: {other} has {variable}, and {name} has not"
                    for variable, value in sides[other].items()
                    if variable not in values
                    and variable not in composed(root, name)
                    and not (other == "local" and MADE_HERE.search(json.dumps(value)))
                ]
    return sorted(set(faults))


def model_faults(root: Path) -> list[str]:
    """Compare the names of the models."""
    names = {
        name: [model["name"] for model in variables(root, name)["clusters/models.yml"]["models"]]
        for name in ENVIRONMENTS
    }
    return [f"{name} has the models {names[name]}" for name in ENVIRONMENTS if names[name] != names["local"]]


def secrets_in(value: Any, name: str = "") -> list[str]:
    """Return the names of secrets that stand there as they are; a template refers to them."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in secrets_in(inner, str(key))]
    if isinstance(value, list):
        return [found for inner in value for found in secrets_in(inner)]
    plain = isinstance(value, str) and value and "{{" not in value
    return [name] if plain and SECRET.search(name) else []


def secret_faults(root: Path) -> list[str]:
    """Return the secrets that an inventory holds. The local one names the owner of a store that only it reaches."""
    return [
        f"{name}: {file} holds {secret}"
        for name in ENVIRONMENTS
        for file, values in variables(root, name).items()
        for secret in secrets_in(values)
        if (name, secret) != ("local", "object_storage_access_key")
    ]


Check = Callable[[Path], list[str]]
CHECKS: list[Check] = [file_faults, variable_faults, model_faults, secret_faults]


@pytest.mark.parametrize("check", CHECKS)
def test_the_inventories_are_of_one_shape(check: Check) -> None:
    assert check(ROOT) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_inventory_is_one_cluster_that_needs_nothing_to_be_read(environment: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("ansible-inventory")
    done = subprocess.run(
        [program, "-i", ROOT / "inventories" / environment, "--list"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["clusters"]["hosts"] == [environment]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three inventories of one shape."""
    for environment in ENVIRONMENTS:
        folder = tmp_path / "inventories" / environment / "group_vars" / "clusters"
        folder.mkdir(parents=True)
        (folder / "models.yml").write_text("models: [{name: iris}]\n")
        (folder / "probe.yml").write_text('probe_count: 1\nprobe_secret_key: \'{{ lookup("env", "KEY") }}\'\n')
    return tmp_path


def test_a_sound_tree_has_no_fault(tree: Path) -> None:
    assert [check(tree) for check in CHECKS] == [[], [], [], []]


@pytest.mark.parametrize(
    ("check", "file", "text", "fault"),
    [
        (
            file_faults,
            "prod/group_vars/clusters/more.yml",
            "more: 1",
            "inventories/local has no group_vars/clusters/more",
        ),
        (
            variable_faults,
            "prod/group_vars/clusters/probe.yml",
            "probe_count: 1",
            "local has probe_secret_key, and prod",
        ),
        (variable_faults, "staging/group_vars/clusters/probe.yml", "probe_managed: true", "has probe_managed, and"),
        (
            model_faults,
            "prod/group_vars/clusters/models.yml",
            "models: [{name: churn}]",
            "prod has the models ['churn']",
        ),
        (secret_faults, "prod/group_vars/clusters/probe.yml", "probe_secret_key: abc", "holds probe_secret_key"),
        (secret_faults, "local/group_vars/clusters/probe.yml", "probe: [{access_key: abc}]", "holds access_key"),
    ],
)
def test_a_broken_tree_has_the_fault(tree: Path, check: Check, file: str, text: str, fault: str) -> None:
    (tree / "inventories" / file).write_text(text)
    assert any(fault in said for said in check(tree))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("local/group_vars/clusters/probe.yml", "probe_manifest: '{{ state_folder }}/probe.yaml'\n"),
        ("prod/group_vars/clusters/probe.yml", "probe_managed: false\n"),
    ],
)
def test_what_a_cluster_has_of_its_own_is_no_fault(tree: Path, file: str, text: str) -> None:
    path = tree / "inventories" / file
    path.write_text(text if "managed" in text else path.read_text() + text)
    assert variable_faults(tree) == []


def test_a_variable_may_be_composed(tree: Path) -> None:
    for name in ("staging", "prod"):
        path = tree / "inventories" / name / "group_vars" / "clusters" / "probe.yml"
        path.write_text(path.read_text() + "probe_mode: Knative\n")
    assert variable_faults(tree)
    (tree / "inventories" / "local" / "state.yml").write_text("plugin: constructed\ncompose: {probe_mode: 1 + 1}\n")
    assert variable_faults(tree) == []
