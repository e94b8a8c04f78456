# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import Answer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Effort, Unanswered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.codec import Tensor, Tolerance
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.schema import Schema
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test import smoke_test
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.plan import Plan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.smoke_test import (
    Check,
    NotServed,
    Reports,
    SmokeTest,
)

from ..load_fixtures import World

CHECK = Check("iris", "v1", [[1, 2], [3, 4]], [0, 2], Plan(3), retry_for=60)
SCHEMA = Schema((Tensor("x", "FP32", (-1, 2)),), (Tensor("y", "INT64", (-1,)),))


def ok(*predictions: Any, **more: Any) -> Answer:
    return Answer(200, json.dumps({"predictions": predictions, **more}).encode())


def v2(*data: Any, datatype: str = "INT64") -> Answer:
    output = {"name": "y", "datatype": datatype, "shape": [len(data)], "data": data}
    return Answer(200, json.dumps({"outputs": [output]}).encode())


AWAY = Unanswered("The server cannot be reached (Connection refused).", retry=True)


def run(world: World, check: Check = CHECK) -> dict[str, Any]:
    return SmokeTest(world, check, world.time, world.sleep).run()


def passed(result: Mapping[str, Any]) -> list[tuple[str, bool]]:
    return [(check["name"], check["passed"]) for check in result["checks"]]


def test_predictions_are_compared_and_measured() -> None:
    world = World(ok(0, 2))
    result = run(world)
    assert (result["predictions"], result["attempts"]) == ([0, 2], 1)
    assert result["latency_ms"]["count"] == 3 and result["latency_ms"]["p95"] == pytest.approx(10)
    assert len(world.sent) == 4 and len(set(world.sent)) == 1
    assert world.sent[0][:2] == ("POST", "/v1/models/iris:predict")
    assert world.pauses == []
    assert passed(result) == [("predictions", True), ("load", True)]


@pytest.mark.parametrize(
    "first", [AWAY, Answer(404, b""), Answer(502, b""), Answer(503, b"no healthy upstream"), Answer(504, b"")]
)
def test_a_server_that_is_not_ready_is_queried_again_with_growing_pauses(first: Answer | Unanswered) -> None:
    world = World(first, first, first, first, first, first, ok(0, 2))
    assert run(world)["attempts"] == 7
    assert world.pauses == sorted(world.pauses) and world.pauses[0] < world.pauses[-1]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (AWAY, "cannot be reached"),
        (Answer(503, b"no healthy upstream"), r"answered 503 \(no healthy upstream\); check that the model is ready"),
        (Answer(404, b""), "answered 404; check model_name, and that a route leads"),
    ],
)
def test_retries_end_after_retry_for(answer: Answer | Unanswered, says: str) -> None:
    world = World(answer)
    with pytest.raises(NotServed, match=says) as caught:
        run(world)
    assert sum(world.pauses) == pytest.approx(60, abs=0.5)
    assert caught.value.result["attempts"] == len(world.sent)
    assert passed(caught.value.result) == [("predictions", False)]


def test_no_time_for_retries_means_one_attempt() -> None:
    world = World(AWAY)
    with pytest.raises(NotServed):
        run(world, replace(CHECK, retry_for=0))
    assert len(world.sent) == 1 and world.pauses == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (ok(0, 1), "Model iris predicts other values than expected. Row 2 of 2 differs: expected 2, predicted 1"),
        (Answer(200, b"<html>"), "not one of protocol v1"),
        (Answer(401, b""), "answered 401; set token"),
        (Answer(400, b'{"error": "bad"}'), r'answered 400 \({"error": "bad"}\); see the logs'),
        (Answer(500, b"password=PLANTED"), r"answered 500 \(password=\*+\)"),
        (Answer(301, b""), "give the URL that it redirects to"),
        (Unanswered("The certificate is not accepted.", retry=False), "certificate"),
    ],
)
def test_a_wrong_response_is_not_retried(answer: Answer | Unanswered, says: str) -> None:
    world = World(answer)
    with pytest.raises(KServeError, match=says):
        run(world)
    assert len(world.sent) == 1 and world.pauses == []


