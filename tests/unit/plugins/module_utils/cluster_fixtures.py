# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of a cluster from the YAML files in fixtures/."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.readiness import Objects

FIXTURES = Path(__file__).parent / "fixtures"
FIELDS = {"Deployment": "deployments", "ReplicaSet": "replica_sets", "Pod": "pods", "HTTPRoute": "routes"}


def load(name: str) -> Any:
    """Return the content of a fixture."""
    return yaml.safe_load((FIXTURES / f"{name}.yaml").read_text(encoding="utf-8"))


def items(base: str, changes: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the base's objects with changes made to them by kind and name; every change must hit an object."""
    things = {f"{thing['kind']}/{thing['metadata']['name']}": thing for thing in load(base)["items"]}
    for key, patch in (changes or {}).items():
        things[key] = _merged(things[key], patch)
    return [thing for thing in things.values() if thing is not None]


def objects(base: str, changes: dict[str, Any] | None = None) -> Objects:
    """Return the same as the verdict takes them."""
    things = items(base, changes)
    service = [thing for thing in things if thing["kind"] == "InferenceService"]
    parts = {field: [t for t in things if t["kind"] == kind] for kind, field in FIELDS.items()}
    return Objects(service=service[0] if service else None, **parts)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        result[key] = _merged(result.get(key), value)
        if value is None:
            del result[key]
    return result
