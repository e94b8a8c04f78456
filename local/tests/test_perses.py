# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build of Perses: its pages, the archives of its plugins, and the schemas by which it validates dashboards."""

from __future__ import annotations

import gzip
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from local import perses
from local.errors import LocalError
from local.settings import REPOSITORY

# What npm does, without a registry: it installs the packages of package.json, and a build writes a page.
NPM = """#!/bin/sh
echo "$(basename "$PWD") $*" >> "$NPM_LOG"
case "$1" in
  ci)
    test -f package-lock.json || exit 1
    for name in $(grep -o '@perses-dev/[a-z-]*-plugin' package.json); do
      mkdir -p "node_modules/$name/__mf/js" "node_modules/$name/lib"
      for file in LICENSE package.json __mf/js/main.js lib/index.js; do echo x > "node_modules/$name/$file"; done
      case "$name" in
        *prometheus*) plugin=Prometheus ;; *stat*) plugin=StatChart ;;
        *table*) plugin=Table ;; *) plugin=TimeSeriesChart ;;
      esac
      echo "{\\"name\\": \\"$plugin\\"}" > "node_modules/$name/mf-manifest.json"
    done ;;
  run)
    test "$(basename "$PWD")" = app || exit 0
    mkdir -p dist/fonts; echo page > dist/index.html; echo f > dist/fonts/f ;;
esac
"""


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of the commands that are sent to npm."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(NPM)
    program.chmod(0o755)
    log = tmp_path / "npm.log"
    monkeypatch.setenv("NPM_LOG", str(log))
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A Go module as the module cache has it: read-only."""
    folder = tmp_path / "perses@v0.52.0"
    for name in ("ui/embed.go.tmpl", "ui/package-lock.json", "ui/app/index.html", "go.mod"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("package ui\n")
    for package in perses.PACKAGES:
        (folder / "ui" / package).mkdir()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def test_the_pages_are_built_in_a_copy_and_embedded(npm: Path, module: Path, tmp_path: Path) -> None:
    copy = perses.prepared(module, tmp_path)
    commands = npm.read_text().splitlines()
    assert commands[0].startswith("ui ci ")
    assert commands[1:] == [*(f"{package} run build:esm" for package in perses.PACKAGES), "app run build"]
    embedded = re.findall(r"^//go:embed (.+)$", (copy / "ui" / "embed.go").read_text(), re.M)
    assert embedded == ["app/dist/fonts/f.gz", "app/dist/index.html.gz"]
    assert gzip.decompress((copy / "ui" / embedded[1]).read_bytes()) == b"page\n"
    assert not (module / "ui" / "app" / "dist").exists()


def test_a_missing_npm_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalError, match=r"npm was not found: .*Node\.js 20"):
        perses.prepared(module, tmp_path)


def test_an_archive_has_the_pages_and_the_schemas_of_its_plugin(npm: Path, tmp_path: Path) -> None:
    perses.write_plugins(tmp_path / "root")
    archives = sorted((tmp_path / "root" / perses.ARCHIVES).iterdir())
    assert [path.name for path in archives] == [f"{path.name}.tar.gz" for path in _schemas()]
    with tarfile.open(archives[-1]) as archive:
        names = set(archive.getnames())
    assert {"package.json", "mf-manifest.json", "LICENSE", "__mf/js/main.js"} < names
    assert "schemas/time-series-chart.cue" in names
    assert not [name for name in names if name.startswith("lib")]  # for other bundlers


def _schemas() -> list[Path]:
    return sorted((perses.PLUGINS / "schemas").iterdir())


def _kinds(value: Any) -> set[str]:
    """The kinds of all plugins in a dashboard."""
    if isinstance(value, list):
        return {kind for item in value for kind in _kinds(item)}
    if not isinstance(value, dict):
        return set()
    own = {value["plugin"]["kind"]} if "plugin" in value else set()
    return own | {kind for item in value.values() for kind in _kinds(item)}


def test_each_plugin_that_a_dashboard_uses_has_a_schema() -> None:
    found = {
        name
        for path in perses.PLUGINS.rglob("*.cue")
        for name in re.findall(r'^kind: "(\w+)"$', path.read_text(), re.M)
    }
    files = (REPOSITORY / "roles" / "dashboards" / "files" / "perses").iterdir()
    assert {kind for path in files for kind in _kinds(json.loads(path.read_text()))} | {"PrometheusDatasource"} == found


def test_the_plugins_are_locked_by_digest() -> None:
    wanted = json.loads((perses.PLUGINS / "package.json").read_text())["dependencies"]
    locked = json.loads((perses.PLUGINS / "package-lock.json").read_text())["packages"]
    assert len(wanted) == len(_schemas())
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert [name for name, package in locked.items() if name and not package["integrity"].startswith("sha512-")] == []
