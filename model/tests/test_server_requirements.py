# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pickle is loaded by the versions it was written by: training and serving must hold the same."""

from __future__ import annotations

import re
from importlib import metadata as installed
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "server/requirements.txt"


@pytest.mark.parametrize("name", ["scikit-learn", "numpy", "scipy", "joblib"])
def test_serving_holds_the_version_that_trains(name: str) -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    assert pins[name] == installed.version(name)
