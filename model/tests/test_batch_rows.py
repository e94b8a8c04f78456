# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of CSV and Parquet as columns, and the reasons of rejected rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow", reason="needs the packages of model/batch/requirements.txt")

from model.batch import rows  # noqa: E402
from model.server.rows import Feature  # noqa: E402

FEATURES = [Feature("age", "INT64"), Feature("charge"), Feature("plan", "BYTES")]
HEADER = ["id", "plan", "charge", "age"]


def parse(text: str | bytes, keep: tuple[str, ...] = ("id",), first_line: int = 2) -> rows.Chunk:
    buffer = text if isinstance(text, bytes) else text.encode()
    return rows.parse_csv(buffer, first_line, HEADER, FEATURES, keep)


def values(chunk: rows.Chunk) -> list[tuple[Any, ...]]:
    return list(zip(chunk.numbers.tolist(), *(column.tolist() for column in chunk.columns), strict=True))


def reasons(chunk: rows.Chunk) -> dict[int, str]:
    return {entry.number: entry.reason for entry in chunk.rejected}


VALID = "a,basic,1.5,30\nb,more,2,31\n"


@pytest.mark.parametrize("text", [VALID, VALID.rstrip("\n"), VALID.replace("\n", "\r\n")])
def test_csv_rows_are_parsed(text: str) -> None:
    chunk = parse(text)
    assert values(chunk) == [(2, 30, 1.5, "basic"), (3, 31, 2.0, "more")]
    assert chunk.kept["id"].to_pylist() == ["a", "b"]
    assert chunk.rejected == []


def test_both_parsers_return_the_same() -> None:
    by_arrow, by_value = (
        read(VALID.encode(), 2, HEADER, FEATURES, ["id"]) for read in (rows._parse_with_arrow, rows._parse_by_value)
    )
    assert by_arrow is not None
    assert values(by_arrow) == values(by_value)
    assert [column.dtype for column in by_arrow.columns] == [column.dtype for column in by_value.columns]
    assert by_arrow.kept["id"].equals(by_value.kept["id"])


def test_quotes_may_contain_commas_lines_and_quotes() -> None:
    chunk = parse('a,"basic, or\nnot",1.5,30\nb,"say ""more""",2,31\n')
    # The number of a row is that of its first line.
    assert values(chunk) == [(2, 30, 1.5, "basic, or\nnot"), (4, 31, 2.0, 'say "more"')]


