# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import Answer, Unanswered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._smoke_test import Check, NotServed, smoke_test

CHECK = Check("iris", "v1", [[1, 2], [3, 4]], [0, 2], requests=3, retry_for=60)


def ok(*predictions: Any) -> Answer:
    return Answer(200, json.dumps({"predictions": predictions}).encode())


AWAY = Unanswered("The server cannot be reached (Connection refused).", retry=True)


class World:
    """A server that answers in a fixed order, the last one for ever, and a clock that it moves by 10 ms a request."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers: Sequence[Answer | Exception] = answers
        self.sent: list[tuple[str, bytes]] = []
        self.pauses: list[float] = []
        self.now = 50.0

    def post(self, path: str, body: bytes) -> Answer:
        answer = self.answers[min(len(self.sent), len(self.answers) - 1)]
        self.sent.append((path, body))
        self.now += 0.01
        if isinstance(answer, Exception):
            raise answer
        return answer

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def run(self, check: Check = CHECK) -> dict[str, Any]:
        return smoke_test(self, check, self.clock, self.sleep)


def test_predictions_are_compared_and_measured() -> None:
    world = World(ok(0, 2))
    result = world.run()
    assert (result["predictions"], result["attempts"]) == ([0, 2], 1)
    assert (result["latency_ms"]["count"], result["latency_ms"]["p95"]) == (3, 10.0)
    assert len(world.sent) == 4 and len(set(world.sent)) == 1
    assert world.sent[0][0] == "/v1/models/iris:predict"
    assert world.pauses == []


@pytest.mark.parametrize(
    "first", [AWAY, Answer(404, b""), Answer(502, b""), Answer(503, b"no healthy upstream"), Answer(504, b"")]
)
def test_what_is_not_there_yet_is_asked_again_with_growing_pauses(first: Answer | Exception) -> None:
    world = World(first, first, first, first, first, first, ok(0, 2))
    assert world.run()["attempts"] == 7
    assert world.pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (AWAY, "cannot be reached"),
        (Answer(503, b"no healthy upstream"), r"answered 503 \(no healthy upstream\); check that the model is ready"),
        (Answer(404, b""), "answered 404; check model_name, and that a route leads"),
    ],
)
def test_retries_end_with_the_time_for_them(answer: Answer | Exception, says: str) -> None:
    world = World(answer)
    with pytest.raises(NotServed, match=says) as caught:
        world.run()
    assert sum(world.pauses) == pytest.approx(60, abs=0.5)
    assert caught.value.result == {"attempts": len(world.sent)}


def test_no_time_for_retries_means_one_attempt() -> None:
    world = World(AWAY)
    with pytest.raises(NotServed):
        world.run(replace(CHECK, retry_for=0))
    assert len(world.sent) == 1 and world.pauses == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (ok(0, 1), "Model iris predicts something else. Row 2 of 2 differs: expected 2, predicted 1"),
        (Answer(200, b"<html>"), "not one of protocol v1"),
        (Answer(401, b""), "answered 401; set token"),
        (Answer(400, b'{"error": "bad"}'), r'answered 400 \({"error": "bad"}\); see the logs'),
        (Answer(500, b"password=PLANTED"), r"answered 500 \(password=\*+\)"),
        (Answer(301, b""), "give the URL that it redirects to"),
        (Unanswered("The certificate is not accepted.", retry=False), "certificate"),
    ],
)
def test_what_is_wrong_is_not_asked_again(answer: Answer | Exception, says: str) -> None:
    world = World(answer)
    with pytest.raises(KServeError, match=says):
        world.run()
    assert len(world.sent) == 1 and world.pauses == []


@pytest.mark.parametrize(
    ("later", "says"),
    [
        (ok(0, 0), "Timed request 2 of 3 failed: Model iris predicts something else. Row 2"),
        (Answer(503, b""), "Timed request 2 of 3 failed: The server answered 503"),
        (AWAY, "Timed request 2 of 3 failed: The server cannot be reached"),
    ],
)
def test_every_timed_request_must_be_right(later: Answer | Exception, says: str) -> None:
    with pytest.raises(KServeError, match=says):
        World(ok(0, 2), ok(0, 2), later).run()


def test_a_failure_carries_the_predictions() -> None:
    with pytest.raises(KServeError) as caught:
        World(ok(1, 1)).run()
    assert caught.value.result == {"predictions": [1, 1]}


def test_expected_and_instances_must_match() -> None:
    with pytest.raises(KServeError, match="2 instances and 1 expected values"):
        World(ok(0)).run(replace(CHECK, expected=[0]))


def test_without_timed_requests() -> None:
    assert World(ok(0, 2)).run(replace(CHECK, requests=0))["latency_ms"]["count"] == 0
