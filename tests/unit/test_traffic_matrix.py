# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the traffic matrix reads the node and the pods, and what its table has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.allowed_traffic import End
from tests.integration.traffic_matrix import Party, Place, Target, list_table, parties, places, table, targets, workload

# As the node prints it: a listener at 8080 of all addresses, at 9901 of the loopback address, a connection, and at 9443
# of all addresses of both families.
SCANNED = """netns /run/netns/cni-a
2: eth0    inet 10.244.0.9/16 brd 10.244.255.255 scope global eth0\\       valid_lft forever
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0000000000000000
   1: 0100007F:26AD 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2 1 0000000000000000
   2: 0900F40A:1F90 0100F40A:C350 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0000000000000000
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:24E3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: 0000000000000000FFFF00000100007F:24E4 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
netns /run/netns/empty
"""
IRIS = Place("/run/netns/cni-a", frozenset({8080, 9443}))


def pod(name: str, labels: dict[str, str], address: str = "", **spec: Any) -> dict[str, Any]:
    owner = {"kind": "ReplicaSet", "name": f"{name}-5d4f"}
    return {
        "metadata": {"namespace": "here", "name": f"{name}-5d4f-x", "labels": labels, "ownerReferences": [owner]},
        "spec": spec,
        "status": {"phase": "Running", "podIP": address},
    }


def test_the_ports_of_a_pod_are_those_at_which_others_can_reach_it() -> None:
    assert places(SCANNED) == {"10.244.0.9": IRIS}


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"pod-template-hash": "5d4f", "app": "x"}, "here/envoy"),
        ({"app": "x"}, "here/envoy-5d4f"),
        ({"serving.kserve.io/inferenceservice": "a", "kserve.hashfoundry.io/storage": "pvc"}, "model (pvc)"),
        ({"serving.kserve.io/inferenceservice": "a"}, "model (no label)"),
    ],
)
def test_a_pod_has_the_name_of_its_workload(labels: dict[str, str], name: str) -> None:
    assert workload(pod("envoy", labels)) == name


def test_a_workload_is_there_once_and_only_with_a_network_of_its_own() -> None:
    first = pod("envoy", {"pod-template-hash": "5d4f"}, "10.244.0.9")
    ended = {**pod("job", {}), "status": {"phase": "Succeeded"}}
    found = parties([first, first, ended, pod("proxy", {}, "172.18.0.2", hostNetwork=True)], places(SCANNED))
    assert {name: (party.end.address, party.place) for name, party in found.items()} == {
        "here/envoy": ("10.244.0.9", IRIS)
    }


def test_ports_that_the_same_pods_reach_share_a_row() -> None:
    model = Party("model", End("10.1.0.9"))
    aims = [*targets(model, (8081, 8080, 9090)), Target(model, "UDP", 53)]
    opened = {("envoy", aims[0]), ("envoy", aims[2]), ("job", aims[2])}
    cells = {(source, aim): (source, aim) in opened for source in ("envoy", "job") for aim in aims}
    assert table(cells, ["envoy", "job"], aims) == [
        ("model", "8080", "envoy"),
        ("model", "8081, 53/UDP", "none"),
        ("model", "9090", "envoy, job"),
    ]


def test_the_table_of_the_documentation() -> None:
    written = list_table("Standard mode", [("model", "8080", "envoy")])
    assert written.splitlines()[4:] == [
        "   * - To", "     - Ports", "     - From",
        "   * - model", "     - 8080", "     - envoy",
    ]  # fmt: skip
