# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the Ansible collections of requirements.yml from Galaxy, or from the PyPI package `ansible`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from local.errors import LocalError
from local.run import run, succeeds
from local.settings import REPOSITORY

REQUIREMENTS = REPOSITORY / "requirements.yml"
COLLECTIONS = REPOSITORY / "collections" / "ansible_collections"
PLATFORMS = REPOSITORY / "meta" / "tested_platforms.yml"
GALAXY_TIMEOUT_S = 120


@dataclass(frozen=True)
class Platform:
    """A row of meta/tested_platforms.yml, where the columns are documented."""

    ansible_core: str
    python: str
    kubernetes_core: str
    ansible: str

    @property
    def minor(self) -> str:
        """The minor version of ansible-core."""
        return self.ansible_core.rpartition(".")[0]


def platforms() -> list[Platform]:
    """The platforms that the collection is tested on, the oldest first."""
    return [Platform(**row) for row in yaml.safe_load(PLATFORMS.read_text())]


def package(missing: dict[str, str]) -> str:
    """The release of the PyPI package `ansible` that contains the required version of kubernetes.core.

    If kubernetes.core is not required, the release of the oldest row, which is the checkout's.
    """
    version = missing.get("kubernetes.core")
    for row in platforms():
        if version in (row.kubernetes_core, None):
            return f"ansible=={row.ansible}"
    raise LocalError(f"{missing} was not found in {PLATFORMS}: check that Galaxy is reachable, or add a row.")


def wanted(requirements: Path) -> dict[str, str]:
    """Name and version of each collection in a requirements.yml."""
    rows = yaml.safe_load(requirements.read_text())["collections"]
    return {row["name"]: row["version"].lstrip("=") for row in rows}


def installed(name: str, folder: Path) -> str | None:
    """The version of a collection installed in the folder, or None."""
    manifest = folder.joinpath(*name.split("."), "MANIFEST.json")
    if not manifest.exists():
        return None
    version: str = json.loads(manifest.read_text())["collection_info"]["version"]
    return version


def from_package(release: str, missing: dict[str, str], target: Path) -> None:
    """Unpack only the required collections of the PyPI package, which contains ninety."""
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"]
        run(
            [*download, "--dest", folder, release],
            hint="neither Galaxy nor PyPI is reachable: check the network, or set PIP_INDEX_URL.",
        )
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            roots = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in missing)
            wheel.extractall(target.parent, [name for name in wheel.namelist() if name.startswith(roots)])


def ensure(requirements: Path = REQUIREMENTS, folder: Path = COLLECTIONS) -> None:
    """Install the collections of a requirements.yml into a folder, by default the one that ansible.cfg names."""
    missing = {name: version for name, version in wanted(requirements).items() if installed(name, folder) != version}
    if not missing:
        return
    command: list[str | Path] = [Path(sys.executable).with_name("ansible-galaxy"), "collection", "install", "--force"]
    command += ["--requirements-file", requirements, "--collections-path", folder.parent]
    env = {**os.environ, "ANSIBLE_GALAXY_SERVER_TIMEOUT": "20"}
    if not succeeds(command, env=env, timeout=GALAXY_TIMEOUT_S):
        release = package(missing)
        print(f"    Galaxy is not reachable: installing {', '.join(missing)} from PyPI's {release}", flush=True)
        from_package(release, missing, folder)
    wrong = [f"{name} {version}" for name, version in missing.items() if installed(name, folder) != version]
    if wrong:
        raise LocalError(
            f"{', '.join(wrong)} was not installed: set the same versions in {requirements} and {PLATFORMS}."
        )
