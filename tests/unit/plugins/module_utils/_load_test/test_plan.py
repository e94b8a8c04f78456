# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import Answer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Effort, Unanswered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.plan import (
    MAX_CONNECTIONS,
    Plan,
    PlannedLoad,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.result import (
    client_bottleneck,
    figures,
    missed_thresholds,
    rate_not_reached,
)

from ..load_fixtures import World

OK = Answer(200, b"[0]")
GONE = Unanswered("It cannot be reached (Connection refused).", retry=True)
BODIES = [b"0", b"1"]


def right(_body: int, _answer: Answer) -> None:
    """Accept every response."""


def carried_out(world: World, plan: Plan, **options: Any) -> PlannedLoad:
    load = PlannedLoad(plan, len(BODIES), options.pop("check_answer", right), **options)
    world.measure(load, "/p", BODIES)
    return load


def measured(world: World, plan: Plan, **options: Any) -> dict[str, Any]:
    return figures(plan, carried_out(world, plan, **options), world.effort)


def stall(_number: int, now: float) -> float:
    """A server that answers within 1 ms, but stalls for the first 200 ms of each second."""
    return 0.001 + max(0.0, 0.2 - now % 1)


def test_a_closed_load_sends_one_request_after_another() -> None:
    world = World(OK)
    found = measured(world, Plan(5))
    assert [body for _method, _path, body in world.sent] == [b"0", b"1", b"0", b"1", b"0"]
    assert (world.most, world.now) == (1, pytest.approx(50.05))
    assert found["latency_ms"]["p50"] == pytest.approx(10)
    load = found["load"]
    assert (load["model"], load["requests"], load["errors"], load["error_rate"]) == ("closed", 5, 0, 0.0)
    assert (load["throughput"], load["concurrency"], load["rate"]) == (pytest.approx(100), 1, None)
    assert "behind_ms" not in load


@pytest.mark.parametrize(("requests", "most"), [(10, 4), (4, 4), (2, 2), (0, 0)])
def test_a_closed_load_keeps_its_concurrency(requests: int, most: int) -> None:
    world = World(OK)
    load = carried_out(world, Plan(requests, concurrency=4))
    assert (len(world.sent), world.most, load.connections) == (requests, most, most)


def test_an_open_load_without_requests_ends() -> None:
    assert carried_out(World(OK), Plan(0, rate=10)).sent == 0


def test_a_closed_load_ends_with_its_time() -> None:
    world = World(OK)
    found = measured(world, Plan(3, seconds=1, concurrency=2))
    assert len(world.sent) == pytest.approx(200, abs=2)
    assert found["load"]["throughput"] == pytest.approx(200, abs=2)


def test_an_open_load_sends_on_schedule_whatever_the_server_does() -> None:
    times: list[float] = []

    def takes(_number: int, now: float) -> float:
        times.append(now)
        return 0.35

    world = World(OK, takes=takes)
    found = measured(world, Plan(10, rate=10))
    assert times == pytest.approx([50 + number / 10 for number in range(10)])
    assert world.most == 4
    assert found["latency_ms"]["p50"] == pytest.approx(350)
    assert found["load"]["behind_ms"] == {"p50": 0.0, "p99": 0.0, "max": 0.0}
    assert (found["load"]["model"], found["load"]["concurrency"]) == ("open", MAX_CONNECTIONS)


def test_an_open_load_of_a_time_has_its_number_of_requests() -> None:
    found = measured(World(OK), Plan(3, seconds=2, rate=50))
    assert (found["load"]["requests"], found["load"]["throughput"]) == (100, pytest.approx(50, rel=0.01))


def test_the_last_request_has_its_share_of_the_time() -> None:
    assert measured(World(OK), Plan(2, rate=1))["load"]["throughput"] == pytest.approx(1)


def test_a_stall_shows_in_an_open_load_but_not_in_a_closed_one() -> None:
    closed = measured(World(OK, takes=stall), Plan(0, seconds=4))["latency_ms"]
    opened = measured(World(OK, takes=stall), Plan(0, seconds=4, rate=100))["latency_ms"]
    assert closed["p50"] == pytest.approx(1) and closed["p99"] == pytest.approx(1)
    assert opened["p50"] == pytest.approx(1)
    # A fifth of all requests were due in a stall.
    assert opened["p99"] > 190 and opened["p95"] == pytest.approx(150, abs=15)


def test_the_wait_for_a_connection_counts() -> None:
    """One connection, 20 ms a request and 100 requests a second: each is 10 ms later than the one before."""
    world = World(OK, takes=lambda _number, _now: 0.02)
    found = measured(world, Plan(10, rate=100, concurrency=1))
    assert world.most == 1
    assert found["latency_ms"]["min"] == pytest.approx(20) and found["latency_ms"]["max"] == pytest.approx(110)
    assert found["load"]["behind_ms"]["max"] == 0


def test_the_clients_delay_is_part_of_the_latency_and_reported() -> None:
    plan = Plan(100, rate=100)
    found = measured(World(OK, late=0.003), plan)
    assert found["latency_ms"]["p50"] == pytest.approx(13)
    assert found["load"]["behind_ms"]["p99"] == pytest.approx(3)
    assert "itself up to 3 ms late (p99)" in (client_bottleneck(plan, found) or "")
    assert client_bottleneck(plan, measured(World(OK, late=0.0005), plan)) is None
    # A tenth of a slow model's latency is not reported.
    assert client_bottleneck(plan, measured(World(OK, takes=lambda *_: 0.1, late=0.003), plan)) is None