@pytest.mark.parametrize(
    ("later", "says"),
    [
        (ok(0, 0), "Timed request 2 of 3 failed: Model iris predicts other values than expected. Row 2"),
        (Answer(503, b""), "Timed request 2 of 3 failed: The server answered 503"),
        (AWAY, "Timed request 2 of 3 failed: The server cannot be reached"),
    ],
)
def test_every_timed_request_must_be_right(later: Answer | Unanswered, says: str) -> None:
    with pytest.raises(KServeError, match=says) as caught:
        run(World(ok(0, 2), ok(0, 2), later))
    assert passed(caught.value.result) == [("predictions", True), ("load", False)]


def test_a_load_of_seconds_has_no_number_to_fail_at() -> None:
    with pytest.raises(KServeError, match=r"^Timed request 2 failed: "):
        run(World(ok(0, 2), ok(0, 2), AWAY), replace(CHECK, plan=Plan(3, seconds=5)))


def test_a_response_may_differ_outside_of_the_predictions() -> None:
    world = World(ok(0, 2, id="a"), ok(0, 2, id="b"), ok(0, 2, id="c"), ok(0, 2, id="d"))
    assert run(world)["latency_ms"]["count"] == 3


def test_a_failure_contains_the_predictions() -> None:
    with pytest.raises(KServeError) as caught:
        run(World(ok(1, 1)))
    assert caught.value.result["predictions"] == [1, 1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expected": [0]}, "2 instances and 1 expected values"),
        ({"instances": [], "expected": []}, "There are no instances"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_invalid_checks(change: dict[str, Any], says: str) -> None:
    world = World(ok(0))
    with pytest.raises(KServeError, match=says):
        run(world, replace(CHECK, **change))
    assert world.sent == []


def test_without_timed_requests() -> None:
    assert run(World(ok(0, 2)), replace(CHECK, plan=Plan(0)))["latency_ms"]["count"] == 0


def test_batches_take_turns_and_are_numbered_through() -> None:
    check = replace(CHECK, instances=[[1], [2], [3]], expected=[5, 6, 7], batch_size=2, plan=Plan(4))
    world = World(ok(5, 6), ok(7), ok(5, 6), ok(7), ok(5, 6), ok(7))
    assert run(world, check)["predictions"] == [5, 6, 7]
    rows = [json.loads(body)["instances"] for _method, _path, body in world.sent]
    assert rows == [[[1], [2]], [[3]]] * 3
    with pytest.raises(KServeError, match="Row 3 of 3 differs: expected 7, predicted 8"):
        run(World(ok(5, 6), ok(8)), check)
    with pytest.raises(KServeError, match=r"Timed request 2 of 4 failed: .* Row 3 of 3 differs"):
        run(World(ok(5, 6), ok(7), ok(5, 6), ok(8)), check)


def test_a_tolerance_holds_under_load_as_well() -> None:
    check = replace(CHECK, expected=[0.0, 2.0], tolerance=Tolerance(absolute=0.1))
    assert run(World(ok(0.05, 2.05), ok(0.0, 1.95)), check)["latency_ms"]["count"] == 3
    with pytest.raises(KServeError, match="Timed request 1 of 3 failed"):
        run(World(ok(0.05, 2.05), ok(0.2, 2.0)), check)


def test_health_is_queried_first_until_it_is_available() -> None:
    world = World(Answer(503, b""), Answer(200, b'{"live": true}'), Answer(200, b""), Answer(200, b""), v2(0, 2))
    result = run(world, replace(CHECK, protocol="v2", health=["v2"]))
    assert [(method, path) for method, path, _body in world.sent[:5]] == [
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
        ("GET", "/v2/models/iris/ready"),
        ("POST", "/v2/models/iris/infer"),
    ]
    assert [name for name, _passed in passed(result)][:2] == ["health /v2/health/live", "health /v2/health/ready"]


def test_a_health_endpoint_that_reports_unhealthy() -> None:
    with pytest.raises(KServeError, match="/v1/models/iris says that it is not ready; see the logs"):
        run(World(Answer(200, b'{"ready": false}')), replace(CHECK, health=["v1"]))


def test_health_alone_sends_no_prediction_request() -> None:
    world = World(Answer(200, b""))
    result = run(world, replace(CHECK, instances=[], expected=[], health=["vllm"]))
    assert [path for _method, path, _body in world.sent] == ["/health"]
    assert "latency_ms" not in result and passed(result) == [("health /health", True)]


def described(**changes: Any) -> Answer:
    parts = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
    }
    return Answer(200, json.dumps({**parts, **changes}).encode())


def test_a_schema_determines_the_request_and_is_compared() -> None:
    world = World(v2(0, 2), described(), v2(0, 2))
    assert ("schema", True) in passed(run(world, replace(CHECK, protocol="v2", schema=SCHEMA)))
    (sent,) = json.loads(world.sent[0][2])["inputs"]
    assert (sent["name"], sent["datatype"]) == ("x", "FP32")
    assert world.sent[1][:2] == ("GET", "/v2/models/iris")


def test_several_inputs_are_sent_in_batches_and_numbered_through() -> None:
    schema = replace(SCHEMA, inputs=(Tensor("n", "INT64", (-1,)), Tensor("t", "BYTES", (-1,))))
    rows = [[1, "a"], {"t": "b", "n": 2}, [3, "c"]]
    check = replace(CHECK, protocol="v2", schema=schema, instances=rows, expected=[5, 6, 7], batch_size=2)
    world = World(v2(5, 6), v2(7), Answer(404, b""), v2(5, 6), v2(7), v2(5, 6))
    assert run(world, check)["predictions"] == [5, 6, 7]
    sent = [[one["data"] for one in json.loads(body)["inputs"]] for _method, _path, body in world.sent[:2]]
    assert sent == [[[1, 2], ["a", "b"]], [[3], ["c"]]]
    with pytest.raises(KServeError, match="Row 3 of instances has 'c' for input n"):
        run(World(), replace(check, instances=[*rows[:2], ["c", 3]]))


def test_rows_are_numbered_through_batches_of_one_input_as_well() -> None:
    with pytest.raises(KServeError, match="Row 2 of instances is not a list of numbers"):
        run(World(), replace(CHECK, protocol="v2", instances=[[1], ["a"]], batch_size=1))


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ((v2(0, 2, datatype="INT32"), described()), "The answer's output y is of INT32, and metadata.json says INT64;"),
        ((v2(0, 2), described(inputs=[{"name": "z", "datatype": "FP32", "shape": [-1, 2]}])), "inputs are z"),
    ],
)
def test_a_schema_that_differs(answers: tuple[Answer, ...], says: str) -> None:
    with pytest.raises(KServeError, match=says) as caught:
        run(World(*answers), replace(CHECK, protocol="v2", schema=SCHEMA))
    assert passed(caught.value.result) == [("predictions", True), ("schema", False)]


