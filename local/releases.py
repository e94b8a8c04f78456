# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assemble the release manifests and charts of a project from its Go modules, as the project's release does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from local import programs
from local.errors import LocalError
from local.table import Chart, Release, Table

# In the source tree the chart has neither a version nor CRDs.
CHART_TEMPLATE = "Chart.template.yaml"
START = "---\n"  # of a YAML document
# The placeholders that a release replaces: image references of ko, and the version label.
KO = re.compile(r"\bko://([\w./-]+)")
UNRELEASED = "app.kubernetes.io/version: devel"


def _resolved(text: str, release: Release, refs: dict[str, str]) -> str:
    unknown = sorted(set(KO.findall(text)) - refs.keys())
    if unknown:
        raise LocalError(
            f"{release.path} references {', '.join(unknown)}, which is missing: add the image to local/components.toml."
        )
    return KO.sub(lambda found: refs[found[1]], text).replace(
        UNRELEASED, f'app.kubernetes.io/version: "{release.version}"'
    )


def text(release: Release, table: Table) -> str:
    """The release as one YAML string."""
    refs = {table.programs[image.program].package: image.ref for image in table.images if image.program}
    parts: list[str] = []
    for module, inner in release.folders:
        found = programs.module_folder(module, programs.GO_MODULES / release.gomod) / inner
        paths = [found] if found.is_file() else sorted(found.rglob("*.yaml"))
        parts += [_resolved(path.read_text().removeprefix(START), release, refs) for path in paths]
    return START + f"\n{START}".join(parts)


def write(release: Release, table: Table, folder: Path) -> None:
    """Write the release below a folder, unless it is already up to date."""
    _write(folder / release.path, text(release, table))


def _chart_files(chart: Chart) -> Iterator[tuple[str, str]]:
    """Yield the path in the chart and the content of each file."""
    module = programs.module_folder(chart.module, programs.GO_MODULES / chart.gomod)
    folder = module / chart.folder
    about = yaml.safe_load((folder / CHART_TEMPLATE).read_text())
    # `helm template` without a cluster assumes an old Kubernetes version, which this constraint would reject.
    about.pop("kubeVersion", None)
    yield "Chart.yaml", yaml.safe_dump({**about, "version": chart.version, "appVersion": chart.version})
    yield "values.yaml", (folder / "values.yaml").read_text()
    for path in sorted((folder / "templates").iterdir()):
        yield f"templates/{path.name}", path.read_text()
    crds = "\n---\n".join(path.read_text() for path in sorted((module / chart.crds).glob("*.yaml")))
    yield "templates/crds.yaml", f"{{{{- if .Values.installCRDs }}}}\n{crds}\n{{{{- end }}}}\n"


def write_chart(chart: Chart, folder: Path) -> None:
    """Write the chart below a folder, unless it is already up to date."""
    for name, wanted in _chart_files(chart):
        _write(folder / chart.path / name, wanted)


def _write(path: Path, wanted: str) -> None:
    if path.exists() and path.read_text() == wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wanted)
