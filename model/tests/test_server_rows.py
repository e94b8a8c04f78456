# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Valid and invalid rows of a request, without a server."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from typing import Any

import pytest

from model.server.rows import Feature, InvalidRows, Tensor, columns_from_inputs, columns_from_instances

NUMBERS = [Feature("a"), Feature("b")]
MIXED = [Feature("months", "INT64"), Feature("charge"), Feature("contract", "BYTES")]


def values(columns: list[Any]) -> list[list[Any]]:
    return [column.tolist() for column in columns]


def matrix(datatype: str, shape: Any, data: Any) -> list[Tensor]:
    return [Tensor("x", datatype, shape, data)]


def vectors(**changes: Any) -> list[Tensor]:
    """A valid request of two rows for MIXED with changed inputs; None removes an input."""
    tensors = {
        "months": ("INT64", [2], [3, 40]),
        "charge": ("FP64", [2, 1], [9.5, 20]),
        "contract": ("BYTES", [2], ["month", "year"]),
    } | changes
    return [Tensor(name, *tensor) for name, tensor in tensors.items() if tensor]


def test_rows_of_integers_and_fractions() -> None:
    columns = columns_from_instances({"instances": [[1, 2.5], [3, 4]]}, NUMBERS)
    assert [column.dtype for column in columns] == ["float64", "float64"]
    assert values(columns) == [[1.0, 3.0], [2.5, 4.0]]


def test_rows_as_lists_and_as_objects() -> None:
    rows = [[3, 9.5, "month"], {"contract": "year", "months": 40.0, "charge": 20}]
    columns = columns_from_instances({"instances": rows}, MIXED)
    assert [column.dtype for column in columns] == ["int64", "float64", "object"]
    assert values(columns) == [[3, 40], [9.5, 20.0], ["month", "year"]]


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (None, "must be a JSON object with 'instances', not null"),
        (b"bytes", "not something else"),
        ([[1, 2]], "not a list"),
        ({}, "'instances' is required"),
        ({"instances": {}}, "must be a list of rows, not an object"),
        ({"instances": []}, "is empty"),
        ({"instances": [1, 2]}, "Row 0 .* must be a list of 2 values or an object .*, not a number"),
        ({"instances": [[1, 2], [1]]}, "Row 1 .* has 1 values, but the model has 2 features"),
        ({"instances": [[]]}, "Row 0 .* has 0 values"),
        ({"instances": [[1, 2], [1, None]]}, "^Feature 'b' of row 1 must be a number, not null.$"),
        ({"instances": [[1, "2"]]}, "not a string"),
        ({"instances": [[1, True]]}, "not a boolean"),
        ({"instances": [[1, [2]]]}, "not a list"),
        ({"instances": [[1, float("nan")]]}, "Feature 'b' of row 0 is not finite"),
        ({"instances": [[1, 2], [float("-inf"), 2]]}, "Feature 'a' of row 1 is not finite"),
        ({"instances": [[1, 10**400]]}, "too large"),
        ({"instances": [{}]}, "Row 0 .* has no feature 'a'"),
        ({"instances": [{"a": 1, "b": 2}, {"a": 1}]}, "Row 1 .* has no feature 'b'"),
        ({"instances": [{"a": 1, "b": 2, "c": 3}]}, "Row 0 .* has 'c', which is not a feature"),
        ({"instances": [{"a": 1, "b": {"0": 2}}]}, "Feature 'b' of row 0 must be a number, not an object"),
    ],
)
def test_instances_that_are_rejected(payload: Any, sentence: str) -> None:
    with pytest.raises(InvalidRows, match=sentence):
        columns_from_instances(payload, NUMBERS)


ONE = [Feature("a")]


@pytest.mark.parametrize(
    ("instances", "features"),
    [
        ([{"a": [1] * 100_000}], ONE),
        ([{"x": [1] * 100_000}], ONE),
        ([{"a": [1] * 100_000, "x": [1] * 100_000}], ONE),
        ([{"a": [1] * 50_000}, {"a": [1] * 50_000}], ONE),
        ([{"a": [1] * 50_000, "b": [2] * 50_000}], NUMBERS),
        ([1] * 100_000, ONE),
        ([1] * 100_000, [Feature("a", "INT64")]),
        ([""] * 100_000, [Feature("a", "BYTES")]),
    ],
    ids=["column", "no feature", "and no feature", "two objects", "two columns", "floats", "integers", "text"],
)
def test_columns_and_values_need_little_memory(instances: list[Any], features: list[Feature]) -> None:
    tracemalloc.start()
    try:
        with suppress(InvalidRows):
            columns_from_instances({"instances": instances}, features)
        _size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Of each value: the place in a list, and the entry of an array, twice while it is converted.
    assert peak < 100_000 * 32