def test_a_server_without_v2_has_no_description() -> None:
    run(World(ok(0, 2), Answer(404, b""), ok(0, 2)), replace(CHECK, schema=SCHEMA))


def test_warm_up_is_not_measured() -> None:
    world = World(ok(0, 2), takes=lambda number, _now: 5.0 if number < 5 else 0.01)
    result = run(world, replace(CHECK, plan=Plan(3, warmup=4)))
    assert len(world.sent) == 8 and result["latency_ms"]["max"] == pytest.approx(10)


def test_warm_up_must_be_right_as_well() -> None:
    with pytest.raises(KServeError, match="Warm-up request 1 of 4 failed"):
        run(World(ok(0, 2), AWAY), replace(CHECK, plan=Plan(3, warmup=4)))


def test_missed_thresholds_are_reported_with_value_and_limit() -> None:
    thresholds = {"p95_ms": 9.0, "p99_ms": 100.0, "max_ms": None, "throughput": 500.0}
    with pytest.raises(KServeError) as caught:
        run(World(ok(0, 2)), replace(CHECK, thresholds=thresholds))
    assert str(caught.value) == (
        "Model iris misses its thresholds: p95_ms is 10 and must be at most 9; throughput is 100 a second and must be "
        "at least 500. Give the model more resources or replicas, or change thresholds."
    )
    result = caught.value.result
    assert result["load"]["requests"] == 3 and result["latency_ms"]["count"] == 3
    assert passed(result)[2:] == [
        ("threshold p95_ms", False),
        ("threshold p99_ms", True),
        ("threshold throughput", False),
    ]


