# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a model takes and gives by its metadata.json, compared with what its server says and answers.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

from .codec import Tensor


@dataclass(frozen=True)
class Schema:
    """The inputs and outputs of a model."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read(path: str) -> Schema:
    """Return the schema that a metadata.json holds.

    :raises KServeError: there is none.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise KServeError(
            f"{path} cannot be read ({error.strerror}); set metadata_path to a file.", reason="FileNotReadable"
        ) from None
    except ValueError:
        raise KServeError(
            f"{path} is not JSON; set metadata_path to the metadata.json of the model.", reason="InvalidMetadata"
        ) from None
    if not isinstance(content, dict):
        content = {}
    inputs, outputs = _tensors(content.get("inputs")), _tensors(content.get("outputs"))
    if not inputs or not outputs:
        raise KServeError(
            f"{path} has no inputs and outputs with name, datatype and shape; add them, or leave metadata_path out.",
            reason="InvalidMetadata",
        )
    return Schema(inputs, outputs)


def _tensors(value: Any) -> tuple[Tensor, ...]:
    try:
        return tuple(Tensor(str(one["name"]), str(one["datatype"]), tuple(map(int, one["shape"]))) for one in value)
    except (KeyError, TypeError, ValueError):
        return ()


def server_difference(schema: Schema, body: bytes) -> str | None:
    """Compare with the answer of /v2/models/<name>; what a server leaves empty, as many do, differs from nothing."""
    try:
        answer = json.loads(body)
        declared = {kind: _tensors(answer.get(kind) or ()) for kind in ("inputs", "outputs")}
    except (ValueError, AttributeError):
        return "The server's description of the model is not one of protocol v2"
    for kind, wanted in (("input", schema.inputs), ("output", schema.outputs)):
        got = {tensor.name: tensor for tensor in declared[kind + "s"]}
        if not got:
            continue
        names = [tensor.name for tensor in wanted]
        # A further output of the model need be neither sent nor used.
        if set(names) - set(got) or (kind == "input" and set(got) - set(names)):
            return f"The server's {kind}s are {_list(sorted(got))}, and metadata.json's {_list(sorted(names))}"
        for tensor in wanted:
            if sentence := _difference(tensor, got[tensor.name], f"The server's {kind} {tensor.name}"):
                return sentence
    return None


def instances_difference(schema: Schema, instances: Sequence[Any]) -> str | None:
    """Compare the size of the first row that is to be sent."""
    wanted = schema.inputs[0].shape[1:]
    row = instances[0]
    if len(schema.inputs) > 1 or not isinstance(row, (list, tuple)) or not wanted or -1 in wanted:
        return None
    if len(row) not in (wanted[0], math.prod(wanted)):
        return f"The rows of instances have {len(row)} values, and metadata.json says shape {_shape(schema.inputs[0])}"
    return None


def answer_difference(schema: Schema, protocol: str, body: bytes, rows: int) -> str | None:
    """Compare an answer to so many rows; decode has found that it is one of the protocol."""
    answer = json.loads(body)
    if protocol == "v1":
        return _v1_difference(schema, answer["predictions"])
    got = {tensor.name: tensor for tensor in _tensors(answer["outputs"])}
    for place, tensor in enumerate(schema.outputs):
        if tensor.name not in got:
            # Which outputs a server gives unasked is its own choice; the first are the predictions.
            if place:
                continue
            return (
                f"The answer has no output {tensor.name}, which metadata.json has, but {_list(sorted(got)) or 'none'}"
            )
        sized = Tensor(tensor.name, tensor.datatype, (rows if tensor.shape[:1] == (-1,) else -1, *tensor.shape[1:]))
        if sentence := _difference(sized, got[tensor.name], f"The answer's output {tensor.name}"):
            return sentence
    return None


def _difference(wanted: Tensor, got: Tensor, what: str) -> str | None:
    if got.datatype != wanted.datatype:
        return f"{what} is of {got.datatype}, and metadata.json says {wanted.datatype}"
    same = len(got.shape) == len(wanted.shape) and all(
        one == other or -1 in (one, other) for one, other in zip(got.shape, wanted.shape, strict=True)
    )
    return None if same else f"{what} has shape {_shape(got)}, and metadata.json says {_shape(wanted)}"


def _v1_difference(schema: Schema, predictions: Sequence[Any]) -> str | None:
    if len(schema.outputs) != 1:
        return None  # v1 leaves open how several outputs make one prediction
    output = schema.outputs[0]
    for number, prediction in enumerate(predictions, 1):
        shape, leaves = _measure(prediction)
        if len(shape) != len(output.shape) - 1 or any(
            wanted not in (-1, got) for wanted, got in zip(output.shape[1:], shape, strict=True)
        ):
            return f"Prediction {number} has shape {list(shape)}, and metadata.json says {_shape(output)} for all rows"
        if not all(_is_of(output.datatype, leaf) for leaf in leaves):
            return f"Prediction {number} is {prediction!r}, and metadata.json says {output.datatype}"
    return None


def _measure(value: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape of nested lists by their first parts, and all values in them."""
    if not isinstance(value, list):
        return (), [value]
    parts = [_measure(part) for part in value]
    return (len(value), *(parts[0][0] if parts else ())), [leaf for part in parts for leaf in part[1]]


def _is_of(datatype: str, value: Any) -> bool:
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype.startswith(("INT", "UINT", "FP", "BF")):
        # JSON has one kind of number, and some servers write a class as 1.0.
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (datatype.startswith(("FP", "BF")) or float(value).is_integer())
    return isinstance(value, str) if datatype == "BYTES" else True


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