@pytest.mark.parametrize(
    ("instances", "sentence"),
    [
        ([{"a": [1], "x": [2]}], "Row 0 of 'instances' has no feature 'b': send a value for each feature."),
        ([{"a": [1], "b": [2]}, {"a": [], "b": [], "x": []}], "Row 1 of 'instances' has 'x', which is not a feature"),
        ([{"a": [1, 2], "b": [2]}], "Row 0 of 'instances' has 1 values of 'b' and 2 of 'a'"),
        ([{"a": [], "b": []}], "'instances' is empty: send at least one row."),
        ([{"a": [1, 2], "b": [2, None]}], "Feature 'b' of row 1 must be a number, not null."),
        ([{"a": [1], "b": [2]}, [3]], "Row 1 of 'instances' has 1 values, but the model has 2 features."),
    ],
)
def test_columns_that_are_rejected(instances: list[Any], sentence: str) -> None:
    with pytest.raises(InvalidRows, match=f"^{sentence}"):
        columns_from_instances({"instances": instances}, NUMBERS)


def test_columns_between_rows_and_without_ignored_features() -> None:
    features = [Feature("a"), Feature("note", "BYTES", ignored=True)]
    instances = [[1, "x"], {"a": [2, 3]}, {"a": 4}, {"a": [], "note": []}, {"note": ["y"], "a": [5]}]
    columns = columns_from_instances({"instances": instances}, features)
    assert values(columns) == [[1, 2, 3, 4, 5], ["x", None, None, None, "y"]]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([3, 9.5, None], "Feature 'contract' of row 1 must be a string, not null"),
        ([3, 9.5, 7], "Feature 'contract' of row 1 must be a string, not a number"),
        ([3, "9.5", "year"], "Feature 'charge' of row 1 must be a number, not a string"),
        ([3.5, 9.5, "year"], "Feature 'months' of row 1 is not a valid INT64, an integer"),
        ([2**63, 9.5, "year"], "Feature 'months' of row 1 is not a valid INT64, an integer from -9223372036854775808"),
        ([True, 9.5, "year"], "Feature 'months' of row 1 must be a number, not a boolean"),
        ({"months": 3, "charge": 9.5}, "Row 1 .* has no feature 'contract'"),
    ],
)
def test_rows_of_mixed_values_that_are_rejected(row: Any, sentence: str) -> None:
    with pytest.raises(InvalidRows, match=sentence):
        columns_from_instances({"instances": [[3, 9.5, "month"], row]}, MIXED)


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]])
@pytest.mark.parametrize("datatype", ["INT8", "UINT64", "FP16", "FP32", "FP64"])
def test_tensors_flat_and_nested(datatype: str, data: list[Any]) -> None:
    columns = columns_from_inputs(matrix(datatype, [2, 2], data), NUMBERS)
    assert values(columns) == [[1.0, 3.0], [2.0, 4.0]]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "sentence"),
    [
        ("BYTES", [1, 2], [1, 2], "datatype .* must be numeric, such as FP64, .* not 'BYTES'"),
        ("BOOL", [1, 2], [1, 2], "datatype"),
        ("FP64", [2], [1, 2], "must be \\[rows, 2\\]"),
        ("FP64", "12", [1, 2], "must be \\[rows, 2\\]"),
        ("FP64", [1, 2.0], [1, 2], "must be \\[rows, 2\\]"),
        ("FP64", [1, 3], [1, 2, 3], "must be \\[rows, 2\\]"),
        ("FP64", [0, 2], [], "at least one row"),
        ("FP64", [-1, 2], [1, 2], "at least one row"),
        ("FP64", [2, 2], [1, 2, 3], "3 values, but .* requires 4"),
        ("FP64", [10**12, 2], [1, 2], "2 values, but"),
        ("FP64", [2, 2], [[1, 2, 3, 4]], "nested data"),
        ("FP64", [2, 2], [[1, 2], [3]], "nested data"),
        ("FP64", [2, 2], [[1, 2], 3, 4, 5], "Feature 'a' of row 0 must be a number, not a list"),
        ("FP64", [1, 2], None, "must be a list, not null"),
        ("FP64", [1, 2], [1, "2"], "not a string"),
        ("INT32", [1, 2], [1, 2.5], "Feature 'b' of row 0 is not a valid INT32"),
        ("UINT8", [1, 2], [1, 256], "not a valid UINT8, an integer from 0 to 255"),
        ("UINT8", [1, 2], [1, -1], "not a valid UINT8"),
        ("INT64", [1, 2], [1, float("nan")], "not a valid INT64"),
        ("INT64", [1, 2], [1, 10**400], "not a valid INT64"),
        ("FP32", [2, 2], [1, 2, 3, 1e39], "Feature 'b' of row 1 is not finite"),
        ("FP64", [1, 2], [1, float("nan")], "not finite"),
        ("FP64", [1, 2], [1, 10**400], "too large"),
    ],
)
def test_tensors_that_are_rejected(datatype: str, shape: Any, data: Any, sentence: str) -> None:
    with pytest.raises(InvalidRows, match=sentence):
        columns_from_inputs(matrix(datatype, shape, data), NUMBERS)


