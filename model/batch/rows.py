# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A chunk of a file's rows as columns for the model, and of each row that the model cannot take the reason.

Pure: knows neither KServe nor the store.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-not-found]
import pyarrow.compute as pc  # type: ignore[import-not-found]
import pyarrow.csv as pa_csv  # type: ignore[import-not-found]
from numpy.typing import NDArray

from model.server.rows import BOOL, TEXT, Feature

# Of a chunk, and so of a value in it; csv alone refuses one of 128 KiB.
MOST_BYTES = 256 * 2**20
csv.field_size_limit(MOST_BYTES)

_LINE_FEED, _QUOTE = 10, 34
_INTEGER_LIMITS = {name: np.iinfo(name.lower()) for name in ("INT8", "INT16", "INT32", "INT64")} | {
    name: np.iinfo(name.lower()) for name in ("UINT8", "UINT16", "UINT32", "UINT64")
}
_TRUE, _FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")
# What run calls the columns of the results.
_RESULT = re.compile(r"prediction|(prediction|probability)_[0-9]+")


class Unfit(Exception):
    """The file as a whole cannot be predicted; the text is one sentence."""


@dataclass(frozen=True)
class Rejected:
    """A row that the model cannot take, by its number in the file, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    numbers: what each row is known by in its file; columns: one array for each feature; kept: the columns that are
    passed on, by name, as texts or as they were in a Parquet file.
    """

    numbers: NDArray[np.int64]
    columns: list[NDArray[Any]]
    kept: dict[str, Any]
    rejected: list[Rejected]

    def only(self, wanted: NDArray[np.bool_], rejected: Sequence[Rejected] = ()) -> Chunk:
        """The rows of a mask; the others are rejected for these reasons."""
        return Chunk(
            self.numbers[wanted],
            [column[wanted] for column in self.columns],
            {name: column.filter(pa.array(wanted)) for name, column in self.kept.items()},
            sorted([*self.rejected, *rejected], key=lambda entry: entry.number),
        )


def record_ends(buffer: bytes) -> NDArray[np.int64]:
    """Where the records of CSV end: behind each line feed that is not inside quotes (RFC 4180).

    The buffer begins with a record.
    """
    letters = np.frombuffer(buffer, dtype=np.uint8)
    ends = np.flatnonzero(letters == _LINE_FEED)
    if b'"' in buffer:
        quotes = np.cumsum(letters == _QUOTE)
        ends = ends[quotes[ends] % 2 == 0]
    return ends + 1