def test_an_allowed_error_rate() -> None:
    check = replace(CHECK, plan=Plan(10), thresholds={"error_rate": 0.1})
    assert run(World(ok(0, 2), AWAY, ok(0, 2)), check)["load"]["error_rate"] == 0.1
    with pytest.raises(KServeError, match=r"error_rate is 0\.2 and must be at most 0\.1"):
        run(World(ok(0, 2), AWAY, AWAY, ok(0, 2)), check)
    with pytest.raises(
        KServeError, match="Timed request 1 of 10 failed: Model iris predicts other values than expected"
    ):
        run(World(ok(0, 2), ok(0, 0)), check)


def test_the_clients_delay_is_a_warning_and_part_of_a_missed_threshold() -> None:
    world = World(ok(0, 2), late=0.005)
    test = SmokeTest(world, replace(CHECK, plan=Plan(10, rate=10)), world.time, world.sleep)
    test.run()
    assert len(test.warnings) == 1 and "itself up to 5 ms late (p99)" in test.warnings[0]
    late = replace(CHECK, plan=Plan(10, rate=10), thresholds={"p50_ms": 12.0})
    with pytest.raises(KServeError, match=r"p50_ms is 15 and must be at most 12\. The machine that sends was itself"):
        run(World(ok(0, 2), late=0.005), late)


def test_a_rate_that_is_not_reached_fails() -> None:
    plan = Plan(50, rate=100, concurrency=1)
    world = World(ok(0, 2), takes=lambda *_: 0.1, effort=Effort(4.9))
    with pytest.raises(
        KServeError, match="Requests went out at 10 a second instead of 100, since the machine"
    ) as caught:
        run(world, replace(CHECK, plan=plan))
    assert passed(caught.value.result)[-1] == ("rate", False) and caught.value.result["load"]["requests"] == 50


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run with reports and return their files, without the error."""

    def use(world: World, check: Check = CHECK, check_mode: bool = False) -> tuple[Path, Path]:
        monkeypatch.setattr(smoke_test.SmokeTest.__init__, "__defaults__", (world.time, world.sleep))
        files = tmp_path / "smoke.xml", tmp_path / "smoke.svg"
        with contextlib.suppress(KServeError):
            smoke_test.run(world, check, Reports(*map(str, files)), check_mode, lambda _text: None)
        return files

    return use


def test_reports_of_success(reported) -> None:
    junit, svg = reported(World(ok(0, 2)), replace(CHECK, thresholds={"p95_ms": 100.0}))
    names = [case.attrib["name"] for case in ElementTree.parse(junit).iter("testcase")]
    assert names == ["predictions", "load", "threshold p95_ms"]
    assert "closed load, 1 at a time: 3 requests" in svg.read_text()


def test_reports_of_a_missed_threshold(reported) -> None:
    junit, svg = reported(World(ok(0, 2)), replace(CHECK, plan=Plan(3, rate=50), thresholds={"p95_ms": 1.0}))
    (failure,) = ElementTree.parse(junit).iter("failure")
    assert failure.attrib["message"] == "p95_ms is 10 and must be at most 1"
    assert "open load, 50 due a second" in svg.read_text()


def test_reports_of_a_wrong_prediction(reported) -> None:
    junit, svg = reported(World(ok(0, 1)))
    (failure,) = ElementTree.parse(junit).iter("failure")
    assert failure.attrib["message"].startswith("Model iris predicts other values than expected.")
    assert not svg.exists()


def test_check_mode_writes_nothing(reported) -> None:
    assert not any(file.exists() for file in reported(World(ok(0, 2)), check_mode=True))


def test_a_report_without_a_folder_is_rejected_before_anything_is_sent() -> None:
    world = World(ok(0, 2))
    with pytest.raises(KServeError, match="There is no folder /none for svg_path; make it, or change svg_path"):
        smoke_test.run(world, CHECK, Reports(svg="/none/a.svg"), False, lambda _text: None)
    assert world.sent == []


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(KServeError, match=r"cannot be written \(Is a directory\); change junit_path"):
        smoke_test.run(World(ok(0, 2)), CHECK, Reports(junit=str(tmp_path)), False, lambda _text: None)
