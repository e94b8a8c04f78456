# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model without requests scales to zero, and a request scales it up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.helpers import wait_until

NAME = "iris-classifier"
PODS = ("pods", "-n", "ml-models", "-l", f"serving.kserve.io/inferenceservice={NAME}")
# The autoscaler's stable window of 60 s, and the time in which the pod terminates after it.
ZERO_SECONDS = 240


def test_a_request_scales_a_model_from_zero(
    ask: Callable[..., tuple[int, Any]],
    thing: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ask(NAME, timeout=120)[0] == 200
    wait_until(lambda: len(thing(*PODS)["items"]), lambda count: count == 0, ZERO_SECONDS)
    begin = time.monotonic()
    status, body = ask(NAME, timeout=120)
    cold = time.monotonic() - begin
    assert (status, body) == (200, {"predictions": [0, 2]})
    begin = time.monotonic()
    assert ask(NAME)[0] == 200
    warm = time.monotonic() - begin
    with capsys.disabled():
        print(f"\ncold start of {NAME}: {cold:.1f} s to the first prediction, {1000 * warm:.0f} ms to the next")
    (pod,) = thing(*PODS)["items"]
    assert {container["name"] for container in pod["spec"]["containers"]} == {"kserve-container", "queue-proxy"}
