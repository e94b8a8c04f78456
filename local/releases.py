# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and charts as a project releases them, put together from its Go modules as its own release does it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from local import programs
from local.errors import LocalError
from local.table import Chart, Release, Table

# In the source a chart has neither version nor definitions of kinds.
CHART_TEMPLATE = "Chart.template.yaml"
# What ko puts an image in the place of, and the version in the labels of what is not released.
KO = re.compile(r"\bko://([\w./-]+)")
UNRELEASED = "app.kubernetes.io/version: devel"


def _resolved(text: str, release: Release, refs: dict[str, str]) -> str:
    unknown = sorted(set(KO.findall(text)) - refs.keys())
    if unknown:
        raise LocalError(f"No image of local/components.toml holds {', '.join(unknown)}, which {release.path} names.")
    return KO.sub(lambda found: refs[found[1]], text).replace(
        UNRELEASED, f'app.kubernetes.io/version: "{release.version}"'
    )


def text(release: Release, table: Table) -> str:
    """The release as one YAML text."""
    refs = {table.programs[image.program].package: image.ref for image in table.images if image.program}
    parts: list[str] = []
    for module, inner in release.folders:
        folder = programs.module_folder(module, programs.GO_MODULES / release.gomod) / inner
        parts += [_resolved(path.read_text(), release, refs) for path in sorted(folder.rglob("*.yaml"))]
    return "---\n" + "\n---\n".join(parts)


def write(release: Release, table: Table, folder: Path) -> None:
    """Write the release below a folder, where it is not there as it should be."""
    _write(folder / release.path, text(release, table))


def _chart_files(chart: Chart) -> Iterator[tuple[str, str]]:
    """Give the chart's files by their paths in it."""
    module = programs.module_folder(chart.module, programs.GO_MODULES / chart.gomod)
    folder = module / chart.folder
    about = yaml.safe_load((folder / CHART_TEMPLATE).read_text())
    # Nothing tells the local Helm a version of Kubernetes, which takes the oldest it knows for it.
    about.pop("kubeVersion", None)
    yield "Chart.yaml", yaml.safe_dump({**about, "version": chart.version, "appVersion": chart.version})
    yield "values.yaml", (folder / "values.yaml").read_text()
    for path in sorted((folder / "templates").iterdir()):
        yield f"templates/{path.name}", path.read_text()
    crds = "\n---\n".join(path.read_text() for path in sorted((module / chart.crds).glob("*.yaml")))
    yield "templates/crds.yaml", f"{{{{- if .Values.installCRDs }}}}\n{crds}\n{{{{- end }}}}\n"


def write_chart(chart: Chart, folder: Path) -> None:
    """Write the chart below a folder, where it is not there as it should be."""
    for name, wanted in _chart_files(chart):
        _write(folder / chart.path / name, wanted)


def _write(path: Path, wanted: str) -> None:
    if path.exists() and path.read_text() == wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wanted)
