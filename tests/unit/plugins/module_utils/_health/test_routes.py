# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPRoutes that are applied, by the verdict for which an apply waits; those of a model are in test_readiness.py."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.workloads import readiness_problem

GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "projectcontour", "name": "models"}


def problem(*parents: dict[str, Any]) -> str | None:
    route = {
        "metadata": {"name": "iris.public", "namespace": "models", "generation": 2},
        "spec": {"parentRefs": [GATEWAY]},
        "status": {"parents": list(parents)},
    }
    verdict = readiness_problem("gateway.networking.k8s.io", "HTTPRoute", route)
    assert verdict is None or (verdict.state != "failed" and "HTTPRoute iris.public" in verdict.message)
    return verdict.reason if verdict else None


def parent(generation: int = 2, gateway: str = "models", **conditions: str) -> dict[str, Any]:
    entries = [
        {"type": kind, "status": status, "observedGeneration": generation, "message": "so"}
        for kind, status in conditions.items()
    ]
    return {"parentRef": {**GATEWAY, "name": gateway}, "conditions": entries}


@pytest.mark.parametrize(
    ("parents", "reason"),
    [
        ([], "RouteNotAccepted"),
        ([parent(gateway="other", Accepted="True", ResolvedRefs="True")], "RouteNotAccepted"),
        ([parent(Accepted="False", ResolvedRefs="True")], "RouteNotAccepted"),
        ([parent(Accepted="True")], "RouteNotObserved"),
        ([parent(generation=1, Accepted="True", ResolvedRefs="True")], "RouteNotObserved"),
        # Without a backend the gateway answers with 500.
        ([parent(Accepted="True", ResolvedRefs="False")], "RouteNotResolvedRefs"),
        ([parent(Accepted="True", ResolvedRefs="True")], None),
    ],
)
def test_a_route_is_ready_when_its_gateway_serves_the_current_generation(
    parents: list[dict[str, Any]], reason: str | None
) -> None:
    assert problem(*parents) == reason
