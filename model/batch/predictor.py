# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of a version in the bucket, verified by its manifest and loaded with the code of the model server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.server.errors import StartError
from model.server.estimator import PROBABILITIES
from model.server.imports import import_scikit_learn
from model.server.rows import Feature, InvalidRows
from model.server.sklearn_model import SklearnModel

from .bucket import Objects
from .errors import BatchError
from .rows import Chunk, RejectedRow

MANIFEST = "manifest.json"


class Predictor(Protocol):
    """A loaded model."""

    @property
    def features(self) -> list[Feature]:
        """The features of a row, in order."""

    def run(self, columns: Sequence[NDArray[Any]], method: str) -> NDArray[Any]:
        """The result of predict or predict_proba; InvalidRows if the model rejects these rows."""


def download(objects: Objects, prefix: str, digest: str, folder: Path) -> None:
    """Download the files of a version to a folder.

    Args:
        prefix: of the version's keys, with a slash at the end.
        digest: "sha256:" and the required SHA-256 of the manifest.

    Raises:
        BatchError: the version is missing, incomplete, or has another digest.
    """
    content = objects.get(prefix + MANIFEST)
    if content is None or f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise BatchError(f"The version {prefix} does not have the digest {digest}: run again with its current digest.")
    for name, entry in json.loads(content)["files"].items():
        file = objects.get(prefix + name)
        if file is None or hashlib.sha256(file).hexdigest() != entry["sha256"]:
            raise BatchError(f"The object {prefix}{name} does not match the manifest of the version: upload it again.")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)


def load(name: str, folder: Path, probabilities: bool) -> Predictor:
    """Load the model in a folder.

    Raises:
        BatchError: it cannot be loaded, or has no probabilities although they are requested.
    """
    import_scikit_learn()
    model = SklearnModel(name, folder)
    try:
        model.load()
    except StartError as error:
        raise BatchError(str(error)) from error
    if probabilities and PROBABILITIES not in model.methods:
        raise BatchError(f"The model {name} has no probabilities: do not request them.")
    return model


def predict(model: Predictor, chunk: Chunk, methods: Sequence[str]) -> tuple[Chunk, list[NDArray[Any]]]:
    """The results of the methods for the rows that the model accepts; the remaining rows are rejected.

    Raises:
        BatchError: the model accepts each row, but not all of them together.
    """
    if not len(chunk.numbers):
        return chunk, []
    try:
        return chunk, [model.run(chunk.columns, method) for method in methods]
    except InvalidRows as error:
        # At least one row cannot be predicted, for example because of an unknown category.
        reasons = dict(_find_rejected(model, chunk, 0, len(chunk.numbers), methods))
        if not reasons:
            raise BatchError(
                f"The model accepts each of the {len(chunk.numbers)} rows from {chunk.numbers[0]} to "
                f"{chunk.numbers[-1]}, but not all of them together ({str(error).rstrip('.')}): reduce the chunk size."
            ) from error
    rejected = [RejectedRow(int(chunk.numbers[place]), reason) for place, reason in reasons.items()]
    accepted = np.ones(len(chunk.numbers), dtype=bool)
    accepted[list(reasons)] = False
    return predict(model, chunk.select(accepted, rejected), methods)


def _find_rejected(
    model: Predictor, chunk: Chunk, start: int, end: int, methods: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """The positions of the rows that the model rejects, each with the reason, by bisection."""
    try:
        for method in methods:
            model.run([column[start:end] for column in chunk.columns], method)
    except InvalidRows as error:
        if end - start == 1:
            yield start, str(error).rstrip(".")
        else:
            middle = (start + end) // 2
            yield from _find_rejected(model, chunk, start, middle, methods)
            yield from _find_rejected(model, chunk, middle, end, methods)
