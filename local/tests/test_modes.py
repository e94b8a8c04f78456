# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster has one deployment mode of KServe, with the images and manifests of that mode."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from local import cluster, images, programs, releases, settings, table
from local.cluster import Cluster
from local.engine import Engine
from local.errors import LocalError
from local.table import Chart, Release

ROWS = table.load()
HOME = {"HOME": "/home/me"}
CHART = Chart("some", "some", "example.org/some", "chart", "crds", "v1.2.3")
RELEASE = Release("some/some.yaml", "some", (("example.org/some", "config"),), "1.2.3")


def test_the_mode_defaults_to_standard(tmp_path: Path) -> None:
    assert settings.load({**HOME, "HASHFOUNDRY_STATE": str(tmp_path)}).mode == "Standard"


def test_the_mode_defaults_to_that_of_the_existing_cluster(tmp_path: Path) -> None:
    (tmp_path / "mode").write_text("Knative\n")
    assert settings.load({**HOME, "HASHFOUNDRY_STATE": str(tmp_path)}).mode == "Knative"


def test_an_unknown_mode_is_rejected() -> None:
    with pytest.raises(
        LocalError, match="HASHFOUNDRY_MODE=knative is not supported: set it to one of Standard, Knative"
    ):
        settings.load({**HOME, "HASHFOUNDRY_MODE": "knative"})


@pytest.mark.parametrize(
    ("saved", "requested", "rejected"),
    [("Knative", "Standard", True), ("", "Knative", True), ("Knative", "", False), ("", "Standard", False)],
)
def test_the_mode_of_a_cluster_cannot_change(tmp_path: Path, saved: str, requested: str, rejected: bool) -> None:
    if saved:
        (tmp_path / "mode").write_text(saved)
    config = settings.load({**HOME, "HASHFOUNDRY_STATE": str(tmp_path), "HASHFOUNDRY_MODE": requested})
    created = Cluster(config, ROWS, Engine(""))
    if not rejected:
        created.check_mode()
        return
    with pytest.raises(LocalError, match="make clean"):
        created.check_mode()


def test_a_mode_has_its_images_and_the_shared_ones() -> None:
    standard, knative = ROWS.of_mode("Standard"), ROWS.of_mode("Knative")
    both = set(standard.images) & set(knative.images)
    assert {image.mode for image in both} == {""}
    assert set(standard.images) == both
    assert {image.program for image in set(knative.images) - both} == {
        "knative-activator",
        "knative-autoscaler",
        "knative-controller",
        "knative-queue",
        "knative-webhook",
        "kourier",
        "cert-manager-cainjector",
        "cert-manager-controller",
        "cert-manager-webhook",
    }
    assert set(standard.images) | set(knative.images) == set(ROWS.images)
    assert standard.programs.keys() | knative.programs.keys() == ROWS.programs.keys()
    assert not standard.releases + standard.charts
    assert (knative.releases, knative.charts) == (ROWS.releases, ROWS.charts)


@pytest.mark.parametrize("mode", settings.MODES)
def test_a_mode_has_the_programs_of_its_images(mode: str) -> None:
    rows = ROWS.of_mode(mode)
    assert {image.program for image in rows.images if image.program} <= rows.programs.keys()


def test_an_image_is_the_same_in_any_mode() -> None:
    image, config = ROWS.images[0], settings.load(HOME)
    other = dataclasses.replace(image, mode="Knative")
    assert images.product(image, ROWS, config).path == images.product(other, ROWS, config).path


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a Go module with the manifests of the release."""
    monkeypatch.setattr(programs, "module_folder", lambda _module, _gomod: tmp_path / "module")
    folder = tmp_path / "module" / "config"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.yaml").write_text("labels:\n  app.kubernetes.io/version: devel\n")
    (folder / "deep" / "b.yaml").write_text("image: ko://knative.dev/serving/cmd/webhook\n")
    (folder / "placeholder.go").write_text("package config\n")
    return folder


def test_a_release_names_its_version_and_its_images(module: Path) -> None:
    assert releases.text(RELEASE, ROWS) == (
        '---\nlabels:\n  app.kubernetes.io/version: "1.2.3"\n\n'
        "---\nimage: gcr.io/knative-releases/knative.dev/serving/cmd/webhook:v1.21.1\n"
    )


def test_a_release_without_an_image_is_rejected(module: Path) -> None:
    (module / "c.yaml").write_text("image: ko://example.org/cmd/unknown\n")
    with pytest.raises(LocalError, match=r"some/some.yaml references example.org/cmd/unknown, which is missing"):
        releases.text(RELEASE, ROWS)


def test_a_release_is_written_once(module: Path, tmp_path: Path) -> None:
    releases.write(RELEASE, ROWS, tmp_path)
    path = tmp_path / RELEASE.path
    before = path.stat().st_mtime_ns
    releases.write(RELEASE, ROWS, tmp_path)
    assert path.stat().st_mtime_ns == before
    path.write_text("old")
    releases.write(RELEASE, ROWS, tmp_path)
    assert path.read_text() == releases.text(RELEASE, ROWS)


def test_the_mode_is_deleted_with_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mode").write_text("Knative")
    config = settings.load({**HOME, "HASHFOUNDRY_STATE": str(tmp_path)})
    created = Cluster(config, ROWS, Engine(""))
    monkeypatch.setattr(cluster.Cluster, "_container", lambda _self, _template: "")
    created.delete()
    assert settings.saved_mode(tmp_path) == ""


def test_a_chart_has_its_version_and_its_crds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "module_folder", lambda _module, _gomod: tmp_path)
    files = {
        "chart/Chart.template.yaml": "name: some\nversion: v0\nappVersion: v0\nkubeVersion: '>= 1.21'\n",
        "chart/values.yaml": "installCRDs: false\n",
        "chart/templates/_helpers.tpl": "helpers\n",
        "crds/a.yaml": "kind: A",
        "crds/b.yaml": "kind: B",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    releases.write_chart(CHART, tmp_path / "sources")
    chart = tmp_path / "sources" / "some"
    assert yaml.safe_load((chart / "Chart.yaml").read_text()) == {
        "name": "some",
        "version": "v1.2.3",
        "appVersion": "v1.2.3",
    }
    assert (chart / "values.yaml").read_text() == "installCRDs: false\n"
    assert (chart / "templates" / "_helpers.tpl").read_text() == "helpers\n"
    crds = (chart / "templates" / "crds.yaml").read_text()
    assert crds == "{{- if .Values.installCRDs }}\nkind: A\n---\nkind: B\n{{- end }}\n"