def parse_header(record: bytes) -> list[str]:
    """The names in the first record.

    Raises:
        Unfit: it is no text, names a column twice, or goes on behind a CR.
    """
    try:
        reader = csv.reader(io.StringIO(record.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        raise Unfit("its first line is not in UTF-8") from None
    names = next(reader, [])
    # For csv a CR alone ends a record, too.
    if next(reader, None) is not None:
        raise Unfit("its lines end in CR alone: end them in LF, or in CR and LF")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Unfit(f"its first line names the column {twice[0]!r:.80} twice")
    return names


def check_columns(found: Sequence[str], features: Sequence[Feature], keep: Sequence[str], numbered: str) -> None:
    """Refuse a file that lacks a column, or has one to keep under a name that the predictions need.

    Args:
        numbered: the name of the column with the numbers of the rows.

    Raises:
        Unfit: it does.
    """
    for name in (*(feature.name for feature in features), *keep):
        if name not in found:
            raise Unfit(f"it has no column {name!r:.80}; it has {', '.join(map(repr, found))[:200]}")
    for name in keep:
        if name == numbered or _RESULT.fullmatch(name):
            raise Unfit(
                f"its column {name!r:.80} cannot be kept, as the predictions have one of that name: call it otherwise"
            )


def parse_csv(
    buffer: bytes, first_line: int, header: Sequence[str], features: Sequence[Feature], keep: Sequence[str]
) -> Chunk:
    """Read whole records.

    Args:
        first_line: the number of the buffer's first line in its file.
    """
    fast = _parse_plain(buffer, first_line, header, features, keep)
    return fast if fast else _parse_each(buffer, first_line, header, features, keep)


def _parse_plain(
    buffer: bytes, first_line: int, header: Sequence[str], features: Sequence[Feature], keep: Sequence[str]
) -> Chunk | None:
    """Read records that have no quotes and no fault; None where there is one, which a closer look has to name."""
    if b'"' in buffer:
        return None
    # Arrow takes a hexadecimal number for a whole one, and the greater half of them for a negative one.
    if any(feature.datatype in _INTEGER_LIMITS for feature in features) and (b"0x" in buffer or b"0X" in buffer):
        return None
    types = {feature.name: _arrow_type(feature) for feature in features}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(buffer),
            read_options=pa_csv.ReadOptions(column_names=list(header), use_threads=False),
            convert_options=pa_csv.ConvertOptions(
                column_types={**dict.fromkeys(keep, pa.string()), **types},
                include_columns=list(dict.fromkeys([*types, *keep])),
                null_values=[],
                true_values=_TRUE,
                false_values=_FALSE,
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    # Arrow passes over empty lines, after which its rows would have other numbers.
    lines = buffer.count(b"\n") + (not buffer.endswith(b"\n"))
    columns = [_as_numpy(table.column(feature.name), feature) for feature in features]
    if table.num_rows != lines or not all(_sound(column) for column in columns):
        return None
    numbers = np.arange(first_line, first_line + lines, dtype=np.int64)
    return Chunk(numbers, columns, {name: table.column(name) for name in keep}, [])


def _parse_each(
    buffer: bytes, first_line: int, header: Sequence[str], features: Sequence[Feature], keep: Sequence[str]
) -> Chunk:
    """Read record by record, and value by value."""
    places = [header.index(feature.name) for feature in features]
    kept_places = [header.index(name) for name in keep]
    numbers: list[int] = []
    values: list[list[Any]] = []
    kept: list[list[str]] = []
    rejected: list[Rejected] = []
    for number, record in _records(buffer, first_line):
        if len(record) != len(header):
            rejected.append(Rejected(number, f"has {len(record)} values where the first line names {len(header)}"))
            continue
        try:
            row = [_value(record[place], feature) for place, feature in zip(places, features, strict=True)]
        except ValueError as error:
            rejected.append(Rejected(number, str(error)))
            continue
        numbers.append(number)
        values.append(row)
        kept.append([_readable(record[place]) for place in kept_places])
    return Chunk(
        np.array(numbers, dtype=np.int64),
        [_array([row[place] for row in values], feature) for place, feature in enumerate(features)],
        {name: pa.chunked_array([pa.array([row[i] for row in kept], pa.string())]) for i, name in enumerate(keep)},
        rejected,
    )


def _records(buffer: bytes, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """Each record with the number of the line that it begins in; empty lines are none."""
    reader = csv.reader(io.StringIO(buffer.decode("utf-8", "surrogateescape"), newline=""))
    number = first_line
    for record in reader:
        if record:
            yield number, record
        number = first_line + reader.line_num


def from_arrow(table: Any, first_row: int, features: Sequence[Feature], keep: Sequence[str]) -> Chunk:
    """Rows of a Parquet file.

    Args:
        table: of Arrow, with a column for each feature and each kept name.
        first_row: the number of the first row in its file.

    Raises:
        Unfit: a column has a type that the model does not take.
    """
    numbers = np.arange(first_row, first_row + table.num_rows, dtype=np.int64)
    wrong = np.zeros(table.num_rows, dtype=bool)
    reasons: dict[int, str] = {}
    columns = []
    for feature in features:
        column = table.column(feature.name)
        bad = np.asarray(column.is_null(), dtype=bool)
        what = "is empty"
        try:
            values = column.cast(_arrow_type(feature), safe=False)
            if feature.datatype in _INTEGER_LIMITS or feature.datatype == BOOL:
                # Without safe, a fraction would be cut, and any number be true.
                bad |= ~np.asarray(_equal(values, column).fill_null(False), dtype=bool)
                what = f"is empty or no {feature.datatype}"
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise Unfit(
                f"its column {feature.name!r:.80} is {column.type}, where the model takes {feature.datatype}"
            ) from None
        array = _as_numpy(values.fill_null({TEXT: "", BOOL: False}.get(feature.datatype, 0)), feature)
        if array.dtype.kind == "f":
            bad |= ~np.isfinite(array)
            what = "is empty or not finite"
        for place in np.flatnonzero(bad & ~wrong):
            reasons[int(place)] = f"{feature.name} {what}"
        wrong |= bad
        columns.append(array)
    whole = Chunk(numbers, columns, {name: table.column(name) for name in keep}, [])
    return whole.only(~wrong, [Rejected(first_row + place, reason) for place, reason in reasons.items()])


def _equal(values: Any, column: Any) -> Any:
    return pc.equal(values.cast(pa.float64(), safe=False), column.cast(pa.float64(), safe=False))


def _value(text: str, feature: Feature) -> Any:
    """A value of a record; ValueError says what is wrong with it."""
    if feature.datatype == TEXT:
        return _readable(text)
    if not text.strip():
        raise ValueError(f"{feature.name} is empty")
    if feature.datatype == BOOL:
        if text.strip() not in (*_TRUE, *_FALSE):
            raise ValueError(f"{feature.name} is {text!r:.40}, which is no boolean")
        return text.strip() in _TRUE
    try:
        number = _float(text)
    except ValueError:
        raise ValueError(f"{feature.name} is {text!r:.40}, which is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{feature.name} is {text!r:.40}, which is not finite")
    limits = _INTEGER_LIMITS.get(feature.datatype)
    if limits is None:
        return number
    try:
        whole = int(text)
    except ValueError:
        whole = int(number)
        if whole != number:
            raise ValueError(f"{feature.name} is {text!r:.40}, which is no whole number") from None
    if not limits.min <= whole <= limits.max:
        raise ValueError(f"{feature.name} is {text!r:.40}, which is no {feature.datatype}")
    return whole


def _float(text: str) -> float:
    if "_" in text:
        raise ValueError("To Python alone 1_000 is a thousand.")
    return float(text)


def _readable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not in UTF-8") from None
    return text


def _array(values: list[Any], feature: Feature) -> NDArray[Any]:
    return np.array(values, dtype=_dtype(feature))


def _dtype(feature: Feature) -> Any:
    if feature.datatype == TEXT:
        return object
    if feature.datatype == BOOL:
        return bool
    return feature.datatype.lower() if feature.datatype in _INTEGER_LIMITS else np.float64


def _arrow_type(feature: Feature) -> Any:
    return pa.string() if feature.datatype == TEXT else pa.from_numpy_dtype(_dtype(feature))


def _as_numpy(column: Any, feature: Feature) -> NDArray[Any]:
    array: NDArray[Any] = column.to_numpy()
    return array if feature.datatype != TEXT else array.astype(object)


def _sound(column: NDArray[Any]) -> bool:
    return column.dtype.kind != "f" or bool(np.isfinite(column).all())
