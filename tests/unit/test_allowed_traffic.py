# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the integration tests evaluate NetworkPolicies and a connection table."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.allowed_traffic import NAME_LABEL, Connection, End, connections, denials, pods

MODEL = End("10.244.0.9", "models", "iris", {"app": "iris"})
BESIDE = End("10.244.0.8", "models", "other", {"app": "other"})
ENVOY = End("10.244.0.6", "gateway", "envoy", {"app": "envoy"})
OUTSIDE = End("203.0.113.7")


def policy(selector: dict[str, Any], types: list[str], **rules: Any) -> dict[str, Any]:
    metadata = {"name": "x", "namespace": "models"}
    return {"metadata": metadata, "spec": {"podSelector": selector, "policyTypes": types, **rules}}


def selector(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


DENY = policy({}, ["Ingress", "Egress"])
PORTS = [{"protocol": "TCP", "port": 8080}]


def open_to(*peers: dict[str, Any]) -> dict[str, Any]:
    rule = {"from": list(peers), "ports": PORTS} if peers else {"ports": PORTS}
    return policy({"matchLabels": {"app": "iris"}}, ["Ingress"], ingress=[rule])


def named(*names: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": NAME_LABEL, "operator": "In", "values": list(names)}]}


GATEWAY = {"namespaceSelector": named("gateway"), "podSelector": {}}


@pytest.mark.parametrize(
    ("policies", "source", "target", "port", "refused"),
    [
        ([], ENVOY, MODEL, 8080, []),
        ([DENY], ENVOY, MODEL, 8080, ["Ingress"]),
        ([DENY], MODEL, ENVOY, 8080, ["Egress"]),
        ([DENY], MODEL, BESIDE, 8080, ["Egress", "Ingress"]),
        ([DENY, open_to(GATEWAY)], ENVOY, MODEL, 8080, []),
        ([DENY, open_to(GATEWAY)], ENVOY, MODEL, 8081, ["Ingress"]),
        ([DENY, open_to(GATEWAY)], ENVOY, BESIDE, 8080, ["Ingress"]),
        ([DENY, open_to(GATEWAY)], OUTSIDE, MODEL, 8080, ["Ingress"]),
        ([DENY, open_to()], OUTSIDE, MODEL, 8080, []),
        ([DENY, open_to({"podSelector": {}})], ENVOY, MODEL, 8080, ["Ingress"]),  # in the namespace of the policy
        ([open_to({"podSelector": {"matchLabels": {"app": "other"}}})], BESIDE, MODEL, 8080, []),
        ([open_to({"ipBlock": {"cidr": "203.0.113.0/24"}})], OUTSIDE, MODEL, 8080, []),
        (
            [open_to({"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.7/32"]}})],
            OUTSIDE,
            MODEL,
            8080,
            ["Ingress"],
        ),
        (
            [policy({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, ["Egress"])],
            MODEL,
            OUTSIDE,
            443,
            ["Egress"],
        ),
        ([policy({"matchExpressions": [{"key": "no", "operator": "Exists"}]}, ["Egress"])], MODEL, OUTSIDE, 443, []),
        ([policy(selector("DoesNotExist", "no"), ["Egress"])], MODEL, OUTSIDE, 443, ["Egress"]),
        ([policy(selector("DoesNotExist", "app"), ["Egress"])], MODEL, OUTSIDE, 443, []),
        ([policy(selector("In", "app", "iris"), ["Egress"])], MODEL, OUTSIDE, 443, ["Egress"]),
        ([policy(selector("NotIn", "app", "iris"), ["Egress"])], MODEL, OUTSIDE, 443, []),
        ([policy(selector("NotIn", "no", "iris"), ["Egress"])], MODEL, OUTSIDE, 443, ["Egress"]),
    ],
)
def test_policies_are_additive(
    policies: list[dict[str, Any]], source: End, target: End, port: int, refused: list[str]
) -> None:
    assert list(denials(Connection(source, target, "TCP", port), policies)) == refused


def test_a_connection_is_resolved_behind_its_service() -> None:
    running = {"namespace": "models", "name": "iris", "labels": {"app": "iris"}}
    listed = [
        {"metadata": running, "spec": {}, "status": {"podIP": "10.244.0.9", "phase": "Running"}},
        {"metadata": running, "spec": {"hostNetwork": True}, "status": {"podIP": "172.17.0.2", "phase": "Running"}},
        {"metadata": running, "spec": {}, "status": {"podIP": "10.244.0.6", "phase": "Succeeded"}},
    ]
    known = pods(listed)
    assert known == {"10.244.0.9": MODEL}
    table = (
        "tcp      6 86398 ESTABLISHED src=10.244.0.9 dst=10.96.0.1 sport=35204 dport=443 "
        "src=172.17.0.4 dst=10.244.0.9 sport=6443 dport=35204 [ASSURED] mark=0 use=1\n"
        "udp      17 20 src=10.244.0.9 dst=10.96.0.10 sport=33411 dport=53 [UNREPLIED] "
        "src=10.244.0.4 dst=10.244.0.9 sport=53 dport=33411 mark=0 use=1\n"
        "icmp     1 29 src=10.244.0.9 dst=10.244.0.4 type=8 code=0 id=1 src=10.244.0.4 dst=10.244.0.9 type=0\n"
    )
    assert connections(table, known) == {
        Connection(MODEL, End("172.17.0.4"), "TCP", 6443),
        Connection(MODEL, End("10.244.0.4"), "UDP", 53),
    }
