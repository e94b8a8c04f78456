# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tolerance of predictions is that of the gate and of the model server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.codec import (
    Tolerance,
    first_difference,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate import sandbox

TASKS = Path(__file__).resolve().parents[3] / "roles" / "model_verification" / "tasks" / "smoke_test.yml"


def tolerance() -> Tolerance:
    """The tolerance that the role passes to inference_smoke_test."""
    (task,) = yaml.safe_load(TASKS.read_text())
    return Tolerance(**task["hashfoundry.kserve.inference_smoke_test"]["tolerance"])


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        (412.123456789, 412.123456788),
        (412.1, 412.11),
        (0.0, 1e-10),
        (0.0, 1e-6),
        ([0.25, 0.75], [0.2500000001, 0.7499999999]),
        ([0.25, 0.75], [0.26, 0.74]),
        (2, 2),
        (2, 1),
        ("setosa", "setosa"),
        ("setosa", "virginica"),
    ],
)
def test_predictions_are_compared_as_in_the_gate(wanted: Any, got: Any) -> None:
    assert (first_difference([wanted], [got], tolerance()) is None) is sandbox._agree([wanted], [got])
