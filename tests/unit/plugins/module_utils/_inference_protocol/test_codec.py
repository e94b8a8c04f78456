# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.codec import (
    EXACT,
    Tensor,
    Tolerance,
    batches,
    decode,
    encode,
    first_difference,
    health_paths,
    path,
    says_not_ready,
)

ROWS = [[5.1, 3.5, 1.4, 0.2], ["6.7", 3, 5.2, 2.3]]


def test_paths_quote_the_model() -> None:
    assert path("v1", "iris") == "/v1/models/iris:predict"
    assert path("v2", "a/b") == "/v2/models/a%2Fb/infer"


def test_v1_sends_the_instances_as_they_are() -> None:
    assert json.loads(encode("v1", ROWS)) == {"instances": ROWS}


def test_v2_sends_one_tensor_row_after_row() -> None:
    assert json.loads(encode("v2", ROWS)) == {
        "inputs": [
            {
                "name": "input-0",
                "shape": [2, 4],
                "datatype": "FP64",
                "data": [5.1, 3.5, 1.4, 0.2, 6.7, 3.0, 5.2, 2.3],
            }
        ]
    }


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no instances"),
        ([[1, 2], [1]], "not of one length"),
        ([[1], ["a"]], "Row 2 of instances is not a list of numbers"),
        ([[1], 2], "Row 2 of instances"),
        ([[]], "Row 1 of instances"),
    ],
)
def test_v2_rejects_rows_that_are_no_tensor(rows: list[Any], says: str) -> None:
    with pytest.raises(KServeError, match=says):
        encode("v2", rows)


@pytest.mark.parametrize(
    ("protocol", "answer", "rows", "predictions"),
    [
        ("v1", {"predictions": [0, 2]}, 2, [0, 2]),
        ("v1", {"predictions": [[0.1, 0.9]]}, 1, [[0.1, 0.9]]),
        ("v2", {"outputs": [{"name": "output-0", "shape": [2], "datatype": "INT64", "data": [0, 2]}]}, 2, [0, 2]),
        ("v2", {"outputs": [{"datatype": "BYTES", "data": ["setosa"]}]}, 1, ["setosa"]),
        ("v2", {"outputs": [{"shape": [2, 2], "data": [0.1, 0.9, 0.8, 0.2]}]}, 2, [[0.1, 0.9], [0.8, 0.2]]),
    ],
)
def test_answers(protocol: str, answer: Any, rows: int, predictions: list[Any]) -> None:
    assert decode(protocol, json.dumps(answer).encode(), rows) == predictions


@pytest.mark.parametrize(
    ("protocol", "body", "says"),
    [
        ("v2", b"<html>", "not one of protocol v2"),
        ("v2", b'{"predictions": [0]}', "not one of protocol v2"),
        ("v2", b'{"outputs": []}', "not one of protocol v2"),
        ("v1", b"[]", "not one of protocol v1"),
        ("v1", b'{"predictions": []}', "one prediction for each of the 2 rows"),
        ("v1", b'{"predictions": [0, 1, 2, 3]}', "4 predictions for 2 rows"),
        ("v2", b'{"outputs": [{"data": [0, 1, 2]}]}', "one prediction for each of the 2 rows"),
        ("v1", b'{"predictions": "00"}', "one prediction for each of the 2 rows"),
    ],
)
def test_other_responses(protocol: str, body: bytes, says: str) -> None:
    with pytest.raises(KServeError, match=says):
        decode(protocol, body, 2)


@pytest.mark.parametrize(
    ("expected", "predicted"),
    [
        ([0, 2], [0, 2]),
        (["1"], [1]),
        ([1], [1.0]),
        (["setosa"], ["setosa"]),
        ([[0.5, "1"]], [[0.5, 1]]),
        (["nan"], ["nan"]),
        (["007"], ["007"]),
        (["-1.5e3"], [-1500]),
        ([float("nan")], [float("nan")]),
        ([True], [1]),
    ],
)
def test_equal(expected: list[Any], predicted: list[Any]) -> None:
    assert first_difference(expected, predicted) is None


