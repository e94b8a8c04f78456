# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Training and the model server have the same versions, because a pickle may load only with those that wrote it."""

from __future__ import annotations

import re
from importlib import metadata as installed
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "server/requirements.txt"


@pytest.mark.parametrize("name", ["scikit-learn", "numpy", "scipy", "joblib"])
def test_the_model_server_has_the_version_of_the_training(name: str) -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    assert pins[name] == installed.version(name)
