# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of a model version, stored as ``metadata.json`` next to the model file."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata as installed

from model.errors import ModelError

MODEL_FILE = "model.joblib"
METADATA_FILE = "metadata.json"
# What the servers load, by joblib, which reads a plain pickle as well.
SUFFIXES = (".joblib", ".pkl", ".pickle")

# A version becomes one segment of an object key and of a Kubernetes label's value (at most 63 characters).
_VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def check_version(version: str) -> str:
    """Return ``version`` if it can be one segment of an object key and a Kubernetes label value.

    Raises:
        ModelError: it cannot.
    """
    if not _VERSION.fullmatch(version):
        raise ModelError(
            f"{version!r} is not a valid version: use at most 63 letters, digits, '.', '_' and '-', "
            "with a letter or a digit first and last, such as v1."
        )
    return version


def check_model_file(name: str) -> str:
    """Return ``name`` if a server takes a file of this name for the model.

    Raises:
        ModelError: it does not.
    """
    if "/" in name or name in SUFFIXES or not name.endswith(SUFFIXES):
        raise ModelError(f"{name!r} is not a valid name of a model file: end it in {', '.join(SUFFIXES)}.")
    return name


@dataclass(frozen=True)
class ModelFile:
    """The model file: its name, the SHA-256 of its content in hexadecimal, its size in bytes."""

    name: str
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, name: str, content: bytes) -> ModelFile:
        return cls(name, hashlib.sha256(content).hexdigest(), len(content))


@dataclass(frozen=True)
class Source:
    """The inputs of training: data set, number of rows, SHA-256 of the rows, and the estimator."""

    dataset: str
    rows: int
    sha256: str
    estimator: str


@dataclass(frozen=True)
class CrossValidation:
    """Stratified k-fold cross-validation: the score of each fold, and the required minimum mean."""

    metric: str
    folds: int
    scores: list[float]
    mean: float
    required_mean: float


@dataclass(frozen=True)
class Tensor:
    """One input or output as defined by the v2 inference protocol; -1 is a dimension of any length."""

    name: str
    datatype: str
    shape: list[int]


@dataclass(frozen=True)
class Examples:
    """Requests and their expected responses in the v1 protocol, for smoke tests."""

    instances: list[list[float | str]]
    predictions: list[int]
    probabilities: list[list[float]]


@dataclass(frozen=True)
class Metadata:
    """The description of one model version. It has no timestamp, so the same model has the same description."""

    name: str
    version: str
    model_format: str
    model_file: ModelFile
    created_from: Source
    libraries: dict[str, str]
    seed: int
    cross_validation: CrossValidation
    features: list[str]
    categories: dict[str, list[str]]
    classes: list[str]
    inputs: list[Tensor]
    outputs: list[Tensor]
    examples: Examples

    def to_json(self) -> bytes:
        """JSON in UTF-8, the same bytes for the same description."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def library_versions(distributions: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of installed distributions, because a pickle may load only with the same versions."""
    return {"python": platform.python_version()} | {name: installed.version(name) for name in distributions}
