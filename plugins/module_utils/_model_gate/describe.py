# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing metadata.json of a model folder: what a program can find out of a model file.

The model is loaded in the gate's sandbox. What it takes is read from its fitted parts, and what it gives from what it
predicts for the example rows.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common import atomic_file
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import LocalFile, scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import check_segment

from .metadata import METADATA, SUFFIXES, model_files
from .options import OptionNames
from .sandbox import Trial, check_platform, fault, try_model

# The packages without which a pickle of scikit-learn's does not load as it was stored.
PACKAGES = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")
# So many rows of a file become examples: enough to compare, and few enough to read.
MOST_EXAMPLES = 10
_FOUND = ("features", "categories", "classes", "inputs", "outputs", "examples", "estimator", "libraries", "model_file")


@dataclass(frozen=True)
class Request:
    """What to describe: the folder of the model, the names of the version, and what is known of it.

    examples: rows as lists or objects; examples_file: a CSV file with rows, whose first line has the columns' names.
    """

    folder: Path
    name: str
    version: str
    description: str | None = None
    examples: Sequence[Any] | None = None
    examples_file: Path | None = None


def describe_model(request: Request, trial: Trial) -> tuple[bytes, bytes]:
    """Return the metadata.json that there is, and the one that describes the model.

    Of an existing one the rows of the examples stay, where no others are given, and so does what is not found out of
    the model file, such as a description or how the model was trained.

    :raises KServeError: there is not one model file, or servers cannot serve it, or a row cannot be predicted.
    """
    check_platform(trial.names)
    check_segment("name", request.name)
    check_segment("version", request.version)
    files = scan(request.folder)
    model = _only_model(request.folder, files)
    before = next((file.path.read_bytes() for file in files if file.name == METADATA), b"")
    known = _known(before)
    examples, header = _examples(request, known, trial.names)
    outcome = try_model(
        trial, model.path, examples, methods=(), columns=header, convert=request.examples_file is not None
    )
    sentence = fault(outcome, trial, model.path, {})
    if sentence:
        raise KServeError(sentence, reason="ModelRejected", **({"output": outcome.output} if outcome.output else {}))
    content = {
        **{key: value for key, value in known.items() if key not in _FOUND},
        **({"description": request.description} if request.description is not None else {}),
        **_content(request, model, outcome.found, header),
        "libraries": {
            # A data frame is made only for a model that was fitted on one.
            name: version
            for name, version in outcome.versions.items()
            if name != "pandas" or outcome.fitted
        },
    }
    try:
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except ValueError:
        raise KServeError(
            f"The model {model.path} predicts a value for its examples that is not finite, which no answer can hold; "
            "give other examples, or train it again.",
            reason="ModelRejected",
        ) from None
    return before, text.encode() + b"\n"


def _only_model(folder: Path, files: Sequence[LocalFile]) -> LocalFile:
    names = model_files((file.name for file in files), "sklearn")
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise KServeError(
            f"Of {', '.join(SUFFIXES['sklearn'])} {folder} must hold exactly one file, and it holds {found}; put the "
            "model there, and nothing else that ends so.",
            reason="ModelFileMissing" if not names else "MetadataMismatch",
        )
    return next(file for file in files if file.name == names[0])


def _known(before: bytes) -> dict[str, Any]:
    """Return what an existing metadata.json contains.

    :raises KServeError: it cannot be read. To write it anew would lose what only people know, such as its examples.
    """
    if not before:
        return {}
    fault = "is no JSON object"
    try:
        content = json.loads(before)
    except ValueError as error:
        content, fault = None, f"is no JSON ({error})"
    if isinstance(content, dict) and not isinstance(content.get("examples", {}), dict):
        content, fault = None, "has examples that are no object with instances and predictions"
    if not isinstance(content, dict):
        raise KServeError(
            f"The {METADATA} of the folder {fault}; correct it, or remove it to have another one written.",
            reason="InvalidMetadata",
        )
    return content


