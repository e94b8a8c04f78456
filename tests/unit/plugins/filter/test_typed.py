# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter typed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.filter.typed import typed


@pytest.mark.parametrize(
    ("value", "kind", "made"),
    [
        (["a"], "list", ["a"]),
        ('["a", "b"]', "list", ["a", "b"]),
        ("a,b", "list", ["a", "b"]),
        ("[]", "list", []),
        ("", "list", []),
        (None, "list", None),
        ({"a": 1}, "dict", {"a": 1}),
        ('{"a": 1}', "dict", {"a": 1}),
        ("a=b,c=d", "dict", {"a": "b", "c": "d"}),
        ("{}", "dict", {}),
        ("", "dict", {}),
    ],
)
def test_a_string_becomes_its_value(value: Any, kind: str, made: Any) -> None:
    assert typed(value, kind) == made


@pytest.mark.parametrize(("value", "kind"), [("[a", "list"), ("{a", "dict"), ("many", "dict"), ("a", "set")])
def test_an_invalid_string_is_rejected(value: str, kind: str) -> None:
    with pytest.raises(AnsibleFilterError):
        typed(value, kind)
