# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A chunk of a file's rows as columns for the model, and the rejected rows with their reasons.

Pure: without KServe and the object store.
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

# The maximum size of a chunk, and so of a value; the default of csv for a value is 128 KiB.
MAX_CHUNK_BYTES = 256 * 2**20
csv.field_size_limit(MAX_CHUNK_BYTES)

_LINE_FEED, _QUOTE = 10, 34
_INTEGER_LIMITS = {name: np.iinfo(name.lower()) for name in ("INT8", "INT16", "INT32", "INT64")} | {
    name: np.iinfo(name.lower()) for name in ("UINT8", "UINT16", "UINT32", "UINT64")
}
_TRUE, _FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")
# The columns that run.py adds for the results.
_RESULT = re.compile(r"prediction|(prediction|probability)_[0-9]+")


class InvalidFile(Exception):
    """The file cannot be predicted; the message completes a sentence."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be predicted, with its number in the file and the reason."""

    number: int
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    numbers: the line or row number of each row in the file; columns: one array per feature; kept: the columns to copy,
    by name, as strings or with their type in a Parquet file.
    """

    numbers: NDArray[np.int64]
    columns: list[NDArray[Any]]
    kept: dict[str, Any]
    rejected: list[RejectedRow]

    def select(self, accepted: NDArray[np.bool_], rejected: Sequence[RejectedRow] = ()) -> Chunk:
        """The rows of a mask, and the rejected rows added to those of the chunk."""
        return Chunk(
            self.numbers[accepted],
            [column[accepted] for column in self.columns],
            {name: column.filter(pa.array(accepted)) for name, column in self.kept.items()},
            sorted([*self.rejected, *rejected], key=lambda entry: entry.number),
        )


def record_ends(buffer: bytes) -> NDArray[np.int64]:
    """The ends of the CSV records: after each line feed that is not in quotes (RFC 4180).

    The buffer starts with a record.
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
        InvalidFile: it is not UTF-8, contains a column twice, or continues after a CR.
    """
    try:
        reader = csv.reader(io.StringIO(record.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        raise InvalidFile("its first line is not in UTF-8") from None
    names = next(reader, [])
    # csv also accepts a CR alone as the end of a record.
    if next(reader, None) is not None:
        raise InvalidFile("its lines end in CR alone: end them in LF, or in CR and LF")
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidFile(f"its first line contains the column {duplicates[0]!r:.80} twice")
    return names


def check_columns(found: Sequence[str], features: Sequence[Feature], keep: Sequence[str], number_column: str) -> None:
    """Reject a file without a required column, or with a column to copy whose name the predictions use.

    Args:
        number_column: the name of the column with the row numbers.

    Raises:
        InvalidFile: the columns are invalid.
    """
    for name in (*(feature.name for feature in features), *keep):
        if name not in found:
            raise InvalidFile(f"it has no column {name!r:.80}; it has {', '.join(map(repr, found))[:200]}")
    for name in keep:
        if name == number_column or _RESULT.fullmatch(name):
            raise InvalidFile(
                f"its column {name!r:.80} cannot be copied, because the predictions have one of that name: rename it"
            )


def parse_csv(
    buffer: bytes, first_line: int, header: Sequence[str], features: Sequence[Feature], keep: Sequence[str]
) -> Chunk:
    """Parse complete records.

    Args:
        first_line: the number of the buffer's first line in the file.
    """
    fast = _parse_with_arrow(buffer, first_line, header, features, keep)
    return fast if fast else _parse_by_value(buffer, first_line, header, features, keep)


def _parse_with_arrow(
    buffer: bytes, first_line: int, header: Sequence[str], features: Sequence[Feature], keep: Sequence[str]
) -> Chunk | None:
    """Parse records without quotes and errors; None if there are any, which _parse_by_value reports."""
    if b'"' in buffer:
        return None
    # Arrow accepts hexadecimal integers, and reads the greater half of them as negative.
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
    # Arrow skips empty lines, which would change the numbers of the rows after them.
    lines = buffer.count(b"\n") + (not buffer.endswith(b"\n"))
    columns = [_as_numpy(table.column(feature.name), feature) for feature in features]
    if table.num_rows != lines or not all(_all_finite(column) for column in columns):
        return None
    numbers = np.arange(first_line, first_line + lines, dtype=np.int64)
    return Chunk(numbers, columns, {name: table.column(name) for name in keep}, [])


def _parse_by_value(
    buffer: bytes, first_line: int, header: Sequence[str], features: Sequence[Feature], keep: Sequence[str]
) -> Chunk:
    """Parse each record and each value."""
    places = [header.index(feature.name) for feature in features]
    kept_places = [header.index(name) for name in keep]
    numbers: list[int] = []
    values: list[list[Any]] = []
    kept: list[list[str]] = []
    rejected: list[RejectedRow] = []
    for number, record in _records(buffer, first_line):
        if len(record) != len(header):
            rejected.append(RejectedRow(number, f"has {len(record)} values, but the first line has {len(header)}"))
            continue
        try:
            row = [_value(record[place], feature) for place, feature in zip(places, features, strict=True)]
        except ValueError as error:
            rejected.append(RejectedRow(number, str(error)))
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
    """Each record with the number of its first line; empty lines are skipped."""
    reader = csv.reader(io.StringIO(buffer.decode("utf-8", "surrogateescape"), newline=""))
    number = first_line
    for record in reader:
        if record:
            yield number, record
        number = first_line + reader.line_num


def from_arrow(table: Any, first_row: int, features: Sequence[Feature], keep: Sequence[str]) -> Chunk:
    """Convert rows of a Parquet file.

    Args:
        table: of Arrow, with a column per feature and per column to copy.
        first_row: the number of the first row in the file.

    Raises:
        InvalidFile: a column has a type that does not fit the feature.
    """
    numbers = np.arange(first_row, first_row + table.num_rows, dtype=np.int64)
    all_bad = np.zeros(table.num_rows, dtype=bool)
    reasons: dict[int, str] = {}
    columns = []
    for feature in features:
        column = table.column(feature.name)
        null = np.asarray(column.is_null(), dtype=bool)
        # Where the model takes missing values, null is one.
        missing = feature.missing() if null.any() else ()
        bad = np.zeros_like(null) if missing else null.copy()
        problem = "is empty"
        try:
            values = column.cast(_arrow_type(feature), safe=False)
            if feature.datatype in _INTEGER_LIMITS or feature.datatype == BOOL:
                # Unsafe casts truncate fractions and convert any number to true.
                bad |= ~np.asarray(_equal(values, column).fill_null(bool(missing)), dtype=bool)
                problem = f"is empty or not a valid {feature.datatype}"
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise InvalidFile(
                f"its column {feature.name!r:.80} has the type {column.type}, but the model requires {feature.datatype}"
            ) from None
        array = _as_numpy(values.fill_null({TEXT: "", BOOL: False}.get(feature.datatype, 0)), feature)
        if array.dtype.kind == "f":
            bad |= ~np.isfinite(array)
            problem = "is empty or not finite"
        if missing:
            array = array.astype(object if feature.datatype in (TEXT, BOOL) else np.float64)
            array[null] = missing[0]
        for place in np.flatnonzero(bad & ~all_bad):
            reasons[int(place)] = f"{feature.name} {problem}"
        all_bad |= bad
        columns.append(array)
    chunk = Chunk(numbers, columns, {name: table.column(name) for name in keep}, [])
    return chunk.select(~all_bad, [RejectedRow(first_row + place, reason) for place, reason in reasons.items()])


def _equal(values: Any, column: Any) -> Any:
    return pc.equal(values.cast(pa.float64(), safe=False), column.cast(pa.float64(), safe=False))


def _value(text: str, feature: Feature) -> Any:
    """Parse a value of a record, None for a missing one; ValueError names the problem."""
    if feature.datatype == TEXT:
        return _readable(text)
    if not text.strip():
        if feature.missing():
            return None
        raise ValueError(f"{feature.name} is empty")
    if feature.datatype == BOOL:
        if text.strip() not in (*_TRUE, *_FALSE):
            raise ValueError(f"{feature.name} is {text!r:.40}, which is not a boolean")
        return text.strip() in _TRUE
    try:
        number = _float(text)
    except ValueError:
        raise ValueError(f"{feature.name} is {text!r:.40}, which is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{feature.name} is {text!r:.40}, which is not finite")
    limits = _INTEGER_LIMITS.get(feature.datatype)
    if limits is None:
        return number
    try:
        integer = int(text)
    except ValueError:
        integer = int(number)
        if integer != number:
            raise ValueError(f"{feature.name} is {text!r:.40}, which is not an integer") from None
    if not limits.min <= integer <= limits.max:
        raise ValueError(f"{feature.name} is {text!r:.40}, which is not a valid {feature.datatype}")
    return integer


def _float(text: str) -> float:
    if "_" in text:
        raise ValueError("Only Python accepts underscores in numbers.")
    return float(text)


def _readable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not in UTF-8") from None
    return text


def _array(values: list[Any], feature: Feature) -> NDArray[Any]:
    if any(value is None for value in values):
        blank = feature.missing()[0]
        filled = [blank if value is None else value for value in values]
        return np.array(filled, dtype=object if feature.datatype == BOOL else np.float64)
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


def _all_finite(column: NDArray[Any]) -> bool:
    return column.dtype.kind != "f" or bool(np.isfinite(column).all())
