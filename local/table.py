# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of components.toml, monitoring.toml and dashboards.toml as typed rows."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("components.toml")
# Further tables, by the setting that adds their rows.
SWITCHED = {name: Path(__file__).with_name(f"{name}.toml") for name in ("monitoring", "dashboards")}


@dataclass(frozen=True)
class Program:
    """A Go binary.

    modules: the folder of the go.mod files, `go` in the folder of the table.
    tags: build constraints, as `go build -tags` takes them.
    tool: a command-line tool for users, linked into the state folder.
    pages: the module has web pages, which are built and embedded: perses.py.
    """

    name: str
    module: str
    version: str
    modules: Path
    package: str = ""
    gomod: str = ""
    ldflags: str = ""
    tags: str = ""
    tool: bool = False
    pages: bool = False


@dataclass(frozen=True)
class Rootfs:
    """A Debian root file system; customize: a script that mmdebstrap runs on it."""

    name: str
    variant: str
    packages: tuple[str, ...]
    customize: str = ""
    suite: str = field(default="bookworm", repr=False)  # a separate part of the cache key


@dataclass(frozen=True)
class Image:
    """A container image: a root file system, or none, and a layer with the files below.

    program, path: a Go binary and its path, by default /usr/local/bin/<program>.
    python: a folder of this repository with requirements.txt and a Python package.
    packages: the folders of all Python packages of this repository, if there are several.
    wheel: a binary extracted from a Python package.
    take: a file extracted from a root file system.
    plugins: the archives of the plugins of Perses: perses.py.
    mode: the only deployment mode of KServe that needs the image, or an empty string.
    """

    ref: str
    place: str
    program: str = ""
    path: str = ""
    rootfs: str = ""
    python: str = ""
    packages: tuple[str, ...] = field(default=(), repr=False)
    wheel: tuple[tuple[str, str], ...] = ()
    take: tuple[tuple[str, str], ...] = ()
    plugins: bool = field(default=False, repr=False)
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    mode: str = field(default="", repr=False)

    @property
    def slug(self) -> str:
        """The reference as a file name."""
        return self.ref.replace("/", "_").replace(":", "-")


@dataclass(frozen=True)
class Release:
    """A release manifest of a project, assembled from files of Go modules.

    path: its path below `sources` in the state folder.
    gomod: the folder of go.mod and go.sum that pins the modules.
    folders: pairs of a module and a folder with YAML files in it, or a YAML file.
    version: the version in its labels.
    mode: the only deployment mode of KServe that needs it, or an empty string.
    """

    path: str
    gomod: str
    folders: tuple[tuple[str, str], ...]
    version: str
    mode: str = ""


@dataclass(frozen=True)
class Chart:
    """A Helm chart of a project, assembled from folders of a Go module.

    path: its path below `sources` in the state folder.
    gomod: the folder of go.mod and go.sum that pins the module.
    folder: the chart, without a version and without CRDs.
    crds: the CRDs.
    version: the version and the appVersion of the chart.
    mode: the only deployment mode of KServe that needs it, or an empty string.
    """

    path: str
    gomod: str
    module: str
    folder: str
    crds: str
    version: str
    mode: str = ""


@dataclass(frozen=True)
class Table:
    """All rows, and the properties of the node."""

    node: dict[str, str]
    programs: dict[str, Program]
    rootfs: dict[str, Rootfs]
    images: tuple[Image, ...]
    releases: tuple[Release, ...]
    charts: tuple[Chart, ...]

    def placed(self, place: str) -> list[Image]:
        """The images of one place: node, cluster or controller."""
        return [image for image in self.images if image.place == place]

    def of_mode(self, mode: str) -> Table:
        """The rows that a cluster of one deployment mode needs."""
        others = {image.program for image in self.images if image.mode not in ("", mode)}
        return replace(
            self,
            programs={name: program for name, program in self.programs.items() if name not in others},
            images=tuple(image for image in self.images if image.mode in ("", mode)),
            releases=tuple(release for release in self.releases if release.mode in ("", mode)),
            charts=tuple(chart for chart in self.charts if chart.mode in ("", mode)),
        )

    def without(self, program: str) -> Table:
        """The rows but those of one program and its images."""
        return replace(
            self,
            programs={name: row for name, row in self.programs.items() if name != program},
            images=tuple(image for image in self.images if image.program != program),
        )


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    """Lists and tables of a TOML row as tuples, so that rows can be hashed and compared."""
    plain: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, list):
            plain[key] = tuple(tuple(entry) if isinstance(entry, list) else entry for entry in value)
        elif isinstance(value, dict):
            plain[key] = tuple(sorted(value.items()))
        else:
            plain[key] = value
    return plain


def load(*paths: Path) -> Table:
    """Read the tables, by default components.toml, as one. An unknown column is a bug, so it raises TypeError."""
    tables = {path: tomllib.loads(path.read_text()) for path in paths or (TABLE,)}

    def rows(section: str) -> list[tuple[Path, dict[str, Any]]]:
        return [(path, _frozen(row)) for path, raw in tables.items() for row in raw.get(section, ())]

    return Table(
        node=next(raw["node"] for raw in tables.values() if "node" in raw),
        programs={row["name"]: Program(modules=path.with_name("go"), **row) for path, row in rows("program")},
        rootfs={row["name"]: Rootfs(**row) for _path, row in rows("rootfs")},
        images=tuple(Image(**row) for _path, row in rows("image")),
        releases=tuple(Release(**row) for _path, row in rows("release")),
        charts=tuple(Chart(**row) for _path, row in rows("chart")),
    )
