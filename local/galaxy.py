# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible collections of requirements.yml: from Galaxy, or out of the PyPI package `ansible`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

from local.errors import LocalError
from local.run import answers, run
from local.settings import REPOSITORY

REQUIREMENTS = REPOSITORY / "requirements.yml"
COLLECTIONS = REPOSITORY / "collections" / "ansible_collections"
# The release of the community package that carries the versions requirements.yml pins.
PACKAGE = "ansible==12.3.0"
GALAXY_TIMEOUT_S = 120


def wanted(requirements: Path) -> dict[str, str]:
    """Name and version of each collection in a requirements.yml."""
    rows = yaml.safe_load(requirements.read_text())["collections"]
    return {row["name"]: row["version"].lstrip("=") for row in rows}


def installed(name: str, folder: Path) -> str | None:
    """The version of a collection that lies in the folder, or None."""
    manifest = folder.joinpath(*name.split("."), "MANIFEST.json")
    if not manifest.exists():
        return None
    version: str = json.loads(manifest.read_text())["collection_info"]["version"]
    return version


def _from_package(missing: dict[str, str], target: Path) -> None:
    """Unpack only the wanted collections of the community package: it holds ninety."""
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        run(download, hint="neither Galaxy nor PyPI answers: see the network, or set PIP_INDEX_URL.")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            roots = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in missing)
            wheel.extractall(target.parent, [name for name in wheel.namelist() if name.startswith(roots)])


def ensure(requirements: Path = REQUIREMENTS, folder: Path = COLLECTIONS) -> None:
    """Put the collections of a requirements.yml into a folder, by default the checkout's, where ansible.cfg looks."""
    missing = {name: version for name, version in wanted(requirements).items() if installed(name, folder) != version}
    if not missing:
        return
    command: list[str | Path] = [Path(sys.executable).with_name("ansible-galaxy"), "collection", "install", "--force"]
    command += ["--requirements-file", requirements, "--collections-path", folder.parent]
    env = {**os.environ, "ANSIBLE_GALAXY_SERVER_TIMEOUT": "20"}
    if not answers(command, env=env, timeout=GALAXY_TIMEOUT_S):
        print(f"    Galaxy does not answer: taking {', '.join(missing)} from PyPI's {PACKAGE}", flush=True)
        _from_package(missing, folder)
    wrong = [f"{name} {version}" for name, version in missing.items() if installed(name, folder) != version]
    if wrong:
        raise LocalError(f"{PACKAGE} does not carry {', '.join(wrong)}: make {requirements} and local/galaxy.py agree.")
