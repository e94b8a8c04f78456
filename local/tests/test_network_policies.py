# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster enforces NetworkPolicies: the rows that it needs, and the manifest of the agent."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import __main__, network_policies, settings, table
from local.cluster import Cluster
from local.engine import Engine
from local.errors import LocalError

ROWS = table.load()
HOME = {"HOME": "/home/me"}
OFF = {**HOME, "HASHFOUNDRY_NETWORK_POLICIES": "false"}
SAVED = """\
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-ROUTER-INPUT - [0:0]
:KUBE-POD-FW-ABC - [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
-A INPUT -m comment --comment "kube-router netpol - 4IA2" -j KUBE-ROUTER-INPUT
-A INPUT -j KUBE-FIREWALL
-A KUBE-ROUTER-INPUT -s 10.244.0.2/32 -j KUBE-POD-FW-ABC
-A KUBE-POD-FW-ABC -j KUBE-NWPLCY-DEFAULT
-A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000
COMMIT
"""
# What an iptables-save without any rule prints: nothing.
NO_TABLE = ""
LEFT = """\
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
COMMIT
"""


@pytest.mark.parametrize("mode", settings.MODES)
def test_the_agent_is_built_unless_the_setting_is_false(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[table.Table] = []
    monkeypatch.setattr(__main__, "down", lambda _config, rows: given.append(rows))
    for environment in (HOME, OFF):
        monkeypatch.setenv("HASHFOUNDRY_MODE", mode)
        monkeypatch.setenv("HASHFOUNDRY_MONITORING", "false")
        monkeypatch.setenv("HASHFOUNDRY_NETWORK_POLICIES", environment.get("HASHFOUNDRY_NETWORK_POLICIES", ""))
        assert __main__.main(["down"]) == 0
    with_agent, without = given
    assert with_agent == ROWS.of_mode(mode)
    assert with_agent.programs.keys() - without.programs.keys() == {"kube-router"}
    only = set(with_agent.images) - set(without.images)
    assert {image.ref for image in only} == {"docker.io/cloudnativelabs/kube-router:v2.1.0"}
    # Nothing else needs its root file system, which is not built either then.
    assert {image.rootfs for image in only}.isdisjoint(image.rootfs for image in without.images)


def manifest() -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load(network_policies.MANIFEST.read_text())["items"]}


def test_the_manifest_runs_the_image_of_the_table() -> None:
    pod = manifest()["DaemonSet"]["spec"]["template"]["spec"]
    used = {container["image"] for container in pod["initContainers"] + pod["containers"]}
    assert used == {image.ref for image in ROWS.images if image.program == network_policies.PROGRAM}
    (version,) = {ref.rpartition(":")[2] for ref in used}
    assert ROWS.programs[network_policies.PROGRAM].version == version


def test_the_agent_may_only_read() -> None:
    verbs = {verb for rule in manifest()["ClusterRole"]["rules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    resources = {resource for rule in manifest()["ClusterRole"]["rules"] for resource in rule["resources"]}
    assert not resources & {"*", "secrets", "configmaps"}


@pytest.mark.parametrize(("saved", "left"), [(SAVED, LEFT), (NO_TABLE, NO_TABLE)])
def test_only_the_rules_of_the_agent_are_removed(saved: str, left: str, tmp_path: Path) -> None:
    """The command of the node, with iptables-save and iptables-restore that read and write files."""
    (tmp_path / "saved").write_text(saved)
    for name, script in (("save", 'cat "$0.d/../saved"'), ("restore", 'cat >"$0.d/../restored"')):
        program = tmp_path / f"iptables-{name}"
        program.with_name(f"{program.name}.d").mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    command = ["bash", "-c", network_policies.REMOVE_RULES]
    subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "restored").read_text() == left


def test_the_network_of_a_pulled_node_cannot_be_changed() -> None:
    pulled = Cluster(settings.load(OFF), ROWS, Engine(""))
    with pytest.raises(LocalError, match="unset HASHFOUNDRY_NETWORK_POLICIES, or set HASHFOUNDRY_IMAGES=build"):
        network_policies.apply(pulled, built=False)
