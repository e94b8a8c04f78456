# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are on or off take the same values."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import settings
from local.errors import LocalError

DEFAULTS = {"HASHFOUNDRY_AUDIT": False, "HASHFOUNDRY_MONITORING": False, "HASHFOUNDRY_NETWORK_POLICIES": True}
VALUES = {"true": True, "True": True, "1": True, "false": False, "FALSE": False, "0": False}


def found(name: str, value: str, state: Path) -> bool:
    loaded = settings.load({"HOME": "/home/me", "HASHFOUNDRY_STATE": str(state), name: value})
    field = name.removeprefix("HASHFOUNDRY_").lower()
    switch: bool = getattr(loaded, field)
    return switch


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize(("value", "wanted"), VALUES.items())
def test_a_switch_is_true_or_false(name: str, value: str, wanted: bool, tmp_path: Path) -> None:
    assert found(name, value, tmp_path) is wanted


@pytest.mark.parametrize(("name", "wanted"), DEFAULTS.items())
def test_an_empty_switch_has_its_default(name: str, wanted: bool, tmp_path: Path) -> None:
    assert found(name, "", tmp_path) is wanted


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("value", ["no", "2", "kube-router"])
def test_another_value_is_rejected(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=f"{name}={value} is not supported: set it to true or false"):
        found(name, value, tmp_path)