def test_an_empty_line_is_skipped() -> None:
    assert values(parse("a,basic,1.5,30\n\nb,more,2,31\n")) == [(2, 30, 1.5, "basic"), (4, 31, 2.0, "more")]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("x,basic,1.5", "has 3 values, but the first line has 4"),
        ("x,basic,much,30", "charge is 'much', which is not a number"),
        ("x,basic,1_000,30", "charge is '1_000', which is not a number"),
        ("x,basic,1.5,3_0", "age is '3_0', which is not a number"),
        ("x,basic,1.5,0x1F", "age is '0x1F', which is not a number"),
        ("x,basic,,30", "charge is empty"),
        ("x,basic,nan,30", "charge is 'nan', which is not finite"),
        ("x,basic,1e999,30", "charge is '1e999', which is not finite"),
        ("x,basic,1.5,30.5", "age is '30.5', which is not an integer"),
        ("x,basic,1.5,9223372036854775808", "age is '9223372036854775808', which is not a valid INT64"),
    ],
)
def test_a_bad_row_is_reported_and_the_remaining_ones_are_read(bad: str, reason: str) -> None:
    chunk = parse(f"a,basic,1.5,30\n{bad}\nb,more,2,31\n")
    assert reasons(chunk) == {3: reason}
    assert values(chunk) == [(2, 30, 1.5, "basic"), (4, 31, 2.0, "more")]
    assert chunk.kept["id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("others", ["", "b,more,2,odd\n"])
@pytest.mark.parametrize("number", ["0x1F", "0X1f"])
def test_a_hexadecimal_number_is_always_rejected(number: str, others: str) -> None:
    chunk = parse(f"a,0x10,1.5,30\nb,more,2,{number}\n{others}")
    assert reasons(chunk)[3] == f"age is {number!r}, which is not a number"
    assert values(chunk) == [(2, 30, 1.5, "0x10")]


def test_a_long_string_in_quotes() -> None:
    text = "x" * 200_000
    assert values(parse(f'a,"{text}",1.5,30\n')) == [(2, 30, 1.5, text)]


def test_a_quote_that_is_not_closed_is_a_bad_row() -> None:
    chunk = parse('a,basic,1.5,30\nb,"open,2,31\n' + "c,basic,1.5,30\n" * 10_000)
    assert values(chunk) == [(2, 30, 1.5, "basic")]
    assert reasons(chunk) == {3: "has 2 values, but the first line has 4"}


FLAGS = [Feature("paid", "BOOL"), Feature("age", "INT64")]


@pytest.mark.parametrize("others", ["", "x,odd\n", "\n"])
def test_booleans(others: str) -> None:
    text = "true,1\nFalse,2\n1,3\n0,4\nTRUE,5\n" + others
    chunk = rows.parse_csv(text.encode(), 2, ["paid", "age"], FLAGS, [])
    assert chunk.columns[0].dtype == bool
    assert chunk.columns[0].tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(("bad", "reason"), [("yes", "is 'yes', which is not a boolean"), ("", "is empty")])
def test_a_value_that_is_not_a_boolean_is_a_bad_row(bad: str, reason: str) -> None:
    chunk = rows.parse_csv(f"true,1\n{bad},2\n".encode(), 2, ["paid", "age"], FLAGS, [])
    assert reasons(chunk) == {3: f"paid {reason}"}


def test_booleans_of_parquet() -> None:
    for paid in ([True, False, None], [1, 0, 2]):
        chunk = rows.from_arrow(pa.table({"paid": paid, "age": [1, 2, 3]}), 1, FLAGS, [])
        assert values(chunk) == [(1, True, 1), (2, False, 2)]
        assert reasons(chunk) == {3: "paid is empty or not a valid BOOL"}


def test_a_string_that_is_not_in_utf_8_is_a_bad_row() -> None:
    chunk = parse(b"a,basic,1.5,30\nb,caf\xe9,2,31\n")
    assert reasons(chunk) == {3: "it is not in UTF-8"}


def test_an_integer_may_have_a_decimal_point_and_the_greatest_is_exact() -> None:
    assert [row[1] for row in values(parse("a,b,1,30.0\na,b,1,9223372036854775807\n"))] == [30, 9223372036854775807]


@pytest.mark.parametrize(
    ("buffer", "ends"),
    [
        (b"", []),
        (b"a", []),
        (b"a\nb\n", [2, 4]),
        (b'a,"b\nc"\nd\n', [8, 10]),
        (b'a,"b""\nc"\nd', [10]),
        (b'a,"open\nb\n', []),
    ],
)
def test_the_ends_of_records(buffer: bytes, ends: list[int]) -> None:
    assert rows.record_ends(buffer).tolist() == ends


def test_the_header() -> None:
    assert rows.parse_header(b'\xef\xbb\xbfid,"a, b"\r\n') == ["id", "a, b"]
    with pytest.raises(rows.InvalidFile, match="contains the column 'id' twice"):
        rows.parse_header(b"id,id\n")
    with pytest.raises(rows.InvalidFile, match="not in UTF-8"):
        rows.parse_header(b"caf\xe9\n")
    with pytest.raises(rows.InvalidFile, match="it has no column 'age'; it has 'id'"):
        rows.check_columns(["id"], FEATURES, [], "line")
    with pytest.raises(rows.InvalidFile, match="it has no column 'id'"):
        rows.check_columns(["age", "charge", "plan"], FEATURES, ["id"], "line")
    with pytest.raises(rows.InvalidFile, match="its lines end in CR alone"):
        rows.parse_header(b"id,age\ra,30\rb,31\r")


@pytest.mark.parametrize("name", ["line", "prediction", "prediction_0", "probability_12"])
def test_a_column_of_the_predictions_cannot_be_copied(name: str) -> None:
    found = ["age", "charge", "plan", name]
    rows.check_columns(found, FEATURES, [], "line")
    with pytest.raises(rows.InvalidFile, match=f"its column '{name}' cannot be copied"):
        rows.check_columns(found, FEATURES, [name], "line")


@pytest.mark.parametrize("name", ["row", "prediction_date", "probability", "line_2"])
def test_other_columns_can_be_copied(name: str) -> None:
    rows.check_columns(["age", "charge", "plan", name], FEATURES, [name], "line")


def test_rows_of_parquet() -> None:
    table = pa.table(
        {
            "age": pa.array([30, 31, None, 33, 34], pa.int16()),
            "charge": [1.5, float("nan"), 2.0, 3.0, 4.0],
            "plan": ["basic", "more", "more", None, "more"],
            "id": [1, 2, 3, 4, 5],
        }
    )
    chunk = rows.from_arrow(table, 11, FEATURES, ["id"])
    assert values(chunk) == [(11, 30, 1.5, "basic"), (15, 34, 4.0, "more")]
    assert chunk.kept["id"].to_pylist() == [1, 5]
    assert reasons(chunk) == {
        12: "charge is empty or not finite",
        13: "age is empty or not a valid INT64",
        14: "plan is empty",
    }


def test_a_fraction_is_not_an_integer_in_parquet() -> None:
    table = pa.table({"age": [30.0, 30.5], "charge": [1.0, 1.0], "plan": ["a", "b"]})
    assert reasons(rows.from_arrow(table, 1, FEATURES, [])) == {2: "age is empty or not a valid INT64"}


def test_a_column_of_another_type_in_parquet() -> None:
    table = pa.table({"age": [[1]], "charge": [1.0], "plan": ["a"]})
    with pytest.raises(rows.InvalidFile, match=r"its column 'age' has the type list<.*>, but the model requires INT64"):
        rows.from_arrow(table, 1, FEATURES, [])


MISSING = [
    Feature("months", "INT64", missing=lambda: (float("nan"),)),
    Feature("charge", "FP64", missing=lambda: (float("nan"),)),
    Feature("paid", "BOOL"),
]


def test_an_empty_number_is_missing_where_the_model_takes_it() -> None:
    chunk = rows.parse_csv(b"1,,true\n,2.5,false\n3,4.5,\nx,1,true\n", 2, ["months", "charge", "paid"], MISSING, [])
    assert [(bad.number, bad.reason) for bad in chunk.rejected] == [
        (4, "paid is empty"),
        (5, "months is 'x', which is not a number"),
    ]
    months, charge, paid = chunk.columns
    np.testing.assert_array_equal(months, [1.0, np.nan])
    np.testing.assert_array_equal(charge, [np.nan, 2.5])
    assert paid.tolist() == [True, False]


def test_null_in_parquet_is_missing_where_the_model_takes_it() -> None:
    table = pa.table({"months": [1, None, 3], "charge": [None, 2.5, 4.5], "paid": [True, False, None]})
    chunk = rows.from_arrow(table, 1, MISSING, [])
    assert [(bad.number, bad.reason) for bad in chunk.rejected] == [(3, "paid is empty or not a valid BOOL")]
    months, charge, _paid = chunk.columns
    np.testing.assert_array_equal(months, [1.0, np.nan])
    np.testing.assert_array_equal(charge, [np.nan, 2.5])
