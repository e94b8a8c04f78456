# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predictions for a whole file, written in parts beside it, with a manifest at the end.

Below the prefix of the output stand part-00000.csv and so on, rejected-00000.csv where rows were rejected, and
progress.json, which says after each part how far the file was read. A run that is killed goes on from there. The
manifest is written last: where it is, all is done. Nothing that is written holds a time or a random number, so that two
runs at once write the same.
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
from .source import Place, Source

MANIFEST = "manifest.json"
PROGRESS = "progress.json"
SCHEMA = 1
_NAMED = 5


@dataclass(frozen=True)
class Order:
    """What is to be done.

    key, etag: of the file; name, version, digest: of the model; output: the prefix of what is written, with the slash
    at its end; keep: columns that are passed on; max_rejected: how many rows may be rejected.
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
    def ending(self) -> str:
        """That of the file and of the parts."""
        return self.key.rpartition(".")[2].lower()


@dataclass
class Done:
    """What was done. parts, rejects: of the objects by their names, rows, size in bytes and sha256."""

    chunks: int = 0
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejects: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that were predicted."""
        return sum(part["rows"] for part in self.parts.values())

    @property
    def rejected(self) -> int:
        """Rows that were rejected."""
        return sum(part["rows"] for part in self.rejects.values())


def is_complete(objects: Objects, order: Order) -> bool:
    """Whether the manifest is there."""
    return objects.get(order.output + MANIFEST) is not None


def run(objects: Objects, order: Order, source: Source, model: Predictor, say: Callable[[str], None]) -> Done:
    """Predict what is left of the file, and write the manifest.

    Args:
        say: takes each line for people.

    Raises:
        BatchError: the file is unfit, was changed meanwhile, or has too many rows that cannot be predicted.
    """
    place, done = _progress(objects, order)
    if done.chunks:
        say(f"Going on behind chunk {done.chunks}, with {done.rows} rows.")
    methods = ["predict", *(["predict_proba"] if order.probabilities else [])]
    begun, rows_before = time.monotonic(), done.rows
    # One part is sent while the next is predicted.
    with ThreadPoolExecutor(1) as sender:
        sent: Future[None] | None = None
        for read, behind in source.chunks(place):
            chunk, results = predict(model, read, methods)
            _refuse_too_many(order, source.numbered, done, chunk)
            contents = {}
            if results:
                contents[f"part-{done.chunks:05d}.{order.ending}"] = _part(chunk, results, source.numbered, order)
            if chunk.rejected:
                contents[f"rejected-{done.chunks:05d}.csv"] = _rejects(chunk, source.numbered)
            _note(done, contents, chunk)
            progress = _json({"done": asdict(done), "place": behind.as_json(), "schema": SCHEMA})
            if sent:
                sent.result()
            sent = sender.submit(_send, objects, order.output, contents, progress)
            pace = (done.rows - rows_before) / (time.monotonic() - begun)
            say(f"Chunk {done.chunks}: {done.rows} rows, {pace:.0f} a second.")
        if sent:
            sent.result()
    objects.put(order.output + MANIFEST, _manifest(order, done))
    objects.remove(order.output + PROGRESS)
    return done


def _progress(objects: Objects, order: Order) -> tuple[Place, Done]:
    content = objects.get(order.output + PROGRESS)
    if content is None:
        return Place(), Done()
    progress = json.loads(content)
    return Place(**progress["place"]), Done(**progress["done"])


def _send(objects: Objects, prefix: str, contents: dict[str, bytes], progress: bytes) -> None:
    for name, content in contents.items():
        objects.put(prefix + name, content)
    objects.put(prefix + PROGRESS, progress)


def _note(done: Done, contents: dict[str, bytes], chunk: Chunk) -> None:
    done.chunks += 1
    for name, content in contents.items():
        kind, rows = (
            (done.parts, len(chunk.numbers)) if name.startswith("part-") else (done.rejects, len(chunk.rejected))
        )
        kind[name] = {"rows": rows, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _refuse_too_many(order: Order, numbered: str, done: Done, chunk: Chunk) -> None:
    count = done.rejected + len(chunk.rejected)
    if count <= order.max_rejected:
        return
    named = "; ".join(f"{numbered} {entry.number}: {entry.reason}" for entry in chunk.rejected[:_NAMED])
    more = f"; and {len(chunk.rejected) - _NAMED} more" if len(chunk.rejected) > _NAMED else ""
    raise BatchError(
        f"The file {order.key} has {count} rows so far that cannot be predicted, where {order.max_rejected} may be "
        f"({named}{more}): correct them, or allow more."
    )


def _part(chunk: Chunk, results: Sequence[NDArray[Any]], numbered: str, order: Order) -> bytes:
    columns: dict[str, Any] = {numbered: chunk.numbers, **chunk.kept}
    for name, result in zip(("prediction", "probability"), results, strict=False):
        columns |= _named(name, result, always=name == "probability")
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    if order.ending == "parquet":
        pq.write_table(table, sink)
    else:
        pa_csv.write_csv(table, sink, pa_csv.WriteOptions(quoting_style="needed"))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _named(name: str, result: NDArray[Any], always: bool) -> dict[str, NDArray[Any]]:
    """A result as columns: one under its own name, several with the number of each behind it."""
    if result.ndim == 1 and not always:
        return {name: result}
    return {f"{name}_{place}": np.ascontiguousarray(column) for place, column in enumerate(np.atleast_2d(result.T))}


def _rejects(chunk: Chunk, numbered: str) -> bytes:
    table = pa.table(
        {
            numbered: [entry.number for entry in chunk.rejected],
            "reason": [entry.reason for entry in chunk.rejected],
        }
    )
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(quoting_style="needed"))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _manifest(order: Order, done: Done) -> bytes:
    return _json(
        {
            "input": {"etag": order.etag, "key": order.key},
            "model": {"digest": order.digest, "name": order.name, "version": order.version},
            "parts": done.parts,
            "rejected": done.rejected,
            "rejects": done.rejects,
            "rows": done.rows,
            "schema": SCHEMA,
        }
    )


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"
