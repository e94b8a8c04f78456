# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of a version in the bucket, verified by its manifest and loaded as the serving program loads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.server.errors import StartError
from model.server.rows import Feature, InvalidRows
from model.server.sklearn_model import PROBABILITIES, SklearnModel

from .bucket import Objects
from .errors import BatchError
from .rows import Chunk, Rejected

MANIFEST = "manifest.json"


class Predictor(Protocol):
    """A model that is loaded."""

    @property
    def features(self) -> list[Feature]:
        """What a row holds, in its order."""

    def run(self, columns: Sequence[NDArray[Any]], method: str) -> NDArray[Any]:
        """The result of predict or predict_proba; InvalidRows where the model cannot take these rows."""


def fetch(objects: Objects, prefix: str, digest: str, folder: Path) -> None:
    """Put the files of a version into a folder.

    Args:
        prefix: of the version's keys, with the slash at its end.
        digest: "sha256:" and the sha256 that its manifest must have.

    Raises:
        BatchError: the version is not there, not complete, or another.
    """
    content = objects.get(prefix + MANIFEST)
    if content is None or f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise BatchError(f"The version {prefix} does not have the digest {digest} any more: run again.")
    for name, entry in json.loads(content)["files"].items():
        file = objects.get(prefix + name)
        if file is None or hashlib.sha256(file).hexdigest() != entry["sha256"]:
            raise BatchError(f"The object {prefix}{name} is not what the version's manifest says: upload it again.")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)


def load(name: str, folder: Path, probabilities: bool) -> Predictor:
    """The model in a folder.

    Raises:
        BatchError: it cannot be loaded, or has no probabilities where they are wanted.
    """
    model = SklearnModel(name, folder)
    try:
        model.load()
    except StartError as error:
        raise BatchError(str(error)) from error
    if probabilities and PROBABILITIES not in model.methods:
        raise BatchError(f"The model {name} has no probabilities: leave them out.")
    return model


def predict(model: Predictor, chunk: Chunk, methods: Sequence[str]) -> tuple[Chunk, list[NDArray[Any]]]:
    """The results of the methods for the rows that the model takes; those that it does not are rejected.

    Raises:
        BatchError: the model takes each row, but not all of them.
    """
    if not len(chunk.numbers):
        return chunk, []
    try:
        return chunk, [model.run(chunk.columns, method) for method in methods]
    except InvalidRows as error:
        # Some row cannot be predicted, such as one of a category that the model refuses.
        faults = dict(_faults(model, chunk, 0, len(chunk.numbers), methods))
        if not faults:
            raise BatchError(
                f"The model takes each of the {len(chunk.numbers)} rows from {chunk.numbers[0]} to "
                f"{chunk.numbers[-1]}, and not all of them ({str(error).rstrip('.')}): take fewer at once."
            ) from error
    rejected = [Rejected(int(chunk.numbers[place]), reason) for place, reason in faults.items()]
    fit = np.ones(len(chunk.numbers), dtype=bool)
    fit[list(faults)] = False
    return predict(model, chunk.only(fit, rejected), methods)


def _faults(model: Predictor, chunk: Chunk, start: int, end: int, methods: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The places of the rows that the model does not take, each with the reason, found by halves."""
    try:
        for method in methods:
            model.run([column[start:end] for column in chunk.columns], method)
    except InvalidRows as error:
        if end - start == 1:
            yield start, str(error).rstrip(".")
        else:
            middle = (start + end) // 2
            yield from _faults(model, chunk, start, middle, methods)
            yield from _faults(model, chunk, middle, end, methods)
