# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the file in the bucket in chunks, from any position on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow as pa  # type: ignore[import-not-found]
import pyarrow.parquet as pq  # type: ignore[import-not-found]

from model.server.rows import Feature

from .bucket import BLOCK, ObjectFile, Objects
from .errors import BatchError
from .rows import MAX_CHUNK_BYTES, Chunk, InvalidFile, check_columns, from_arrow, parse_csv, parse_header, record_ends


@dataclass(frozen=True)
class Position:
    """A position in a file. offset: in bytes of CSV or rows of Parquet; number: that of the next line or row."""

    offset: int = 0
    number: int = 1

    def as_json(self) -> dict[str, int]:
        """The position as in progress.json."""
        return asdict(self)


class Source(Protocol):
    """A file of rows; number_column: the name of the column with the line or row numbers."""

    number_column: str

    def chunks(self, position: Position) -> Iterator[tuple[Chunk, Position]]:
        """The rows from a position on, each chunk with the position after it; BatchError if the file is invalid."""


def open_source(
    objects: Objects, key: str, etag: str, features: Sequence[Feature], keep: Sequence[str], chunk_rows: int
) -> Source:
    """Open the file by its extension.

    Raises:
        BatchError: the extension is not supported.
    """
    arguments = (objects, key, etag, features, keep, chunk_rows)
    if key.lower().endswith(".csv"):
        return CsvSource(*arguments)
    if key.lower().endswith(".parquet"):
        return ParquetSource(*arguments)
    raise BatchError(f"The extension of the file {key} is not supported: use .csv or .parquet.")


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

    def _batch_error(self, error: InvalidFile) -> BatchError:
        return BatchError(f"The file {self._key} does not fit the model: {error}.")


class CsvSource(_Source):
    """CSV with a header, commas, and quotes as in RFC 4180; the number of a row is that of its first line."""

    number_column = "line"

    def chunks(self, position: Position) -> Iterator[tuple[Chunk, Position]]:
        """See Source."""
        header, first = self._header()
        if position.offset == 0:
            position = first
        size = self._objects.size(self._key, self._etag)
        buffer, read_to = b"", position.offset
        while read_to < size or buffer:
            ends = record_ends(buffer)
            while len(ends) < self._chunk_rows and read_to < size:
                block = self._objects.read(self._key, self._etag, read_to, min(BLOCK, size - read_to))
                read_to += len(block)
                buffer += block
                ends = record_ends(buffer)
                if len(buffer) > MAX_CHUNK_BYTES:
                    raise BatchError(
                        f"The next {self._chunk_rows} rows of the file {self._key} from line {position.number} on are "
                        f"larger than {MAX_CHUNK_BYTES >> 20} MiB: close open quotes, or reduce the rows per chunk."
                    )
            if len(ends) > self._chunk_rows:
                end = int(ends[self._chunk_rows - 1])
            else:
                # The last record may end without a line feed.
                end = len(buffer) if read_to == size else int(ends[-1])
            records, buffer = buffer[:end], buffer[end:]
            try:
                chunk = parse_csv(records, position.number, header, self._features, self._keep)
            except InvalidFile as error:
                raise self._batch_error(error) from error
            position = Position(position.offset + end, position.number + records.count(b"\n"))
            yield chunk, position

    def _header(self) -> tuple[list[str], Position]:
        """The names of the columns, and the position after them."""
        size = self._objects.size(self._key, self._etag)
        buffer, ends = b"", record_ends(b"")
        # Most headers are short, and these bytes are read again with the first rows.
        for limit in (2**16, BLOCK):
            if not len(ends) and len(buffer) < size:
                buffer = self._objects.read(self._key, self._etag, 0, min(limit, size))
                ends = record_ends(buffer)
        end = int(ends[0]) if len(ends) else len(buffer)
        try:
            if not len(ends) and len(buffer) < size:
                raise InvalidFile(
                    f"its first line is longer than {BLOCK >> 20} MiB: close open quotes, and end lines in LF or "
                    "in CR and LF"
                )
            header = parse_header(buffer[:end])
            check_columns(header, self._features, self._keep, self.number_column)
        except InvalidFile as error:
            raise self._batch_error(error) from error
        return header, Position(end, 1 + buffer[:end].count(b"\n"))


class ParquetSource(_Source):
    """Parquet; the rows are numbered from 1."""

    number_column = "row"

    def chunks(self, position: Position) -> Iterator[tuple[Chunk, Position]]:
        """See Source."""
        try:
            file = pq.ParquetFile(ObjectFile(self._objects, self._key, self._etag), pre_buffer=False)
            check_columns(file.schema_arrow.names, self._features, self._keep, self.number_column)
            names = list(dict.fromkeys([*(feature.name for feature in self._features), *self._keep]))
            begin = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if begin + rows > position.offset:
                    table = file.read_row_group(group, columns=names, use_threads=False)
                    while position.offset < begin + rows:
                        part = table.slice(position.offset - begin, self._chunk_rows)
                        chunk = from_arrow(part, position.number, self._features, self._keep)
                        position = Position(position.offset + part.num_rows, position.number + part.num_rows)
                        yield chunk, position
                begin += rows
        except InvalidFile as error:
            raise self._batch_error(error) from error
        except pa.ArrowInvalid as error:
            raise BatchError(
                f"The file {self._key} is not valid Parquet ({_one_line(error)}): create it again."
            ) from error


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())[:200]