def test_one_input_for_each_feature() -> None:
    columns = columns_from_inputs(list(reversed(vectors())), MIXED)
    assert [column.dtype for column in columns] == ["int64", "float64", "object"]
    assert values(columns) == [[3, 40], [9.5, 20.0], ["month", "year"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"months": ("INT8", [2, 1], [[3], [40]])},
        {"months": ("FP32", [2], [3.0, 40.0])},
        {"charge": ("FP64", [2, 1], [[9.5], [20.0]])},
        {"charge": ("FP16", [2], [9.5, 20])},
        {"contract": ("BYTES", [2, 1], [["month"], ["year"]])},
    ],
)
def test_inputs_in_other_forms(changes: dict[str, Any]) -> None:
    columns = columns_from_inputs(vectors(**changes), MIXED)
    assert values(columns) == [[3, 40], [9.5, 20.0], ["month", "year"]]


def test_booleans() -> None:
    features = [Feature("paid", "BOOL"), Feature("charge")]
    tensors = [Tensor("charge", "FP64", [2], [1, 2]), Tensor("paid", "BOOL", [2, 1], [True, False])]
    for columns in (
        columns_from_inputs(tensors, features),
        columns_from_instances({"instances": [[True, 1], [False, 2]]}, features),
    ):
        assert [column.dtype for column in columns] == ["bool", "float64"]
        assert values(columns) == [[True, False], [1.0, 2.0]]
    assert values(columns_from_inputs(matrix("BOOL", [1, 1], [True]), features[:1])) == [[True]]


@pytest.mark.parametrize(
    ("datatype", "value", "sentence"),
    [
        ("BOOL", 1, "Feature 'paid' of row 0 must be a boolean, not a number"),
        ("BOOL", None, "not null"),
        ("INT64", 1, "datatype of input 'paid' must be BOOL for feature 'paid', not 'INT64'"),
        ("BYTES", "true", "must be BOOL for feature 'paid', not 'BYTES'"),
    ],
)
def test_a_value_that_is_not_a_boolean_is_rejected(datatype: str, value: Any, sentence: str) -> None:
    with pytest.raises(InvalidRows, match=sentence):
        columns_from_inputs([Tensor("paid", datatype, [1], [value])], [Feature("paid", "BOOL")])


def test_numeric_features_may_have_one_input_each() -> None:
    tensors = [Tensor("b", "FP64", [1], [2]), Tensor("a", "INT64", [1], [1])]
    assert values(columns_from_inputs(tensors, NUMBERS)) == [[1.0], [2.0]]


@pytest.mark.parametrize("name", ["a", "another"])
@pytest.mark.parametrize("feature", [Feature("a"), Feature("a", "INT64")])
def test_a_model_of_one_feature(name: str, feature: Feature) -> None:
    tensors = [Tensor(name, "FP64", [2, 1], [1, 2])]
    assert values(columns_from_inputs(tensors, [feature])) == [[1, 2]]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"contract": None}, "input 'contract' is missing"),
        ({"tariff": ("BYTES", [2], ["a", "b"])}, "The model has no feature 'tariff'"),
        ({"months": ("INT64", [3], [1, 2, 3])}, "Input 'charge' has 2 rows, but input 'months' has 3"),
        ({"months": ("INT64", [1, 2], [1, 2])}, "'months' must be \\[rows\\] or \\[rows, 1\\]"),
        ({"months": ("INT64", [], [])}, "'months' must be \\[rows\\]"),
        ({"months": ("INT64", [0], [])}, "at least one row"),
        ({"months": ("INT64", [2], [1])}, "1 values, but its shape \\[2\\] requires 2"),
        ({"months": ("BYTES", [2], ["1", "2"])}, "datatype of input 'months' must be numeric"),
        ({"months": ("FP64", [2], [1, 2.5])}, "Feature 'months' of row 1 is not a valid INT64"),
        ({"months": ("INT8", [2], [1, 128])}, "Feature 'months' of row 1 is not a valid INT8"),
        ({"charge": ("BOOL", [2], [True, False])}, "datatype of input 'charge' must be numeric"),
        ({"charge": ("FP64", [2], [1.0, float("inf")])}, "Feature 'charge' of row 1 is not finite"),
        ({"contract": ("FP64", [2], [1, 2])}, "'contract' must be BYTES for feature 'contract', not 'FP64'"),
        ({"contract": ("BYTES", [2], ["year", 7])}, "Feature 'contract' of row 1 must be a string, not a number"),
        ({"contract": ("BYTES", [2], [["year"], None])}, "Feature 'contract' of row 0 must be a string, not a list"),
    ],
)
def test_inputs_that_are_rejected(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRows, match=sentence):
        columns_from_inputs(vectors(**changes), MIXED)


def test_the_number_of_inputs() -> None:
    with pytest.raises(InvalidRows, match="'inputs' is empty"):
        columns_from_inputs([], MIXED)
    with pytest.raises(InvalidRows, match="same name"):
        columns_from_inputs(vectors() + vectors(), MIXED)
    with pytest.raises(InvalidRows, match=r"must be BYTES for feature 'contract', .* one input per feature"):
        columns_from_inputs(matrix("FP64", [1, 3], [1, 2, 3]), MIXED)
