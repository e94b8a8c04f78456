# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each error has a reason code: that of its class, its own, or that of the error whose result it contains."""

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import AnswerTimeout, ApiError


def test_the_reason_is_in_the_result() -> None:
    error = KServeError("There is no namespace x.", reason="NamespaceNotFound", namespace="x")
    assert (str(error), error.reason) == ("There is no namespace x.", "NamespaceNotFound")
    assert error.result == {"reason": "NamespaceNotFound", "namespace": "x"}


def test_a_class_may_have_a_reason() -> None:
    assert AnswerTimeout("It is late.").reason == "APIServerTimeout"
    assert KServeError("It is wrong.").reason == "Failed"


def test_the_reason_is_passed_on_with_the_result() -> None:
    assert KServeError("x: It is late.", **AnswerTimeout("It is late.").result).reason == "APIServerTimeout"


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound"), (500, "APIServerRejected")]
)
def test_the_api_servers_status_decides(status: int, reason: str) -> None:
    assert ApiError("It is refused.", status).reason == reason