@pytest.mark.parametrize(
    ("expected", "predicted", "row"),
    [
        ([0, 2], [0, 1], "Row 2 of 2 differs: expected 2, predicted 1."),
        (["setosa"], ["virginica"], "Row 1 of 1"),
        ([0], ["setosa"], "Row 1 of 1"),
        ([[1, 2]], [[1]], "Row 1 of 1"),
        ([0], [None], "Row 1 of 1"),
        (["007"], ["7"], "Row 1 of 1"),
        (["007"], [7], "Row 1 of 1"),
        ([7], ["007"], "Row 1 of 1"),
        (["1e0"], ["1"], "Row 1 of 1"),
        (["nan"], [float("nan")], "Row 1 of 1"),
        (["inf"], ["Infinity"], "Row 1 of 1"),
        ([float("nan")], [None], "Row 1 of 1"),
        ([float("nan")], [1.0], "Row 1 of 1"),
    ],
)
def test_different(expected: list[Any], predicted: list[Any], row: str) -> None:
    assert (first_difference(expected, predicted) or "").startswith(row)


@pytest.mark.parametrize(
    ("expected", "predicted", "tolerance", "same"),
    [
        (1.0, 1.01, Tolerance(absolute=0.02), True),
        (1.0, 1.03, Tolerance(absolute=0.02), False),
        (200.0, 201.0, Tolerance(relative=0.01), True),
        (200.0, 203.0, Tolerance(relative=0.01), False),
        (0.0, 0.001, Tolerance(relative=0.5), False),
        (0.0, 0.001, Tolerance(absolute=0.01, relative=0.5), True),
        ([0.9, 0.1], [0.901, 0.099], Tolerance(absolute=0.005), True),
        ([0.9, 0.1], [0.91, 0.09], Tolerance(absolute=0.005), False),
        ([[0.9], [0.1]], [[0.9], [0.2]], Tolerance(absolute=0.005), False),
        ("setosa", "setosa", Tolerance(absolute=1), True),
        ("setosa", "virginica", Tolerance(absolute=1), False),
        (1.0, float("nan"), Tolerance(absolute=1), False),
        (float("inf"), float("inf"), EXACT, True),
    ],
)
def test_tolerance(expected: Any, predicted: Any, tolerance: Tolerance, same: bool) -> None:
    assert (first_difference([expected], [predicted], tolerance) is None) is same


def test_rows_are_numbered_among_all() -> None:
    assert first_difference([0, 1], [0, 2], first=5, rows=9) == "Row 6 of 9 differs: expected 1, predicted 2."


def test_batches() -> None:
    assert batches([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert batches([1, 2, 3], None) == [[1, 2, 3]]
    assert batches([1], 5) == [[1]] and batches([], None) == []
    with pytest.raises(KServeError, match="batch_size is 0"):
        batches([1], 0)


@pytest.mark.parametrize(
    ("datatype", "rows", "shape", "data"),
    [
        ("FP32", [[1, "2.5"]], [1, 2], [1.0, 2.5]),
        ("INT64", [[1, 2.0]], [1, 2], [1, 2]),
        ("UINT8", [[[1, 2], [3, 4]]], [1, 2, 2], [1, 2, 3, 4]),
        ("BYTES", [["a", 1]], [1, 2], ["a", "1"]),
        ("BOOL", [[True], [False]], [2, 1], [True, False]),
    ],
)
def test_v2_sends_the_datatype_of_the_model(datatype: str, rows: list[Any], shape: list[int], data: list[Any]) -> None:
    assert json.loads(encode("v2", rows, [Tensor("x", datatype, (-1, -1))])) == {
        "inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]
    }


@pytest.mark.parametrize(
    ("datatype", "row"),
    [("INT64", [1.5]), ("INT64", [True]), ("BOOL", [1]), ("FP64", [[1, 2], [3]]), ("INT8", [float("inf")])],
)
def test_v2_rejects_values_of_another_datatype(datatype: str, row: list[Any]) -> None:
    with pytest.raises(KServeError, match="Row 1 of instances is not a list of"):
        encode("v2", [row], [Tensor("x", datatype, (-1, -1))])


CHURN = (
    Tensor("months", "INT64", (-1,)),
    Tensor("charge", "FP64", (-1, 1)),
    Tensor("contract", "BYTES", (-1,)),
)


@pytest.mark.parametrize(
    "second", [[2, 30, "one year"], {"contract": "one year", "charge": [30], "months": "2"}, (2.0, "30", "one year")]
)
def test_v2_sends_several_inputs_as_one_tensor_each(second: Any) -> None:
    assert json.loads(encode("v2", [[7, 51.42, "none"], second], CHURN)) == {
        "inputs": [
            {"name": "months", "shape": [2], "datatype": "INT64", "data": [7, 2]},
            {"name": "charge", "shape": [2, 1], "datatype": "FP64", "data": [51.42, 30.0]},
            {"name": "contract", "shape": [2], "datatype": "BYTES", "data": ["none", "one year"]},
        ]
    }


def test_v1_sends_rows_for_several_inputs_as_they_are() -> None:
    rows = [[7, 51.42, "none"], {"months": 2}]
    assert json.loads(encode("v1", rows, CHURN)) == {"instances": rows}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (["x", 1, "a"], "has 'x' for input months; give whole numbers (INT64)."),
        ([1.5, 1, "a"], "has 1.5 for input months; give whole numbers (INT64)."),
        ([True, 1, "a"], "has True for input months;"),
        ([[1], 1, "a"], "has [1] for input months;"),
        ([[], 1, "a"], "has [] for input months;"),
        ([1, "a", 1], "has 'a' for input charge; give numbers (FP64) in lists of shape [1]."),
        ([1, "nan", "a"], "has 'nan' for input charge;"),
        ([1, [1, 2], "a"], "has [1, 2] for input charge;"),
        ([1, 1, 7], "has 7 for input contract; give texts (BYTES)."),
        ([1, 1], "has 2 values; give one for each of the 3 inputs months, charge, contract, in this order."),
        ({"months": 1, "charge": 1}, "has no value for input contract; add it."),
        (
            {"months": 1, "charge": 1, "contract": "a", "name": "Ann"},
            "has a value for name, which is no input; the inputs are months, charge, contract.",
        ),
        (5, "is neither a list nor a dictionary; give a value for each of the inputs months, charge, contract."),
    ],
)
def test_v2_rejects_rows_that_do_not_match_several_inputs(row: Any, says: str) -> None:
    with pytest.raises(KServeError) as caught:
        encode("v2", [[1, 1, "a"], row], CHURN, first=5)
    assert str(caught.value).startswith(f"Row 6 of instances {says}")


