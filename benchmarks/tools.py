# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands, packages and collections that the modules are compared with, at pinned versions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path

from local import debian, environments, galaxy, programs, settings, table
from local.cache import build_missing, digest, locked
from local.progress import Progress
from local.settings import Settings
from local.table import Table

FOLDER = Path(__file__).parent
LOCK = FOLDER / "requirements.txt"


@dataclass(frozen=True)
class Tools:
    """The installed tools; environment: the virtual environment of LOCK; collections: those of requirements.yml."""

    settings: Settings
    table: Table
    environment: Path

    @property
    def collections(self) -> Path:
        return self.environment / "collections" / "ansible_collections"

    def program(self, name: str) -> Path:
        """The path of a Go binary of either table."""
        return programs.product(self.table.programs[name], self.settings).path

    def script(self, name: str) -> Path:
        """The path of a command in the virtual environment."""
        return self.environment / "bin" / name

    def versions(self, names: Iterable[str]) -> dict[str, str]:
        """The versions of Go binaries, Python packages, collections and Debian's wrk."""
        return {name: self._version(name) for name in names}

    def _version(self, name: str) -> str:
        if name in self.table.programs:
            return self.table.programs[name].version
        for folder in (self.collections, galaxy.COLLECTIONS):
            if found := "." in name and galaxy.installed(name, folder):
                return found
        if name == "wrk":
            output = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
            return " ".join(output.split()[1:3])
        pinned = re.search(rf"^{re.escape(name)}==(\S+)", LOCK.read_text(), re.MULTILINE)
        return pinned[1] if pinned else package_version(name)


def ensure(*names: str) -> Tools:
    """Install all packages and collections, and build the named binaries; raises LocalError if that fails."""
    config = settings.load()
    rows = table.load(table.TABLE, FOLDER / "components.toml")
    debian.ensure(wrk="wrk", taskset="util-linux")
    with locked(config.cache):
        build_missing([programs.product(rows.programs[name], config) for name in names], Progress())
        found = Tools(config, rows, environments.ensure(config, f"benchmarks-{digest(LOCK)}", LOCK))
    galaxy.ensure()
    found.collections.mkdir(parents=True, exist_ok=True)
    galaxy.ensure(FOLDER / "requirements.yml", found.collections)
    return found
