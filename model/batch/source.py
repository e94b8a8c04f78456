# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file in the bucket, chunk by chunk from any place on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow as pa  # type: ignore[import-not-found]
import pyarrow.parquet as pq  # type: ignore[import-not-found]

from model.server.rows import Feature

from .bucket import BLOCK, ObjectFile, Objects
from .errors import BatchError
from .rows import MOST_BYTES, Chunk, Unfit, check_columns, from_arrow, parse_csv, parse_header, record_ends


@dataclass(frozen=True)
class Place:
    """How far a file was read. offset: bytes of CSV, rows of Parquet; number: what the next row is known by."""

    offset: int = 0
    number: int = 1

    def as_json(self) -> dict[str, int]:
        """The place as progress keeps it."""
        return asdict(self)


class Source(Protocol):
    """A file of rows; numbered: what its rows are known by."""

    numbered: str

    def chunks(self, place: Place) -> Iterator[tuple[Chunk, Place]]:
        """The rows from a place on, each chunk with the place behind it; BatchError where the file is unfit."""


def open_source(
    objects: Objects, key: str, etag: str, features: Sequence[Feature], keep: Sequence[str], chunk_rows: int
) -> Source:
    """The file, by the end of its name.

    Raises:
        BatchError: its name ends in neither.
    """
    wanted = (objects, key, etag, features, keep, chunk_rows)
    if key.lower().endswith(".csv"):
        return CsvSource(*wanted)
    if key.lower().endswith(".parquet"):
        return ParquetSource(*wanted)
    raise BatchError(f"The file {key} ends in neither .csv nor .parquet: give it the ending of what it holds.")


class _Source:
    def __init__(
        self,
        objects: Objects,
        key: str,
        etag: str,
        features: Sequence[Feature],
        keep: Sequence[str],
        chunk_rows: int,
    ) -> None:
        self._objects, self._key, self._etag = objects, key, etag
        self._features, self._keep, self._chunk_rows = features, keep, chunk_rows

    def _unfit(self, why: Unfit) -> BatchError:
        return BatchError(f"The file {self._key} does not fit the model: {why}.")


class CsvSource(_Source):
    """CSV with a first line of names, commas, and quotes as in RFC 4180; a row is known by the line it begins in."""

    numbered = "line"

    def chunks(self, place: Place) -> Iterator[tuple[Chunk, Place]]:
        """See Source."""
        header, behind = self._header()
        if place.offset == 0:
            place = behind
        size = self._objects.size(self._key, self._etag)
        buffer, read_to = b"", place.offset
        while read_to < size or buffer:
            ends = record_ends(buffer)
            while len(ends) < self._chunk_rows and read_to < size:
                block = self._objects.read(self._key, self._etag, read_to, min(BLOCK, size - read_to))
                read_to += len(block)
                buffer += block
                ends = record_ends(buffer)
                if len(buffer) > MOST_BYTES:
                    raise BatchError(
                        f"The next {self._chunk_rows} rows of the file {self._key} from line {place.number} on are "
                        f"more than {MOST_BYTES >> 20} MiB: see whether a quote is not closed, or take fewer at once."
                    )
            if len(ends) > self._chunk_rows:
                end = int(ends[self._chunk_rows - 1])
            else:
                # The last record needs no line feed.
                end = len(buffer) if read_to == size else int(ends[-1])
            records, buffer = buffer[:end], buffer[end:]
            try:
                chunk = parse_csv(records, place.number, header, self._features, self._keep)
            except Unfit as why:
                raise self._unfit(why) from why
            place = Place(place.offset + end, place.number + records.count(b"\n"))
            yield chunk, place

    def _header(self) -> tuple[list[str], Place]:
        """The names of the columns, and the place behind them."""
        size = self._objects.size(self._key, self._etag)
        buffer, ends = b"", record_ends(b"")
        # Most are short, and what is read here is read again with the first rows.
        for most in (2**16, BLOCK):
            if not len(ends) and len(buffer) < size:
                buffer = self._objects.read(self._key, self._etag, 0, min(most, size))
                ends = record_ends(buffer)
        end = int(ends[0]) if len(ends) else len(buffer)
        try:
            if not len(ends) and len(buffer) < size:
                raise Unfit(
                    f"its first line is longer than {BLOCK >> 20} MiB: see whether a quote is not closed, or whether "
                    "the lines end in CR alone"
                )
            header = parse_header(buffer[:end])
            check_columns(header, self._features, self._keep, self.numbered)
        except Unfit as why:
            raise self._unfit(why) from why
        return header, Place(end, 1 + buffer[:end].count(b"\n"))


class ParquetSource(_Source):
    """Parquet; a row is known by its number, from 1."""

    numbered = "row"

    def chunks(self, place: Place) -> Iterator[tuple[Chunk, Place]]:
        """See Source."""
        try:
            file = pq.ParquetFile(ObjectFile(self._objects, self._key, self._etag), pre_buffer=False)
            check_columns(file.schema_arrow.names, self._features, self._keep, self.numbered)
            names = list(dict.fromkeys([*(feature.name for feature in self._features), *self._keep]))
            begin = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if begin + rows > place.offset:
                    table = file.read_row_group(group, columns=names, use_threads=False)
                    while place.offset < begin + rows:
                        part = table.slice(place.offset - begin, self._chunk_rows)
                        chunk = from_arrow(part, place.number, self._features, self._keep)
                        place = Place(place.offset + part.num_rows, place.number + part.num_rows)
                        yield chunk, place
                begin += rows
        except Unfit as why:
            raise self._unfit(why) from why
        except pa.ArrowInvalid as error:
            raise BatchError(
                f"The file {self._key} cannot be read as Parquet ({_one_line(error)}): write it anew."
            ) from error


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())[:200]
