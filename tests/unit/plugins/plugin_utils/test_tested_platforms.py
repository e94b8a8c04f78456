# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _tested_platforms

ROWS = [{"python": "3.9"}, {"python": "3.13"}, {"python": "3.11"}]


@pytest.mark.parametrize("python", [(3, 9), (3, 11), (3, 12), (3, 13)])
def test_a_tested_python_is_not_reported(python: tuple[int, int]) -> None:
    assert _tested_platforms.untested_python(python, ROWS) == ""


@pytest.mark.parametrize(("python", "shown"), [((3, 8), "3.8"), ((3, 14), "3.14"), ((4, 0), "4.0")])
def test_an_older_and_a_newer_python_are_named_with_the_tested_ones(python: tuple[int, int], shown: str) -> None:
    message = _tested_platforms.untested_python(python, ROWS)
    assert f"Python {shown} here" in message
    assert "3.9 to 3.13" in message


def test_the_collections_table_names_the_tested_versions() -> None:
    assert _tested_platforms.untested_python((3, 11)) == ""
    assert _tested_platforms.untested_python((3, 99)) != ""
