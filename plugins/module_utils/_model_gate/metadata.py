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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

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

    :raises KServeError: it is missing or incomplete, or says what is not so; the message names all that is wrong.
    """
    by_name = {file.name: file for file in files}
    if METADATA not in by_name:
        raise KServeError(
            f"The folder holds {_listed(by_name)} and no {METADATA}; write one that describes the model, which the "
            "module hashfoundry.kserve.model_metadata does, or set gate.metadata to false.",
            reason="MetadataMissing",
        )
    document = _Document(by_name[METADATA])
    for field, wanted in (("name", name), ("version", version)):
        stated = document.get(field, str)
        if stated not in (None, wanted):
            document.fault(f"its {field} is {stated!r}, and the upload's {wanted!r} (correct either)")
    if "description" in document:
        document.get("description", str)
    model_format = document.get("model_format", str)
    model = _model_file(document, by_name)
    libraries = document.get("libraries", dict) or {}
    if not all(isinstance(value, str) for value in libraries.values()):
        document.fault("libraries does not give each version as a text")
    instances, answers, inputs = _examples(document)
    features = [str(feature) for feature in document.get("features", list) or ()] if "features" in document else []
    columns = _columns(document, features, inputs, instances)
    document.check()
    # With these missing, check has raised.
    model_file, format_name = cast(LocalFile, model), cast(str, model_format)
    _compare_model(document, by_name, model_file, format_name)
    return Description(model_file, format_name, libraries, features, columns, instances, answers)


class _Document:
    """The content of metadata.json, and the faults that were found in it."""

    def __init__(self, file: LocalFile) -> None:
        self._path = file.path
        self._faults: list[str] = []
        self._content: Any = {}
        try:
            data = file.path.read_bytes()
            self._content = json.loads(data)
        except OSError as error:
            self.fault(f"it cannot be read ({error.strerror})")
            self.check()
        except (ValueError, RecursionError) as error:
            self.fault(f"it is no JSON ({error})")
            self.check()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise KServeError(
                f"{file.path} was changed while it was read; run again when nothing writes to it.",
                reason="SourceChanged",
            )
        if not isinstance(self._content, dict):
            self.fault("it is not an object")
            self.check()

    def __contains__(self, field: str) -> bool:
        return field in self._content

    def fault(self, fault: str) -> None:
        """Note what is wrong; check reports it with all the others."""
        if fault not in self._faults:
            self._faults.append(fault)

    def check(self) -> None:
        """Report what is wrong, if anything is.

        :raises KServeError: something is.
        """
        if self._faults:
            raise KServeError(
                f"{self._path} does not describe the model: {'; '.join(self._faults)}. Correct it, or have the module "
                "hashfoundry.kserve.model_metadata write it.",
                reason="InvalidMetadata",
            )

    def get(self, field: str, kind: type[Any]) -> Any:
        """Return the value of a field, given with its parents and dots between them; None where that is a fault."""
        value = self._content
        for key in field.split("."):
            if not isinstance(value, dict) or key not in value:
                self.fault(f"it has no {field}")
                return None
            value = value[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fault(f"its {field} is not {_KINDS[kind]}")
            return None
        return value

    def tensors(self, field: str) -> list[Tensor]:
        """Return the inputs or outputs; none where one of them is a fault."""
        entries = self.get(field, list)
        if entries is None:
            return []
        tensors = [_tensor(entry) for entry in entries]
        for entry, tensor in zip(entries, tensors, strict=True):
            if tensor is None:
                self.fault(
                    f"an entry of {field} is {json.dumps(entry)}, not one with a name, a shape such as [-1, 4] and a "
                    f"datatype of {', '.join(sorted(_DATATYPES))}"
                )
        if not entries:
            self.fault(f"its {field} is empty")
        return [tensor for tensor in tensors if tensor] if all(tensors) else []


def _tensor(entry: Any) -> Tensor | None:
    if not isinstance(entry, dict):
        return None
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not isinstance(shape, list) or not shape:
        return None
    if not isinstance(datatype, str) or datatype not in _DATATYPES:
        return None
    return Tensor(name, datatype, shape) if all(isinstance(size, int) and size >= -1 for size in shape) else None


def _model_file(document: _Document, files: Mapping[str, LocalFile]) -> LocalFile | None:
    name = document.get("model_file.name", str)
    document.get("model_file.size_bytes", int)
    document.get("model_file.sha256", str)
    if name is not None and name not in files:
        document.fault(f"its model_file is {name!r}, and the folder holds {_listed(files)}")
    return files.get(name) if name is not None else None


def _compare_model(document: _Document, files: Mapping[str, LocalFile], file: LocalFile, model_format: str) -> None:
    """Compare the model file with what a valid metadata.json says of it.

    :raises KServeError: it is another one, or not the only one.
    """
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
        models = model_files(files, model_format)
        if models != [file.name]:
            raise KServeError(
                f"Of {', '.join(suffixes)} KServe's server takes exactly one file, and {file.path.parent} holds "
                f"{_listed(models)} where {METADATA} names {file.name}; keep that one only.",
                reason="MetadataMismatch",
            )


def model_files(files: Iterable[str], model_format: str) -> list[str]:
    """Return the names of the files that a server of the format may take for the model."""
    suffixes = SUFFIXES.get(model_format, ())
    return [name for name in files if "/" not in name and name.endswith(suffixes)] if suffixes else []


def _examples(document: _Document) -> tuple[list[Any], dict[str, list[Any]], list[Tensor]]:
    """Compare the examples with inputs and outputs, and return instances, answers and inputs."""
    inputs, outputs = document.tensors("inputs"), document.tensors("outputs")
    instances = document.get("examples.instances", list)
    answers = {"predict": document.get("examples.predictions", list)}
    examples = document.get("examples", dict)
    if examples and "probabilities" in examples:
        answers["predict_proba"] = document.get("examples.probabilities", list)
    found = {method: values for method, values in answers.items() if values is not None}
    if instances is None or len(found) < len(answers):
        return [], {}, inputs
    for number, row in enumerate(instances, 1):
        if inputs and not _row_fits(row, inputs):
            document.fault(f"row {number} of its examples is {json.dumps(row)}, which its inputs do not allow")
    for method, values in found.items():
        if not instances or len(instances) != len(values):
            document.fault(
                f"its examples have {len(instances)} instances and {len(values)} answers to them, not one for each"
            )
        elif outputs and not _answers_fit(values, method, outputs):
            document.fault(f"its examples must be answered with {json.dumps(values)}, which no entry of outputs is")
    return instances, found, inputs


def _answers_fit(values: list[Any], method: str, outputs: Sequence[Tensor]) -> bool:
    """Tell whether answers are those of an output, or of one output for each of several targets."""
    if any(all(_fits(value, each.datatype, each.shape[1:]) for value in values) for each in outputs):
        return True
    targets = [each for each in outputs if each.name.startswith(f"{method}-")]
    return bool(targets) and all(
        isinstance(value, list)
        and len(value) == len(targets)
        and all(_fits(part, each.datatype, each.shape[1:]) for part, each in zip(value, targets, strict=True))
        for value in values
    )


def _columns(document: _Document, features: list[str], inputs: Sequence[Tensor], instances: Sequence[Any]) -> list[str]:
    columns = [tensor.name for tensor in inputs]
    if "features" not in document or not any(isinstance(row, dict) for row in instances):
        return columns
    if inputs and sorted(features) != sorted(columns):
        document.fault(f"its features are {_listed(features)}, and its inputs {_listed(columns)}")
    return features


def _row_fits(row: Any, inputs: Sequence[Tensor]) -> bool:
    if len(inputs) == 1 and len(inputs[0].shape) > 1:
        return _fits(row, inputs[0].datatype, inputs[0].shape[1:], null=True)
    # Else the inputs are columns, each of one value a row.
    if isinstance(row, dict):
        values = [row.get(tensor.name) for tensor in inputs]
    elif isinstance(row, list):
        values = row
    else:
        # With one column a row may be the value itself, such as a string.
        return len(inputs) == 1 and _fits(row, inputs[0].datatype, [], null=True)
    return len(row) == len(inputs) and all(
        _fits(value, tensor.datatype, [], null=True) for value, tensor in zip(values, inputs, strict=True)
    )


def _fits(value: Any, datatype: str, shape: Sequence[int], null: bool = False) -> bool:
    """Tell whether a value is one of the datatype; null: whether some may be missing, which the model decides."""
    if shape:
        return (
            isinstance(value, list)
            and shape[0] in (-1, len(value))
            and all(_fits(item, datatype, shape[1:], null) for item in value)
        )
    if value is None:
        return null
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
