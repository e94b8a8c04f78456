# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.limits import (
    derived_label,
    length_fault,
)


@pytest.mark.parametrize(
    ("mode", "component", "canary", "most"),
    [
        ("Standard", "predictor", "", 48),
        ("Standard", "predictor", "c", 46),  # 47 together
        ("Standard", "predictor", "candidate", 38),
        ("Standard", "transformer", "", 46),
        ("Knative", "predictor", "", 53),
        ("Knative", "transformer", "", 51),
    ],
)
def test_the_longest_name_fills_the_derived_label(mode: str, component: str, canary: str, most: int) -> None:
    assert len(derived_label("i" * most, mode, component, canary)[1]) == 63
    assert length_fault("i" * most, mode, component, canary) is None
    assert length_fault("i" * (most + 1), mode, component, canary)


def test_a_fault_says_what_sets_the_limit() -> None:
    assert length_fault("i" * 40, "Standard", canary="candidate") == (
        "name and the canary's name together have 49 characters, and 47 are the most in Standard mode, since KServe "
        "sets the label app: isvc.<name>-<canary>-predictor, and the value of a label has at most 63 characters"
    )
