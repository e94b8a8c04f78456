# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a request may hold, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from model.server.rows import InvalidRows, rows_from_instances, rows_from_tensor


def test_rows_of_whole_and_broken_numbers() -> None:
    rows = rows_from_instances({"instances": [[1, 2.5], [3, 4]]}, 2)
    assert rows.dtype == "float64"
    assert rows.tolist() == [[1.0, 2.5], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (None, "must be a JSON object with 'instances', not null"),
        (b"bytes", "not something else"),
        ([[1, 2]], "not a list"),
        ({}, "has no 'instances'"),
        ({"instances": {}}, "must be a list of rows, not an object"),
        ({"instances": []}, "is empty"),
        ({"instances": [1, 2]}, "Row 0 .* must be a list of 2 numbers, not a number"),
        ({"instances": [[1, 2], [1]]}, "Row 1 .* has 1 values where the model takes 2"),
        ({"instances": [[]]}, "Row 0 .* has 0 values"),
        ({"instances": [[1, None]]}, "Value 1 of row 0 .* not null"),
        ({"instances": [[1, "2"]]}, "not a string"),
        ({"instances": [[1, True]]}, "not a boolean"),
        ({"instances": [[1, [2]]]}, "not a list"),
        ({"instances": [[1, float("nan")]]}, "not finite"),
        ({"instances": [[1, float("-inf")]]}, "not finite"),
        ({"instances": [[1, 10**400]]}, "too large"),
    ],
)
def test_instances_that_are_refused(payload: Any, sentence: str) -> None:
    with pytest.raises(InvalidRows, match=sentence):
        rows_from_instances(payload, 2)


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]])
@pytest.mark.parametrize("datatype", ["INT8", "UINT64", "FP16", "FP32", "FP64"])
def test_tensors_flat_and_nested(datatype: str, data: list[Any]) -> None:
    assert rows_from_tensor("x", datatype, [2, 2], data, 2).tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "sentence"),
    [
        ("BYTES", [1, 2], [1, 2], "datatype .* not 'BYTES'"),
        ("BOOL", [1, 2], [1, 2], "datatype"),
        ("FP64", [2], [1, 2], "must be \\[rows, 2\\]"),
        ("FP64", "12", [1, 2], "must be \\[rows, 2\\]"),
        ("FP64", [1, 2.0], [1, 2], "must be \\[rows, 2\\]"),
        ("FP64", [1, 3], [1, 2, 3], "must be \\[rows, 2\\]"),
        ("FP64", [0, 2], [], "at least one row"),
        ("FP64", [-1, 2], [1, 2], "at least one row"),
        ("FP64", [2, 2], [1, 2, 3], "3 values where .* says 4"),
        ("FP64", [10**12, 2], [1, 2], "2 values where"),
        ("FP64", [2, 2], [[1, 2, 3, 4]], "nested data"),
        ("FP64", [2, 2], [[1, 2], [3]], "nested data"),
        ("FP64", [2, 2], [[1, 2], 3, 4, 5], "Value 0 .* not a list"),
        ("FP64", [1, 2], None, "must be a list of numbers, not null"),
        ("FP64", [1, 2], [1, "2"], "not a string"),
        ("INT32", [1, 2], [1, 2.5], "no INT32"),
        ("UINT8", [1, 2], [1, 256], "no UINT8"),
        ("UINT8", [1, 2], [1, -1], "no UINT8"),
        ("INT64", [1, 2], [1, float("nan")], "no INT64"),
        ("INT64", [1, 2], [1, 10**400], "no INT64"),
        ("FP32", [1, 2], [1, 1e39], "not finite"),
        ("FP64", [1, 2], [1, float("nan")], "not finite"),
        ("FP64", [1, 2], [1, 10**400], "too large"),
    ],
)
def test_tensors_that_are_refused(datatype: str, shape: Any, data: Any, sentence: str) -> None:
    with pytest.raises(InvalidRows, match=sentence):
        rows_from_tensor("x", datatype, shape, data, 2)