def test_v2_sends_inputs_of_more_dimensions() -> None:
    inputs = (Tensor("place", "FP32", (-1, 2, -1)), Tensor("known", "BOOL", (-1,)))
    first, second = json.loads(encode("v2", [[[[1], [2]], True], [[[3], [4]], False]], inputs))["inputs"]
    assert (first["shape"], first["data"]) == ([2, 2, 1], [1, 2, 3, 4])
    assert (second["shape"], second["data"]) == ([2], [True, False])
    with pytest.raises(KServeError, match="The values for input place are not of one shape; give every row as many"):
        encode("v2", [[[[1], [2]], True], [[[3, 5], [4, 6]], False]], inputs)
    with pytest.raises(KServeError, match="Row 1 of instances has 1 for input known; give booleans"):
        encode("v2", [[[[1], [2]], 1]], inputs)


def test_health_paths() -> None:
    assert health_paths(["v2", "v1", "v2"], "a/b") == [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/a%2Fb/ready",
        "/v1/models/a%2Fb",
    ]
    assert health_paths(["openai", "vllm"], "llama") == ["/openai/v1/models/llama", "/health"]


@pytest.mark.parametrize(
    ("body", "denies"),
    [
        (b"", False),
        (b"ok", False),
        (b"null", False),
        (b'{"ready": true}', False),
        (b'{"name": "iris"}', False),
        (b'{"ready": false}', True),
        (b'{"live": false}', True),
        (b'{"name": "iris", "ready": "False"}', True),
    ],
)
def test_responses_of_a_health_endpoint(body: bytes, denies: bool) -> None:
    assert says_not_ready(body) is denies


def test_v2_sends_null_for_a_missing_value() -> None:
    (sent,) = json.loads(encode("v2", [[1, None], [3, 4]]))["inputs"]
    assert (sent["shape"], sent["data"]) == ([2, 2], [1.0, None, 3.0, 4.0])
    inputs = [Tensor("age", "INT64", (-1,)), Tensor("plan", "BYTES", (-1,))]
    age, plan = json.loads(encode("v2", [[None, "paid"], [7, None]], inputs))["inputs"]
    assert (age["data"], plan["data"]) == ([None, 7], ["paid", None])


def test_v2_sends_rows_that_are_strings() -> None:
    inputs = [Tensor("text", "BYTES", (-1,))]
    (sent,) = json.loads(encode("v2", ["a good film", ["bad"]], inputs))["inputs"]
    assert (sent["name"], sent["shape"], sent["data"]) == ("text", [2, 1], ["a good film", "bad"])
