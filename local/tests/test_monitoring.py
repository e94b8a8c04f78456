# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring is a switch of the local cluster: programs, images and the inventory have it only if it is on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from local import __main__, cache, cluster, programs, releases, settings, table
from local.cache import Product
from local.cluster import Cluster
from local.engine import Engine
from local.table import Program, Release

HOME = {"HOME": "/home/me"}
ROWS = table.load(table.TABLE, table.SWITCHED["monitoring"])
BUNDLE = Release("some/bundle.yaml", "some", (("example.org/some", "bundle.yaml"),), "1.2.3")


def config(state: Path, **environment: str) -> settings.Settings:
    return settings.load({**HOME, "HASHFOUNDRY_STATE": str(state), **environment})


@pytest.mark.parametrize("mode", settings.MODES)
def test_only_a_monitored_cluster_has_the_programs(mode: str, tmp_path: Path) -> None:
    plain = __main__.rows_of(config(tmp_path, HASHFOUNDRY_MODE=mode))
    monitored = __main__.rows_of(config(tmp_path, HASHFOUNDRY_MODE=mode, HASHFOUNDRY_MONITORING="1"))
    assert plain == table.load().of_mode(mode)
    more = set(monitored.images) - set(plain.images)
    assert {image.ref.rpartition("/")[2].partition(":")[0] for image in more} == {
        "alertmanager",
        "kube-state-metrics",
        "prometheus",
        "prometheus-config-reloader",
        "prometheus-operator",
    }
    programs_of_images = {image.program for image in more}
    assert monitored.programs.keys() - plain.programs.keys() == {*programs_of_images, "promtool"}
    assert set(plain.images) < set(monitored.images)
    # The node image is the same, so that monitoring can be switched on for an existing cluster.
    assert plain.placed("node") == monitored.placed("node")
    assert monitored.rootfs == plain.rootfs


def test_the_image_of_prometheus_has_the_version_of_its_module() -> None:
    (tag,) = (image.ref.rpartition(":")[2] for image in ROWS.images if image.program == "prometheus")
    major, minor, patch = tag.removeprefix("v").split(".")
    for name in ("prometheus", "promtool"):
        assert ROWS.programs[name].version == f"v0.{major}{int(minor):02d}.{patch}"
        assert ROWS.programs[name].ldflags.endswith(f"version.Version={major}.{minor}.{patch}")


@pytest.mark.parametrize("name", ["prometheus-operator", "prometheus-config-reloader", "alertmanager"])
def test_an_image_has_the_version_of_its_program(name: str) -> None:
    (tag,) = (image.ref.rpartition(":")[2] for image in ROWS.images if image.program == name)
    assert ROWS.programs[name].version == tag
    assert ROWS.programs[name].ldflags.endswith(f"version.Version={tag.removeprefix('v')}")


def test_a_cluster_is_not_monitored_by_default(tmp_path: Path) -> None:
    assert not config(tmp_path).monitoring


def test_the_setting_is_remembered_until_it_changes(tmp_path: Path) -> None:
    settings.save_switches(config(tmp_path, HASHFOUNDRY_MONITORING="true"))
    assert config(tmp_path).monitoring
    settings.save_switches(config(tmp_path, HASHFOUNDRY_MONITORING="0"))
    assert not config(tmp_path).monitoring


def test_the_setting_is_forgotten_with_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_cluster = config(tmp_path, HASHFOUNDRY_MONITORING="true")
    settings.save_switches(of_cluster)
    monkeypatch.setattr(cluster.Cluster, "_container", lambda _self, _template: "")
    Cluster(of_cluster, ROWS, Engine("")).delete()
    assert not config(tmp_path).monitoring


@pytest.mark.parametrize(("recorded", "wanted"), [("true\n", "managed"), ("false\n", "absent"), (None, "absent")])
def test_the_inventory_follows_the_state_folder(tmp_path: Path, recorded: str | None, wanted: str) -> None:
    if recorded:
        (tmp_path / "monitoring").write_text(recorded)
    command = [Path(sys.executable).with_name("ansible-inventory"), "-i", "inventories/local", "--host", "local"]
    # Without HASHFOUNDRY_MONITORING or with another value: only `make up` has loaded the images or not.
    env = {**os.environ, "HASHFOUNDRY_STATE": str(tmp_path), "HASHFOUNDRY_MONITORING": "false"}
    found = subprocess.run(command, cwd=settings.REPOSITORY, env=env, capture_output=True, check=True)
    assert json.loads(found.stdout)["platform_monitoring"] == wanted


def test_a_release_of_one_file_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "module_folder", lambda _module, _gomod: tmp_path)
    text = "---\nkind: A\n---\nkind: B\n"
    (tmp_path / "bundle.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text("kind: Other\n")
    assert releases.text(BUNDLE, ROWS) == text


def test_the_build_constraints_are_those_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str | Path], **_options: object) -> str:
        commands.append([str(word) for word in command])
        if "build" in commands[-1]:
            Path(commands[-1][commands[-1].index("-o") + 1]).write_text("program")
        return "go1.99.0"

    monkeypatch.setattr(programs, "run", run)
    for name in ("prometheus", "alertmanager"):
        programs.product(ROWS.programs[name], config(tmp_path)).make(tmp_path / name)
    with_tags, without = (command for command in commands if "build" in command)
    assert "-tags=remove_all_sd,enable_kubernetes_sd" in with_tags
    assert not [word for word in without if word.startswith("-tags")]


def test_a_provided_program_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def product(program: Program, where: settings.Settings) -> Product:
        def make(target: Path) -> None:
            made.append(program.name)
            target.write_text("program")

        return Product(where.cache / program.name, program.name, make)

    monkeypatch.setattr(cache, "NEEDED_BYTES", 0)
    monkeypatch.setattr(programs, "product", product)
    monkeypatch.setenv("HASHFOUNDRY_CACHE", str(tmp_path))
    assert programs.provided("promtool") == programs.provided("promtool") == tmp_path / "promtool"
    assert made == ["promtool"]


def test_the_molecule_clusters_are_not_monitored_unless_a_scenario_says_so() -> None:
    base = yaml.safe_load((settings.REPOSITORY / ".config" / "molecule" / "config.yml").read_text())
    # Otherwise a scenario on a shared cluster would keep what another scenario has recorded.
    assert base["provisioner"]["env"]["HASHFOUNDRY_MONITORING"] == "false"
