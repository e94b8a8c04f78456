# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pods of models are made of: pure functions over objects as the API server returns them.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]

# pkg/constants/constants.go of KServe v0.20.0
SERVICE = "serving.kserve.io/inferenceservice"
VERSION = "kserve.hashfoundry.io/version"


def serving_versions(objects: Iterable[Json]) -> dict[str, list[str]]:
    """Return the versions of each model that InferenceServices ask for or pods serve, in order.

    A pod of before a roll-out, or of a Knative revision that gets part of the requests, serves another version than its
    InferenceService asks for.
    """
    found: dict[str, set[str]] = {}
    for thing in objects:
        metadata = thing["metadata"]
        labels: Json = metadata.get("labels") or {}
        name = metadata["name"] if thing["kind"] == "InferenceService" else labels.get(SERVICE)
        if name and VERSION in labels:
            found.setdefault(name, set()).add(labels[VERSION])
    return {name: sorted(found[name]) for name in sorted(found)}
