# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prediction import (
    decode,
    difference,
    encode,
    latencies,
    path,
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
def test_v2_refuses_what_is_no_tensor(rows: list[Any], says: str) -> None:
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
def test_other_answers(protocol: str, body: bytes, says: str) -> None:
    with pytest.raises(KServeError, match=says):
        decode(protocol, body, 2)


@pytest.mark.parametrize(
    ("expected", "predicted"),
    [([0, 2], [0, 2]), (["1"], [1]), ([1], [1.0]), (["setosa"], ["setosa"]), ([[0.5, "1"]], [[0.5, 1]])],
)
def test_equal(expected: list[Any], predicted: list[Any]) -> None:
    assert difference(expected, predicted) is None


@pytest.mark.parametrize(
    ("expected", "predicted", "row"),
    [
        ([0, 2], [0, 1], "Row 2 of 2 differs: expected 2, predicted 1."),
        (["setosa"], ["virginica"], "Row 1 of 1"),
        ([0], ["setosa"], "Row 1 of 1"),
        ([[1, 2]], [[1]], "Row 1 of 1"),
        ([0], [None], "Row 1 of 1"),
    ],
)
def test_different(expected: list[Any], predicted: list[Any], row: str) -> None:
    assert (difference(expected, predicted) or "").startswith(row)


def test_latencies_are_nearest_ranks_of_what_was_measured() -> None:
    figures = latencies([n / 1000 for n in range(100, 0, -1)])
    assert figures == {
        "count": 100, "min": 1.0, "mean": 50.5, "p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0,
    }  # fmt: skip
    assert latencies([0.0031]) == {
        "count": 1, "min": 3.1, "mean": 3.1, "p50": 3.1, "p95": 3.1, "p99": 3.1, "max": 3.1,
    }  # fmt: skip
    assert latencies([0.003, 0.001, 0.002])["p50"] == 2.0
    assert latencies([])["count"] == 0 and latencies([])["p50"] is None
