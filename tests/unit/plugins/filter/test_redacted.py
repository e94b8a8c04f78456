# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter redacted."""

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.filter.redacted import FilterModule


@pytest.mark.parametrize(
    ("text", "shown"),
    [("one\nDB_PASS=PLANTED\ntwo", "one\nDB_PASS=********\ntwo"), ("plain", "plain"), ("", ""), (None, "")],
)
def test_what_looks_like_a_secret_is_masked(text: str | None, shown: str) -> None:
    assert FilterModule().filters()["redacted"](text) == shown
