# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prediction requests and answers in the two protocols of KServe, and how they compare.

Formats: the data plane documents of KServe, "V1 Inference Protocol" and "Open Inference Protocol (V2)".
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Tensor:
    """Name, datatype and shape of an input or output in v2; -1 in the shape is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


# The precision in which scikit-learn is trained, and a form that KServe's servers take as it is (InferInput.as_numpy).
DEFAULT_INPUT = Tensor("input-0", "FP64", (-1, -1))


@dataclass(frozen=True)
class Tolerance:
    """By how much a predicted number may differ: absolute, or relative to the expected one, whichever is more."""

    absolute: float = 0.0
    relative: float = 0.0


EXACT = Tolerance()


def path(protocol: str, model: str) -> str:
    """Return the path of a prediction with the protocol v1 or v2."""
    name = quote(model, safe="")
    return f"/v1/models/{name}:predict" if protocol == "v1" else f"/v2/models/{name}/infer"


def health_paths(kinds: Sequence[str], model: str) -> list[str]:
    """Return the paths that answer 200 where a server of this kind is healthy.

    Sources: kserve/protocol/rest/{v1,v2,openai}*/endpoints.py of KServe v0.20; /health is what vLLM and Text Generation
    Inference answer, and what the probes of KServe's LLMInferenceService ask.
    """
    name = quote(model, safe="")
    paths = {
        "v1": [f"/v1/models/{name}"],
        "v2": ["/v2/health/live", "/v2/health/ready", f"/v2/models/{name}/ready"],
        "openai": [f"/openai/v1/models/{name}"],
        "vllm": ["/health"],
    }
    return [path for kind in dict.fromkeys(kinds) for path in paths[kind]]


def says_not_ready(body: bytes) -> bool:
    """Tell whether the body of a health endpoint denies what its status says."""
    try:
        answer = json.loads(body)
    except ValueError:  # vLLM's is empty, and others' are for people
        return False
    values = [answer.get(key) for key in ("live", "ready")] if isinstance(answer, dict) else []
    return any(value is False or str(value).lower() == "false" for value in values)


def batches(values: Sequence[Any], size: int | None) -> list[Sequence[Any]]:
    """Return the values in parts of that size, the last one shorter where they do not come out even."""
    if size is not None and size < 1:
        raise KServeError(f"batch_size is {size}; give at least 1.", reason="InvalidOption")
    step = size or max(1, len(values))
    return [values[at : at + step] for at in range(0, len(values), step)]


def encode(
    protocol: str, instances: Sequence[Any], inputs: Sequence[Tensor] = (DEFAULT_INPUT,), first: int = 1
) -> bytes:
    """Return the body that asks for a prediction for each instance.

    In v2 the instances are one tensor of shape [rows, features], row after row; a row of lists has more dimensions.
    For a model with several inputs they are one tensor for each, whose values the rows have in the inputs' order, or
    by their names.

    :param first: the number of the first of these instances among all.
    :raises KServeError: the instances do not make the tensors.
    """
    if not instances:
        raise KServeError("There are no instances; give at least one row.", reason="InvalidInstances")
    if protocol == "v1":
        return json.dumps({"instances": instances}).encode()
    if len(inputs) > 1:
        rows = [_in_order(number, row, inputs) for number, row in enumerate(instances, first)]
        columns = zip(inputs, zip(*rows, strict=True), strict=True)
        return json.dumps({"inputs": [_column(tensor, values, first) for tensor, values in columns]}).encode()
    (tensor,) = inputs
    convert = _converter(tensor.datatype)
    data: list[Any] = []
    if len(tensor.shape) == 1:
        # A model of text takes rows that are strings.
        instances = [[row] if isinstance(row, (str, int, float)) else row for row in instances]
    shapes = [_row(number, row, convert, tensor.datatype, data) for number, row in enumerate(instances, first)]
    if len(set(shapes)) != 1:
        raise KServeError(
            "The instances are not of one length; give every row the same number of features.",
            reason="InvalidInstances",
        )
    return json.dumps({"inputs": [_sent(tensor, [len(instances), *shapes[0]], data)]}).encode()


def _sent(tensor: Tensor, shape: Sequence[int], data: Sequence[Any]) -> dict[str, Any]:
    return {"name": tensor.name, "shape": shape, "datatype": tensor.datatype, "data": data}


def _in_order(number: int, row: Any, inputs: Sequence[Tensor]) -> Sequence[Any]:
    """Return the values of a row in the order of the inputs."""
    names = [tensor.name for tensor in inputs]
    if isinstance(row, Mapping):
        if missing := [name for name in names if name not in row]:
            raise KServeError(
                f"Row {number} of instances has no value for input {missing[0]}; add it.", reason="InvalidInstances"
            )
        if more := [name for name in row if name not in names]:
            raise KServeError(
                f"Row {number} of instances has a value for {more[0]}, which is no input; the inputs are "
                f"{', '.join(names)}.",
                reason="InvalidInstances",
            )
        return [row[name] for name in names]
    if not isinstance(row, (list, tuple)):
        raise KServeError(
            f"Row {number} of instances is neither a list nor a dictionary; give a value for each of the inputs "
            f"{', '.join(names)}.",
            reason="InvalidInstances",
        )
    if len(row) != len(names):
        raise KServeError(
            f"Row {number} of instances has {len(row)} values; give one for each of the {len(names)} inputs "
            f"{', '.join(names)}, in this order.",
            reason="InvalidInstances",
        )
    return row


def _column(tensor: Tensor, values: Sequence[Any], first: int) -> dict[str, Any]:
    """Return the tensor of one input among several, from the value that each row has for it."""
    convert = _converter(tensor.datatype)
    wanted = tensor.shape[1:]
    data: list[Any] = []
    shapes = set()
    for number, value in enumerate(values, first):
        try:
            shape = _nested(value, lambda one: _exact(one, tensor.datatype, convert), data)
        except (TypeError, ValueError, OverflowError):
            shape = None
        # A single value stands for a list of one.
        if shape == () and set(wanted) <= {1, -1}:
            shape = (1,) * len(wanted)
        if (
            shape is None
            or len(shape) != len(wanted)
            or any(size not in (-1, got) for size, got in zip(wanted, shape, strict=True))
        ):
            lists = f" in lists of shape {list(wanted)}" if wanted else ""
            raise KServeError(
                f"Row {number} of instances has {value!r:.60} for input {tensor.name}; give {_kind(tensor.datatype)} "
                f"({tensor.datatype}){lists}.",
                reason="InvalidInstances",
            )
        shapes.add(shape)
    if len(shapes) != 1:
        raise KServeError(
            f"The values for input {tensor.name} are not of one shape; give every row as many.",
            reason="InvalidInstances",
        )
    return _sent(tensor, [len(values), *shapes.pop()], data)


def _nested(value: Any, convert: Callable[[Any], Any], data: list[Any]) -> tuple[int, ...]:
    """Append a value, or all in lists of lists, to the data, and return the shape."""
    if not isinstance(value, (list, tuple)):
        data.append(convert(value))
        return ()
    (inner,) = {_nested(part, convert, data) for part in value}
    return (len(value), *inner)


def _exact(value: Any, datatype: str, convert: Callable[[Any], Any]) -> Any:
    """Convert one value; what only Python takes for the datatype would hide that it stands in the wrong place."""
    if value is None:
        return None  # a missing value, which the model decides about
    if isinstance(value, bool) != (datatype == "BOOL") or (datatype == "BYTES" and not isinstance(value, str)):
        raise ValueError(value)
    converted = convert(value)
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError(value)  # JSON has no such number
    return converted


def _kind(datatype: str) -> str:
    if datatype.startswith(("INT", "UINT")):
        return "whole numbers"
    return {"BOOL": "booleans", "BYTES": "texts"}.get(datatype, "numbers")


def _converter(datatype: str) -> Callable[[Any], Any]:
    if datatype.startswith(("INT", "UINT")):
        return _whole
    if datatype.startswith(("FP", "BF")):
        return float
    if datatype == "BOOL":
        return _boolean
    return str if datatype == "BYTES" else lambda value: value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or float(value) != int(float(value)):
        raise ValueError(value)
    return int(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(value)


def _row(number: int, row: Any, convert: Callable[[Any], Any], datatype: str, data: list[Any]) -> tuple[int, ...]:
    """Append the values of a row to the data, and return its shape."""
    try:
        if isinstance(row, (list, tuple)) and row:
            if not isinstance(row[0], (list, tuple)):
                data.extend(None if value is None else convert(value) for value in row)
                return (len(row),)
            inner = {_row(number, part, convert, datatype, data) for part in row}
            if len(inner) == 1:
                return (len(row), *inner.pop())
    except (TypeError, ValueError, OverflowError):
        pass
    kind = "numbers" if datatype == DEFAULT_INPUT.datatype else f"values of {datatype}"
    raise KServeError(
        f"Row {number} of instances is not a list of {kind}, which protocol v2 needs.", reason="InvalidInstances"
    )


def decode(protocol: str, body: bytes, rows: int) -> list[Any]:
    """Return one prediction for each row from the body of an answer.

    :raises KServeError: it is not an answer of this protocol, or not for so many rows.
    """
    try:
        answer = json.loads(body)
        found = answer["predictions"] if protocol == "v1" else answer["outputs"][0]["data"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise KServeError(
            f"The answer is not one of protocol {protocol}; check url, model_name and protocol.", reason="InvalidAnswer"
        ) from None
    if not isinstance(found, list) or not found or len(found) % rows:
        raise KServeError(
            f"The answer does not have one prediction for each of the {rows} rows.", reason="InvalidAnswer"
        )
    if protocol == "v1" and len(found) != rows:
        raise KServeError(f"The answer has {len(found)} predictions for {rows} rows.", reason="InvalidAnswer")
    # A v2 tensor is flat: with more than one value for each row, such as probabilities, they belong together.
    width = len(found) // rows
    return found if width == 1 else [found[at : at + width] for at in range(0, len(found), width)]


def first_difference(
    expected: Sequence[Any],
    predictions: Sequence[Any],
    tolerance: Tolerance = EXACT,
    first: int = 1,
    rows: int | None = None,
) -> str | None:
    """Return a sentence on the first row in which they differ, or None.

    :param first: the number of the first of these rows among all, which are so many as rows says.
    """
    for number, (wanted, got) in enumerate(zip(expected, predictions, strict=True), first):
        if not _equal(wanted, got, tolerance):
            return f"Row {number} of {rows or len(expected)} differs: expected {wanted!r}, predicted {got!r}."
    return None


def _equal(wanted: Any, got: Any, tolerance: Tolerance) -> bool:
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(
            _equal(one, other, tolerance) for one, other in zip(wanted, got, strict=True)
        )
    if isinstance(wanted, str) and isinstance(got, str):
        return wanted == got  # classes: nan is one as any other, and 007 is not 7
    one, other = _number(wanted), _number(got)
    if one is None or other is None:
        return bool(wanted == got)
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= max(tolerance.absolute, tolerance.relative * abs(one))


def _number(value: Any) -> float | None:
    """Return a number, also from the string of one as JSON writes it, which a template may have made of it."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