@pytest.mark.parametrize(
    ("cpu", "waited", "takes", "reached"),
    [(0.97, 0.0, 1.0, False), (0.1, 0.87, 1.0, False), (0.5, 0.1, 1.0, True), (0.97, 0.0, 0.001, True)],
)
def test_a_rate_that_the_client_does_not_reach(cpu: float, waited: float, takes: float, reached: bool) -> None:
    """Requests queue for the two connections; the CPU time of the client shows whether the server is the cause."""
    plan = Plan(100, rate=100, concurrency=2)
    world = World(OK, takes=lambda *_: takes)
    load = carried_out(world, plan)
    seconds = load.ended - load.began
    found = figures(plan, load, Effort(cpu * seconds, waited * seconds))
    sentence = rate_not_reached(plan, load, found)
    assert (sentence is None) is reached
    if sentence:
        assert sentence.startswith("Requests went out at 2 a second instead of 100, since the machine that sends them")


def test_a_closed_load_with_a_busy_client_is_reported() -> None:
    plan = Plan(100)
    assert "busy all the time" in (client_bottleneck(plan, measured(World(OK, effort=Effort(0.95)), plan)) or "")
    assert client_bottleneck(plan, measured(World(OK, effort=Effort(0.5)), plan)) is None


@pytest.mark.parametrize("rate", [None, 100])
def test_the_first_error_ends_the_load_if_none_is_allowed(rate: float | None) -> None:
    world = World(OK, OK, Answer(503, b"no healthy upstream"), OK)
    load = carried_out(world, Plan(50, rate=rate))
    assert len(world.sent) < 6
    assert str(load.failure).startswith("The server answered 503 (no healthy upstream); check that the model is ready")


@pytest.mark.parametrize("rate", [None, 100])
def test_errors_are_counted_if_they_are_allowed(rate: float | None) -> None:
    world = World(OK, GONE, Answer(503, b""), GONE, OK)
    found = measured(world, Plan(50, rate=rate), stop_at_error=False)
    assert (found["load"]["requests"], found["load"]["errors"], found["load"]["error_rate"]) == (50, 3, 0.06)
    assert found["latency_ms"]["count"] == 47
    assert [(cause["count"], cause["cause"][:20]) for cause in found["load"]["error_causes"]] == [
        (2, "It cannot be reached"),
        (1, "The server answered "),
    ]


def test_the_number_of_causes_is_limited() -> None:
    answers = [Answer(500, f"error {number}".encode()) for number in range(50)]
    load = carried_out(World(*answers), Plan(50), stop_at_error=False)
    assert len(load.errors) == 11 and load.errors["Others."] == 40


def test_a_permanent_error_ends_the_load_at_once() -> None:
    load = carried_out(World(OK, Unanswered("The certificate.", retry=False)), Plan(9), stop_at_error=False)
    assert str(load.failure) == "The certificate." and load.sent == 2


@pytest.mark.parametrize("rate", [None, 100])
def test_a_wrong_answer_ends_the_load_at_once(rate: float | None) -> None:
    def check_answer(body: int, answer: Answer) -> None:
        if answer.body == b"wrong":
            raise KServeError(f"body {body}")

    world = World(OK, Answer(200, b"wrong"))
    load = carried_out(world, Plan(50, rate=rate, concurrency=2), check_answer=check_answer, stop_at_error=False)
    assert str(load.failure) == "body 1" and load.sent <= 4


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"requests": -1}, "requests is -1; give at least 0"),
        ({"requests": 1, "concurrency": 0}, "concurrency is 0; give at least 1"),
        ({"requests": 1, "warmup": -1}, "warmup is -1"),
        ({"requests": 1, "seconds": 0.0}, "seconds is 0; give more than 0"),
        ({"requests": 1, "rate": float("nan")}, "rate is nan"),
        ({"requests": 1, "rate": float("inf")}, "rate is inf"),
    ],
)
def test_invalid_plans(plan: dict[str, Any], says: str) -> None:
    with pytest.raises(KServeError, match=says):
        Plan(**plan)


def test_thresholds() -> None:
    found = measured(World(OK), Plan(100))
    kept = {"p50_ms": 11.0, "p95_ms": 11.0, "p99_ms": 11.0, "p999_ms": 11.0, "max_ms": 11.0, "throughput": 99.0}
    assert missed_thresholds({**kept, "error_rate": 0.0}, found) == {}
    assert missed_thresholds(dict.fromkeys(kept), found) == {}
    assert missed_thresholds({"p95_ms": 9.5, "p99_ms": 11.0, "throughput": 200.0}, found) == {
        "p95_ms": "p95_ms is 10 and must be at most 9.5",
        "throughput": "throughput is 100 a second and must be at least 200",
    }
    failed = measured(World(GONE), Plan(4), stop_at_error=False)
    assert missed_thresholds({"error_rate": 0.5, "p50_ms": 1.0}, failed) == {
        "p50_ms": "p50_ms was not measured, since no request was answered",
        "error_rate": "error_rate is 1 and must be at most 0.5",
    }
