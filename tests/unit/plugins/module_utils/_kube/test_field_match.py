# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live object may have more than is asked for, in another form, and never less."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.field_match import first_unmatched, holds

IMAGE, SIDECAR = {"name": "a", "image": "x"}, {"name": "proxy", "image": "y"}


@pytest.mark.parametrize(
    ("wanted", "actual", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, {"limits": {"cpu": 1, "memory": "1024Mi"}}, True),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1100m"}}, False),
        # A string that only looks like a quantity.
        ({"version": "1"}, {"version": "1.0"}, False),
        ({"containers": [IMAGE]}, {"containers": [SIDECAR, {**IMAGE, "tty": True}]}, True),
        ({"containers": [IMAGE, SIDECAR]}, {"containers": [IMAGE]}, False),
        ({"containers": [IMAGE]}, {"containers": [{**IMAGE, "image": "z"}]}, False),
        ({"args": ["-a", "-b"]}, {"args": ["-a", "-b"]}, True),
        ({"args": ["-a"]}, {"args": ["-a", "-b"]}, False),
        ({"args": ["-a"]}, {"args": "-a"}, False),
        # What is empty, the API server drops, unless it means something else than no value.
        ({"labels": {}, "args": [], "paused": False}, {}, True),
        ({"runAsNonRoot": False}, {}, False),
        ({"minReplicas": 0}, {}, False),
        ({"minReplicas": 0}, {"minReplicas": 0}, True),
        ({"minReplicas": 0}, {"minReplicas": 1}, False),
        ({"canaryTrafficPercent": 0}, {}, False),
        ({"labels": {"a": "b"}}, {}, False),
        ({"labels": {"a": "b"}}, {"labels": "a"}, False),
        ({"value": "{{.Name}}"}, {"value": "iris"}, True),
        ({"value": "{{.Name}}"}, {}, False),
    ],
)
def test_what_is_asked_for_is_there(wanted: Any, actual: Any, same: bool) -> None:
    assert holds(wanted, actual) is same


def test_only_the_fields_that_are_named_are_compared() -> None:
    assert first_unmatched({"a": 1, "b": 1, "c": 1}, {"a": 1}, ("a", "c", "b")) == "c"
    assert first_unmatched({"a": 1, "b": 1}, {"a": 1}, ("a", "c")) is None
