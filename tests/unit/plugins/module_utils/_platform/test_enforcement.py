# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff, Retry
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.enforcement import (
    Enforcement,
    enforcement,
    verdict,
    warning,
)

NO_WAIT = Retry(0, Backoff(0.25, 1), lambda: 0.0, lambda _seconds: pytest.fail("it waits"))


def job(*conditions: tuple[str, str, str]) -> dict[str, Any]:
    entries = [{"type": kind, "status": status, "reason": reason} for kind, status, reason in conditions]
    return {"status": {"conditions": entries}}


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        ({}, "pending"),
        ({"status": {"active": 1}}, "pending"),
        (job(("Suspended", "False", "JobResumed")), "pending"),
        # Kubernetes 1.31 and newer set it while pods still end.
        (job(("FailureTarget", "True", "PodFailurePolicy")), "pending"),
        (job(("SuccessCriteriaMet", "True", "CompletionsReached"), ("Complete", "True", "")), "enforced"),
        (job(("FailureTarget", "True", "PodFailurePolicy"), ("Failed", "True", "PodFailurePolicy")), "not_enforced"),
        # The image cannot be pulled, no node has room, or the program has another error.
        (job(("Failed", "True", "DeadlineExceeded")), "unknown"),
        (job(("Failed", "True", "BackoffLimitExceeded")), "unknown"),
    ],
)
def test_a_verdict_is_certain_or_unknown(thing: dict[str, Any], says: str) -> None:
    assert verdict(thing).value == says


class Api:
    """An API server with one Job, or an error."""

    def __init__(self, answer: dict[str, Any] | ApiError) -> None:
        self.answer = answer
        self.paths: list[str] = []

    def get(self, path: str) -> Any:
        self.paths.append(path)
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer


def test_the_job_is_read_by_its_name() -> None:
    api = Api(job(("Complete", "True", "")))
    assert enforcement(api, "kserve/probe", NO_WAIT) is Enforcement.ENFORCED
    assert api.paths == ["/apis/batch/v1/namespaces/kserve/jobs/probe"]


@pytest.mark.parametrize(("seconds", "says"), [(0, "pending"), (3, "pending"), (60, "enforced")])
def test_a_running_job_is_waited_for(seconds: float, says: str) -> None:
    now = 100.0
    api = Api({})

    def sleep(pause: float) -> None:
        nonlocal now
        now += pause
        if now > 104:
            api.answer = job(("Complete", "True", ""))

    found = enforcement(api, "kserve/probe", Retry(100 + seconds, Backoff(0.25, 1), lambda: now, sleep))
    assert found is not None and found.value == says
    assert now <= 100 + seconds


def test_a_missing_job_says_nothing_and_another_error_is_raised() -> None:
    assert enforcement(Api(ApiError("jobs not found", 404)), "kserve/probe", NO_WAIT) is None
    with pytest.raises(ApiError, match="forbidden"):
        enforcement(Api(ApiError("jobs is forbidden", 403)), "kserve/probe", NO_WAIT)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Enforcement.NOT_ENFORCED, "(NetworkPoliciesNotEnforced)."),
        (Enforcement.UNKNOWN, "(NetworkPoliciesNotTested)."),
        (Enforcement.ENFORCED, ""),
        (Enforcement.PENDING, "(NetworkPoliciesNotTested)."),
        (None, ""),
    ],
)
def test_only_what_a_user_must_know_is_a_warning(found: Enforcement | None, reason: str) -> None:
    text = warning(found, "kserve/probe")
    assert text.endswith(reason) and ("run this playbook again" in text) == bool(reason)
