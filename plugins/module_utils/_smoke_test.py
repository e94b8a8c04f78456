# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking a served model for predictions that are known, and how long it takes.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _prediction
from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import Answer, Transport, Unanswered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import short

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds
# A gateway answers these for a route or a backend that is not there yet.
NOT_YET = (404, 502, 503, 504)

_TODO = {
    401: "set token",
    403: "set a token with the right to predict",
    404: "check model_name, and that a route leads from this host to the model",
    503: "check that the model is ready and that its route has a backend",
}


@dataclass(frozen=True)
class Check:
    """What to ask and to expect; requests: how many more times, to measure; retry_for: seconds."""

    model_name: str
    protocol: str
    instances: Sequence[Any]
    expected: Sequence[Any]
    requests: int
    retry_for: float


class NotServed(KServeError):
    """Nothing has answered with a prediction, which in check mode is as expected before the first run."""


def run(transport: Transport, check: Check, check_mode: bool) -> dict[str, Any]:
    """Run the smoke test and return the module's result; in check mode nothing is waited for or missed.

    :raises KServeError: see smoke_test.
    """
    try:
        result = smoke_test(transport, replace(check, retry_for=0) if check_mode else check)
    except NotServed as error:
        if not check_mode:
            raise
        result = {"skipped": True, "msg": f"{error} In check mode this is no failure.", **error.result}
    return {"changed": False, "protocol": check.protocol, **result}


def smoke_test(
    transport: Transport,
    check: Check,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Return predictions, attempts and latency_ms once the first answer and all that follow are as expected.

    Only the absence of an answer is retried: a wrong one is a failure at once.

    :param clock: seconds of a monotonic clock.
    :raises NotServed: there is no answer from the model.
    :raises KServeError: a prediction differs, or the answer is an error.
    """
    if len(check.expected) != len(check.instances):
        raise KServeError(
            f"There are {len(check.instances)} instances and {len(check.expected)} expected values; give one for each."
        )
    path, body = _prediction.path(check.protocol, check.model_name), _prediction.encode(check.protocol, check.instances)
    answer, attempts = _first(transport, path, body, check.retry_for, clock, sleep)
    predictions = _checked(check, answer)

    seconds = []
    for number in range(1, check.requests + 1):
        start = clock()
        try:
            answer = transport.post(path, body)
            seconds.append(clock() - start)
            _checked(check, _accepted(answer))
        except KServeError as error:
            raise KServeError(f"Timed request {number} of {check.requests} failed: {error}", **error.result) from None
    return {"predictions": predictions, "attempts": attempts, "latency_ms": _prediction.latencies(seconds)}


def _first(
    transport: Transport,
    path: str,
    body: bytes,
    retry_for: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[Answer, int]:
    deadline, pause, attempts = clock() + retry_for, FIRST_PAUSE, 0
    while True:
        attempts += 1
        try:
            answer = transport.post(path, body)
            if answer.status not in NOT_YET:
                return _accepted(answer), attempts
            failure = _refusal(answer)
        except Unanswered as error:
            if not error.retry:
                raise
            failure = error
        left = deadline - clock()
        if left <= 0:
            raise NotServed(str(failure), attempts=attempts)
        sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE)


def _accepted(answer: Answer) -> Answer:
    if answer.status != 200:
        raise _refusal(answer)
    return answer


def _refusal(answer: Answer) -> KServeError:
    said = short(answer.body.decode("utf-8", errors="replace"))
    if 300 <= answer.status < 400:
        todo = "give the URL that it redirects to"
    else:
        todo = _TODO.get(answer.status, "see the logs of the model server")
    return KServeError(f"The server answered {answer.status}{f' ({said})' if said else ''}; {todo}.")


def _checked(check: Check, answer: Answer) -> list[Any]:
    predictions = _prediction.decode(check.protocol, answer.body, len(check.instances))
    if sentence := _prediction.difference(check.expected, predictions):
        raise KServeError(f"Model {check.model_name} predicts something else. {sentence}", predictions=predictions)
    return predictions
