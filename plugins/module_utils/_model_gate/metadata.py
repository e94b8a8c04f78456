# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading metadata.json of a model folder, and verifying it.

The fields are those that model/README.md describes; datatypes and shapes are those of the Open Inference Protocol
(V2), where -1 is a dimension of any length.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import LocalFile

METADATA = "metadata.json"
# KServe's servers take the one file of the folder, not of folders below it, that ends so, and refuse to start where
# there are more (kserve v0.20.0, python/sklearnserver/sklearnserver/model.py).
SUFFIXES = {"sklearn": (".joblib", ".pkl", ".pickle")}

_INTEGERS = {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
_FLOATS = {"FP16", "FP32", "FP64"}
_DATATYPES = {"BOOL", "BYTES"} | _INTEGERS | _FLOATS
_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


@dataclass(frozen=True)
class Tensor:
    """An input or output: its name, its datatype, its shape with the rows first."""

    name: str
    datatype: str
    shape: list[int]


@dataclass(frozen=True)
class Description:
    """What the gate needs to know of a model.

    libraries: version of Python and of packages by name; features: their names, empty where metadata.json has none;
    columns: the names of a row's values, in the order of the features where rows are objects; answers: by the name of
    the model's method what it must give for the instances, always of predict, and of predict_proba where the examples
    have probabilities.
    """

    model: LocalFile
    model_format: str
    libraries: dict[str, str]
    features: list[str]
    columns: list[str]
    instances: list[Any]
    answers: dict[str, list[Any]]


def describe(files: Sequence[LocalFile], name: str, version: str) -> Description:
    """Read metadata.json and compare it with the folder and the names it is uploaded under.

    :raises KServeError: it is missing or incomplete, or says what is not so.
    """
    by_name = {file.name: file for file in files}
    if METADATA not in by_name:
        raise KServeError(
            f"The folder holds {_listed(by_name)} and no {METADATA}; put one there that describes the model, "
            "or set gate.metadata to false.",
            reason="MetadataMissing",
        )
    document = _Document(by_name[METADATA])
    for field, wanted in (("name", name), ("version", version)):
        if document.get(field, str) != wanted:
            raise document.error(f"its {field} is {document.get(field, str)!r}, and the upload's {wanted!r}", "either")
    model_format = document.get("model_format", str)
    model = _model_file(document, by_name, model_format)
    libraries = document.get("libraries", dict)
    if not all(isinstance(value, str) for value in libraries.values()):
        raise document.error("libraries does not give each version as a text")
    instances, answers = _examples(document)
    features = [str(feature) for feature in document.get("features", list)] if "features" in document else []
    columns = _columns(document, features, instances)
    return Description(model, model_format, libraries, features, columns, instances, answers)


class _Document:
    """The content of metadata.json, whose errors name the file."""

    def __init__(self, file: LocalFile) -> None:
        self._path = file.path
        try:
            data = file.path.read_bytes()
            self._content: Any = json.loads(data)
        except OSError as error:
            raise self.error(f"it cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:
            raise self.error(f"it is no JSON ({error})") from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise KServeError(
                f"{file.path} was changed while it was read; run again when nothing writes to it.",
                reason="SourceChanged",
            )

    def __contains__(self, field: str) -> bool:
        return field in self._content

    def error(self, fault: str, change: str = "it") -> KServeError:
        return KServeError(
            f"{self._path} does not describe the model: {fault}; correct {change}.", reason="InvalidMetadata"
        )

    def get(self, field: str, kind: type[Any]) -> Any:
        """Return the value of a field, given with its parents and dots between them."""
        value = self._content
        for key in field.split("."):
            if not isinstance(value, dict) or key not in value:
                raise self.error(f"it has no {field}")
            value = value[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f"its {field} is not {_KINDS[kind]}")
        return value

    def tensors(self, field: str) -> list[Tensor]:
        """Return the inputs or outputs."""
        tensors = []
        for entry in self.get(field, list):
            tensor = _tensor(entry)
            if tensor is None:
                raise self.error(
                    f"an entry of {field} is {json.dumps(entry)}, not one with a name, a shape such as [-1, 4] and a "
                    f"datatype of {', '.join(sorted(_DATATYPES))}"
                )
            tensors.append(tensor)
        if not tensors:
            raise self.error(f"its {field} is empty")
        return tensors


def _tensor(entry: Any) -> Tensor | None:
    if not isinstance(entry, dict):
        return None
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not isinstance(shape, list) or not shape:
        return None
    if not isinstance(datatype, str) or datatype not in _DATATYPES:
        return None
    return Tensor(name, datatype, shape) if all(isinstance(size, int) and size >= -1 for size in shape) else None


def _model_file(document: _Document, files: Mapping[str, LocalFile], model_format: str) -> LocalFile:
    name = document.get("model_file.name", str)
    if name not in files:
        raise document.error(f"its model_file is {name!r}, and the folder holds {_listed(files)}", "either")
    file = files[name]
    for field, kind, found in (("size_bytes", int, file.size), ("sha256", str, file.sha256)):
        declared = document.get(f"model_file.{field}", kind)
        if declared != found:
            raise KServeError(
                f"{file.path} is not the model that {METADATA} describes: its {field} is {found}, and {METADATA} says "
                f"{declared}; train the model again, so that both are written together.",
                reason="MetadataMismatch",
            )
    suffixes = SUFFIXES.get(model_format)
    if suffixes:
        models = [each for each in files if "/" not in each and each.endswith(suffixes)]
        if models != [name]:
            raise KServeError(
                f"Of {', '.join(suffixes)} KServe's server takes exactly one file, and {file.path.parent} holds "
                f"{_listed(models)} where {METADATA} names {name}; keep that one only.",
                reason="MetadataMismatch",
            )
    return file


def _examples(document: _Document) -> tuple[list[Any], dict[str, list[Any]]]:
    """Compare the examples with inputs and outputs, and return instances and answers."""
    inputs, outputs = document.tensors("inputs"), document.tensors("outputs")
    instances = document.get("examples.instances", list)
    answers = {"predict": document.get("examples.predictions", list)}
    if "probabilities" in document.get("examples", dict):
        answers["predict_proba"] = document.get("examples.probabilities", list)
    for number, row in enumerate(instances, 1):
        if not _row_fits(row, inputs):
            raise document.error(f"row {number} of its examples is {json.dumps(row)}, which its inputs do not allow")
    for values in answers.values():
        if not instances or len(instances) != len(values):
            raise document.error(
                f"its examples have {len(instances)} instances and {len(values)} answers to them, not one for each"
            )
        if not any(all(_fits(value, each.datatype, each.shape[1:]) for value in values) for each in outputs):
            raise document.error(
                f"its examples must be answered with {json.dumps(values)}, which no entry of outputs is"
            )
    return instances, answers


def _columns(document: _Document, features: list[str], instances: Sequence[Any]) -> list[str]:
    columns = [tensor.name for tensor in document.tensors("inputs")]
    if "features" not in document or not any(isinstance(row, dict) for row in instances):
        return columns
    if sorted(features) != sorted(columns):
        raise document.error(f"its features are {_listed(features)}, and its inputs {_listed(columns)}", "either")
    return features


def _row_fits(row: Any, inputs: Sequence[Tensor]) -> bool:
    if len(inputs) == 1 and len(inputs[0].shape) > 1:
        return _fits(row, inputs[0].datatype, inputs[0].shape[1:])
    # Else the inputs are columns, each of one value a row.
    if isinstance(row, dict):
        values = [row.get(tensor.name) for tensor in inputs]
    elif isinstance(row, list):
        values = row
    else:
        return False
    return len(row) == len(inputs) and all(
        _fits(value, tensor.datatype, []) for value, tensor in zip(values, inputs, strict=True)
    )


def _fits(value: Any, datatype: str, shape: Sequence[int]) -> bool:
    if shape:
        return (
            isinstance(value, list)
            and shape[0] in (-1, len(value))
            and all(_fits(item, datatype, shape[1:]) for item in value)
        )
    if isinstance(value, bool):
        return datatype == "BOOL"
    if isinstance(value, str):
        return datatype == "BYTES"
    return (isinstance(value, int) and datatype in _INTEGERS) or (
        isinstance(value, (int, float)) and datatype in _FLOATS
    )


def _listed(names: Sequence[str] | Mapping[str, LocalFile], limit: int = 5) -> str:
    words = sorted(names)
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return (", ".join(words[:limit]) or "none") + more
