# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTPRoutes that KServe creates for an InferenceService, and whether they are those of its spec.

Field shapes: Gateway API v1, HTTPRoute. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def unmatched_timeout(spec: Json, routes: Sequence[Json]) -> str | None:
    """Return the field when a route of the component has another timeout than its spec states, or None.

    Operators can have routes without (disableHTTPRouteTimeout), so one that has none is accepted.
    """
    timeouts = [rule.get("timeouts") or {} for route in routes for rule in route.get("spec", {}).get("rules") or ()]
    found = {timeout["request"] for timeout in timeouts if "request" in timeout}
    return "timeout" if spec.get("timeout") is not None and found - {f"{spec['timeout']}s"} else None


def created_by_kserve(service: Json | None, routes: Sequence[Json]) -> list[str]:
    """Return the names of those routes whose controller is the InferenceService; others may have it as an owner."""
    uid = service["metadata"]["uid"] if service else None
    return sorted(
        route["metadata"]["name"]
        for route in routes
        if any(
            owner["uid"] == uid and owner.get("controller") for owner in route["metadata"].get("ownerReferences", ())
        )
    )
