# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Perses: the binary with its web pages, and the archives of its plugins, both built with npm.

Its Go module contains the source of the pages, and its release embeds them when they are built. The packages of the
plugins contain their built pages, and not the CUE schemas by which Perses validates dashboards: those in npm/perses are
of the plugins that dashboards/ uses.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from local.oci import owned_by_root
from local.run import run
from local.settings import REPOSITORY

PLUGINS = REPOSITORY / "local" / "npm" / "perses"
ARCHIVES = "etc/perses/plugins-archive"
# The packages of the pages, each after those that it imports. Only their ES modules are built: the pages need neither
# their types nor CommonJS, which take most of the time.
PACKAGES = ("core", "components", "plugin-system", "dashboards", "explore")
HINT = "check that the npm registry is reachable and that Node.js 20 or newer is on the PATH with npm."


def _npm(folder: Path, *words: str) -> None:
    run(["npm", *words], cwd=folder, env={**os.environ, "NODE_ENV": "production"}, hint=HINT)


def _embed(ui: Path) -> None:
    """Compress the pages and name them in embed.go, as the release does."""
    names = []
    for path in sorted(ui.joinpath("app", "dist").rglob("*")):
        if path.is_file():
            packed = path.with_name(f"{path.name}.gz")
            packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            names.append(packed.relative_to(ui).as_posix())
    directives = "".join(f"//go:embed {name}\n" for name in names)
    (ui / "embed.go").write_text(f"{(ui / 'embed.go.tmpl').read_text()}\n{directives}var embedFS embed.FS\n")


def prepared(module: Path, scratch: Path) -> Path:
    """Copy the Go module, build its pages in the copy, and return the copy, in which `go build` then works."""
    target = scratch / "module"
    shutil.copytree(module, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755)  # the module cache is read-only
    ui = target / "ui"
    # The development packages are the compilers.
    _npm(ui, "ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund")
    for package in PACKAGES:
        _npm(ui / package, "run", "build:esm")
    _npm(ui / "app", "run", "build")
    _embed(ui)
    return target


def write_plugins(root: Path) -> None:
    """Write an archive of each plugin below the root of an image, where Perses finds it."""
    target = root / ARCHIVES
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for file in ("package.json", "package-lock.json"):
            shutil.copyfile(PLUGINS / file, scratch / file)
        _npm(scratch, "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund")
        for package in sorted(scratch.glob("node_modules/@perses-dev/*-plugin")):
            manifest = json.loads((package / "mf-manifest.json").read_text())
            with tarfile.open(target / f"{manifest['name']}.tar.gz", "w:gz") as archive:
                for part in ("LICENSE", "package.json", "mf-manifest.json", "__mf"):
                    archive.add(package / part, part, filter=owned_by_root)
                archive.add(PLUGINS / "schemas" / manifest["name"], "schemas", filter=owned_by_root)
