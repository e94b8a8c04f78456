# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether Gateways serve an HTTPRoute.

Field shapes: Gateway API v1, HTTPRoute. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .verdict import Verdict, degraded, progressing

Json = Mapping[str, Any]


def route_problem(route: Json) -> Verdict | None:
    """Return why a route is not served by every Gateway that it names, or None."""
    name, generation = route["metadata"]["name"], route["metadata"].get("generation")
    for reference in route["spec"].get("parentRefs") or [None]:
        # Controllers leave entries of parents that the route no longer has, and of a controller that was there before.
        entries = [entry for entry in route.get("status", {}).get("parents") or () if _is_of(entry, reference, route)]
        if not entries:
            return progressing(
                "RouteNotAccepted", f"No gateway has accepted HTTPRoute {name}; check that its Gateway exists."
            )
        for entry in [entry for entry in entries if _has_observed(entry, generation)] or entries:
            if verdict := _parent(name, generation, entry):
                return verdict
    return None


def _is_of(entry: Json, reference: Json | None, route: Json) -> bool:
    """Say whether an entry of a route's status is about a parent of its spec; both may leave out defaults."""
    default = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": route["metadata"].get("namespace")}
    return reference is not None and {**default, **entry.get("parentRef", {})} == {**default, **reference}


def _has_observed(entry: Json, generation: int | None) -> bool:
    return any(condition.get("observedGeneration") == generation for condition in entry.get("conditions") or ())


def _parent(name: str, generation: int | None, entry: Json) -> Verdict | None:
    for kind, todo in (("Accepted", "check the Gateway's listeners"), ("ResolvedRefs", "check its backends")):
        condition: Json = next((one for one in entry.get("conditions") or () if one["type"] == kind), {})
        if condition.get("observedGeneration") != generation:
            return progressing(
                "RouteNotObserved", f"The gateway has not observed the current generation of HTTPRoute {name}."
            )
        if condition.get("status") != "True":
            message = short(condition.get("message")).rstrip(".")
            return degraded(f"RouteNot{kind}", f"The gateway does not serve HTTPRoute {name}: {message}; {todo}.")
    return None