def _examples(request: Request, known: dict[str, Any], names: OptionNames) -> tuple[list[Any], list[str]]:
    """Return the rows to predict and, of a file, the names of their values."""
    if request.examples_file is not None:
        return _read(request.examples_file, names.examples)
    if request.examples is not None:
        rows = list(request.examples)
    else:
        instances = known.get("examples", {}).get("instances")
        rows = instances if isinstance(instances, list) else []
    if rows and isinstance(rows[0], dict):
        return rows, list(rows[0])
    features = known.get("features")
    return rows, [str(name) for name in features] if isinstance(features, list) else []


def _read(path: Path, option: str) -> tuple[list[Any], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            rows = [row for _number, row in zip(range(MOST_EXAMPLES), _filled(reader), strict=False)]
    except OSError as error:
        raise KServeError(
            f"{path} cannot be read ({error.strerror}); set {option} to a CSV file.", reason="FileNotReadable"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise KServeError(
            f"{path} is no CSV file in UTF-8 ({error}); set {option} to one.", reason="InvalidInstances"
        ) from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise KServeError(
                f"{path} has {len(row)} values in row {number} and {len(header)} names in its first line; correct it.",
                reason="InvalidInstances",
            )
    if not rows:
        raise KServeError(
            f"{path} has no row below its first line, which must be the columns' names; add one.",
            reason="InvalidInstances",
        )
    return [dict(zip(header, row, strict=True)) for row in rows], header


def _filled(rows: Iterable[list[str]]) -> Iterable[list[str]]:
    return (row for row in rows if row)


def _content(request: Request, model: LocalFile, found: dict[str, Any], header: list[str]) -> dict[str, Any]:
    columns = found["columns"]
    names = [column["name"] for column in columns]
    if not found["fitted"] and len(header) == len(columns):
        # The model knows no names, and the file has one for each column.
        names = header
    categories = {
        name: [value for value in column["categories"] if isinstance(value, str)]
        for name, column in zip(names, columns, strict=True)
        if column["datatype"] == "BYTES" and column["categories"]
    }
    answers = found["answers"]
    examples = {"instances": found["instances"], "predictions": answers["predict"]}
    if "predict_proba" in answers:
        examples["probabilities"] = answers["predict_proba"]
    return {
        "name": request.name,
        "version": request.version,
        "model_format": "sklearn",
        "model_file": {"name": model.name, "sha256": model.sha256, "size_bytes": model.size},
        "estimator": found["kind"],
        "features": names,
        **({"categories": categories} if categories else {}),
        **({"classes": found["classes"]} if found["classes"] else {}),
        "inputs": _inputs(names, columns, found["texts"]),
        "outputs": [{key: output[key] for key in ("name", "datatype", "shape")} for output in found["outputs"]],
        "examples": examples,
    }


def _inputs(names: Sequence[str], columns: Sequence[dict[str, Any]], texts: bool) -> list[dict[str, Any]]:
    if not texts and all(column["datatype"] == "FP64" for column in columns):
        return [{"name": "input-0", "datatype": "FP64", "shape": [-1, len(columns)]}]
    return [
        {"name": name, "datatype": column["datatype"], "shape": [-1]}
        for name, column in zip(names, columns, strict=True)
    ]


def result(request: Request, before: bytes, after: bytes, check_mode: bool, diff: bool) -> dict[str, Any]:
    """Write metadata.json where it differs, and return the module's result.

    :raises KServeError: it cannot be written.
    """
    path = request.folder / METADATA
    if before != after and not check_mode:
        try:
            # As readable as the model beside it: it holds nothing secret.
            atomic_file.write(path, after, mode=0o644)
        except OSError as error:
            raise KServeError(
                f"{path} cannot be written ({error.strerror}); change the folder's permissions, or describe a copy.",
                reason="FileNotWritable",
            ) from error
    shown = {"diff": _diff(path, before, after)} if diff else {}
    return {"changed": before != after, "path": str(path), "metadata": json.loads(after), **shown}


def _diff(path: Path, before: bytes, after: bytes) -> dict[str, str]:
    return {
        "before_header": str(path),
        "after_header": str(path),
        "before": before.decode(errors="replace"),
        "after": after.decode(),
    }
