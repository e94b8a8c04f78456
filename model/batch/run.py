# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predict a file, and upload the predictions in parts with a manifest at the end.

The prefix of the output contains part-00000.csv and so on, rejected-00000.csv if rows were rejected, and progress.json.
That is updated after each part, and an interrupted run resumes from it. The manifest is uploaded last, and marks the
output as complete. No object contains a time or a random number, so that two concurrent runs write the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-not-found]
import pyarrow.csv as pa_csv  # type: ignore[import-not-found]
import pyarrow.parquet as pq  # type: ignore[import-not-found]
from numpy.typing import NDArray

from .bucket import Objects
from .errors import BatchError
from .predictor import Predictor, predict
from .rows import Chunk
from .source import Position, Source

MANIFEST = "manifest.json"
PROGRESS = "progress.json"
SCHEMA = 1
REPORTED_ROWS = 5


@dataclass(frozen=True)
class BatchJob:
    """The file, the model and the options of a run.

    key, etag: of the file; name, version, digest: of the model; output: the prefix of the predictions, with a slash at
    the end; keep: columns to copy to the predictions; max_rejected: the maximum number of rejected rows.
    """

    key: str
    etag: str
    name: str
    version: str
    digest: str
    output: str
    keep: tuple[str, ...] = ()
    probabilities: bool = False
    max_rejected: int = 0

    @property
    def extension(self) -> str:
        """The extension of the file and of the parts."""
        return self.key.rpartition(".")[2].lower()


@dataclass
class Summary:
    """The uploaded parts. parts, rejects: rows, size in bytes and SHA-256 of each object by its name."""

    chunks: int = 0
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejects: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of predicted rows."""
        return sum(part["rows"] for part in self.parts.values())

    @property
    def rejected(self) -> int:
        """The number of rejected rows."""
        return sum(part["rows"] for part in self.rejects.values())


def is_complete(objects: Objects, job: BatchJob) -> bool:
    """Whether the manifest exists."""
    return objects.get(job.output + MANIFEST) is not None


def run(objects: Objects, job: BatchJob, source: Source, model: Predictor, log: Callable[[str], None]) -> Summary:
    """Predict the remaining rows of the file, and upload the manifest.

    Args:
        log: prints a line.

    Raises:
        BatchError: the file is invalid, was changed during the run, or has too many rejected rows.
    """
    position, summary = _progress(objects, job)
    if summary.chunks:
        log(f"Resuming after chunk {summary.chunks} with {summary.rows} rows.")
    methods = ["predict", *(["predict_proba"] if job.probabilities else [])]
    started, rows_before = time.monotonic(), summary.rows
    # One part is uploaded while the next is predicted.
    with ThreadPoolExecutor(1) as uploader:
        upload: Future[None] | None = None
        for read, next_position in source.chunks(position):
            chunk, results = predict(model, read, methods)
            _check_rejected(job, source.number_column, summary, chunk)
            contents = {}
            if results:
                contents[f"part-{summary.chunks:05d}.{job.extension}"] = _part(
                    chunk, results, source.number_column, job
                )
            if chunk.rejected:
                contents[f"rejected-{summary.chunks:05d}.csv"] = _rejects(chunk, source.number_column)
            _add(summary, contents, chunk)
            progress = _json({"done": asdict(summary), "place": next_position.as_json(), "schema": SCHEMA})
            if upload:
                upload.result()
            upload = uploader.submit(_upload, objects, job.output, contents, progress)
            pace = (summary.rows - rows_before) / (time.monotonic() - started)
            log(f"Chunk {summary.chunks}: {summary.rows} rows, {pace:.0f} rows/s.")
        if upload:
            upload.result()
    objects.put(job.output + MANIFEST, _manifest(job, summary))
    objects.delete(job.output + PROGRESS)
    return summary


def _progress(objects: Objects, job: BatchJob) -> tuple[Position, Summary]:
    content = objects.get(job.output + PROGRESS)
    if content is None:
        return Position(), Summary()
    progress = json.loads(content)
    return Position(**progress["place"]), Summary(**progress["done"])


def _upload(objects: Objects, prefix: str, contents: dict[str, bytes], progress: bytes) -> None:
    for name, content in contents.items():
        objects.put(prefix + name, content)
    objects.put(prefix + PROGRESS, progress)


def _add(summary: Summary, contents: dict[str, bytes], chunk: Chunk) -> None:
    summary.chunks += 1
    for name, content in contents.items():
        entries, rows = (
            (summary.parts, len(chunk.numbers)) if name.startswith("part-") else (summary.rejects, len(chunk.rejected))
        )
        entries[name] = {"rows": rows, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _check_rejected(job: BatchJob, number_column: str, summary: Summary, chunk: Chunk) -> None:
    count = summary.rejected + len(chunk.rejected)
    if count <= job.max_rejected:
        return
    reasons = "; ".join(f"{number_column} {entry.number}: {entry.reason}" for entry in chunk.rejected[:REPORTED_ROWS])
    more = f"; and {len(chunk.rejected) - REPORTED_ROWS} more" if len(chunk.rejected) > REPORTED_ROWS else ""
    raise BatchError(
        f"The file {job.key} has {count} rejected rows so far, but the maximum is {job.max_rejected} "
        f"({reasons}{more}): correct them, or raise the maximum."
    )


def _part(chunk: Chunk, results: Sequence[NDArray[Any]], number_column: str, job: BatchJob) -> bytes:
    columns: dict[str, Any] = {number_column: chunk.numbers, **chunk.kept}
    for name, result in zip(("prediction", "probability"), results, strict=False):
        columns |= _columns(name, result, always=name == "probability")
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    if job.extension == "parquet":
        pq.write_table(table, sink)
    else:
        pa_csv.write_csv(table, sink, pa_csv.WriteOptions(quoting_style="needed"))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _columns(name: str, result: NDArray[Any], always: bool) -> dict[str, NDArray[Any]]:
    """A result as columns: one with its name, or several with their numbers in the name."""
    if result.ndim == 1 and not always:
        return {name: result}
    return {f"{name}_{place}": np.ascontiguousarray(column) for place, column in enumerate(np.atleast_2d(result.T))}


def _rejects(chunk: Chunk, number_column: str) -> bytes:
    table = pa.table(
        {
            number_column: [entry.number for entry in chunk.rejected],
            "reason": [entry.reason for entry in chunk.rejected],
        }
    )
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(quoting_style="needed"))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _manifest(job: BatchJob, summary: Summary) -> bytes:
    return _json(
        {
            "input": {"etag": job.etag, "key": job.key},
            "model": {"digest": job.digest, "name": job.name, "version": job.version},
            "parts": summary.parts,
            "rejected": summary.rejected,
            "rejects": summary.rejects,
            "rows": summary.rows,
            "schema": SCHEMA,
        }
    )


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"
