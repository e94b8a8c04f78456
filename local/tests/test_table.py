# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of programs and images is consistent with itself and with the kind configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from local import __main__, cluster, node, programs, settings, table
from local.settings import REPOSITORY

ROWS = table.load()
ALL = table.load(table.TABLE, *table.SWITCHED.values())
SETTINGS = settings.load({"HOME": "/home/me"})


@pytest.mark.parametrize("rows", [ROWS, ALL])
def test_every_image_references_existing_rows(rows: table.Table) -> None:
    for image in rows.images:
        assert image.place in ("node", "cluster", "controller")
        assert not image.program or image.program in rows.programs
        assert not image.rootfs or image.rootfs in rows.rootfs
        assert not image.python or (REPOSITORY / image.python / "requirements.txt").exists()
        assert all((REPOSITORY / package / "__init__.py").exists() for package in image.packages)
    assert len({image.ref for image in rows.images}) == len(rows.images)


def test_the_node_contains_the_images_that_kubeadm_starts() -> None:
    version, refs = ROWS.node["kubernetes"], {image.ref for image in ROWS.placed("node")}
    parts = ("apiserver", "controller-manager", "scheduler", "proxy")
    assert {f"registry.k8s.io/kube-{part}:{version}" for part in parts} <= refs
    assert {f"registry.k8s.io/etcd:{ROWS.node['etcd_tag']}", ROWS.node["pause"]} <= refs
    assert all(ROWS.programs[name].version == version for name in node.NODE_PROGRAMS)


def kind_config(built: bool, monkeypatch: pytest.MonkeyPatch, cgroup_v1: bool) -> dict[str, object]:
    monkeypatch.setattr(node, "cgroup_v1", lambda: cgroup_v1)
    config: dict[str, object] = yaml.safe_load(cluster.config(SETTINGS, ROWS, "node:1", built))
    return config


def test_a_pulled_node_uses_the_network_of_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    config = kind_config(built=False, monkeypatch=monkeypatch, cgroup_v1=False)
    assert config["networking"] == {"apiServerAddress": "127.0.0.1"}
    assert config["kubeadmConfigPatches"] == []


def test_a_built_node_sets_its_etcd_and_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    config = kind_config(built=True, monkeypatch=monkeypatch, cgroup_v1=True)
    assert config["networking"] == {
        "apiServerAddress": "127.0.0.1",
        "disableDefaultCNI": True,
        "kubeProxyMode": "nftables",
    }
    kubelet, kubeadm = (yaml.safe_load(patch) for patch in config["kubeadmConfigPatches"])  # type: ignore[attr-defined]
    assert kubelet == {"kind": "KubeletConfiguration", "cgroupDriver": "cgroupfs", "failCgroupV1": False}
    assert kubeadm["etcd"]["local"]["imageTag"] == ROWS.node["etcd_tag"]


def test_a_benchmark_cluster_has_an_audit_log_and_more_pods() -> None:
    measured = settings.load({"HOME": "/home/me", "HASHFOUNDRY_AUDIT": "1", "HASHFOUNDRY_PODS": "400"})
    config = yaml.safe_load(cluster.config(measured, ROWS, "node:1", built=False))
    patches = {patch["kind"]: patch for patch in map(yaml.safe_load, config["kubeadmConfigPatches"])}
    assert patches["KubeletConfiguration"]["maxPods"] == 400
    assert patches["ClusterConfiguration"]["controllerManager"]["extraArgs"] == {"node-cidr-mask-size": "22"}
    # kind silently ignores a patch with another apiVersion than the one it writes.
    assert all("apiVersion" not in patch for patch in patches.values())
    server = patches["ClusterConfiguration"]["apiServer"]
    (mount,) = config["nodes"][0]["extraMounts"]
    assert mount["hostPath"] == str(measured.audit_log.parent)
    assert mount["containerPath"] == server["extraVolumes"][0]["hostPath"]
    assert server["extraArgs"]["audit-log-path"] == f"{mount['containerPath']}/{measured.audit_log.name}"


def test_an_additional_table_adds_its_rows(tmp_path: Path) -> None:
    more = '[[program]]\nname = "more"\nmodule = "example.org/more"\nversion = "v1"\n'
    (tmp_path / "components.toml").write_text(more)
    rows = table.load(table.TABLE, tmp_path / "components.toml")
    assert rows.programs["more"].modules == tmp_path / "go"
    assert rows.programs["kind"].modules == programs.GO_MODULES
    assert rows.node == ROWS.node


def test_the_host_ports_map_to_the_node_ports_of_the_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = kind_config(built=True, monkeypatch=monkeypatch, cgroup_v1=False)["nodes"]  # type: ignore[misc]
    ports = {mapping["containerPort"]: mapping["hostPort"] for mapping in one["extraPortMappings"]}
    inventory = yaml.safe_load((REPOSITORY / "inventories" / "local" / "group_vars" / "clusters.yml").read_text())
    assert ports == {inventory["platform_https_node_port"]: 8443, inventory["object_storage_node_port"]: 7070}
    assert {mapping["listenAddress"] for mapping in one["extraPortMappings"]} == {"127.0.0.1"}


def test_an_unknown_column_of_the_table_is_an_error(tmp_path: Path) -> None:
    text = table.TABLE.read_text().replace("tool = true", "tol = true", 1)
    (tmp_path / "components.toml").write_text(text)
    with pytest.raises(TypeError, match="tol"):
        table.load(tmp_path / "components.toml")


def test_rows_are_plain_values() -> None:
    assert {hash(row) for row in ROWS.images}
    assert dataclasses.replace(ROWS.images[0]) == ROWS.images[0]


def test_only_build_accepts_additional_tables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        __main__.main(["up", "tests/upgrade/components.toml"])
    assert exited.value.code == 2
    assert "only build takes tables" in capsys.readouterr().err
