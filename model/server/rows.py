# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Convert the content of a request into columns for the model, or report in one sentence why it is invalid.

Pure: without KServe and HTTP. The input was parsed from JSON, so any value may have any type.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import Reason
from .estimator import is_missing

# Datatypes of the v2 inference protocol.
TEXT = "BYTES"
BOOL = "BOOL"
_INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_FLOATS = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}
_NUMBERS = (*_INTEGERS, *_FLOATS)
DATATYPES = (*_NUMBERS, TEXT, BOOL)
# Datatypes that are not numeric: their name in messages, Python type and NumPy type. They are not converted.
_NOT_NUMERIC: dict[str, tuple[str, type, type]] = {TEXT: ("a string", str, object), BOOL: ("a boolean", bool, bool)}


class InvalidRows(ValueError):
    """The request contains no valid rows for the model; the message is one sentence for the client."""

    def __init__(self, message: str, reason: Reason = "InvalidRows") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Feature:
    """A column of the model's input: its name, and one of DATATYPES.

    ignored: the model drops the column, so that its values may be any, or be left out of a row that is an object;
    missing: returns what the model takes for a missing value, or nothing if it accepts none.
    """

    name: str
    datatype: str = "FP64"
    ignored: bool = False
    missing: Callable[[], tuple[Any, ...]] = field(default=tuple, compare=False, repr=False)


@dataclass(frozen=True)
class Tensor:
    """One input of a v2 request, as the client sent it; data in row-major order, flat or nested."""

    name: str
    datatype: str
    shape: Any
    data: Any


Columns = Sequence[NDArray[Any]] | NDArray[Any]
"""An array for each feature, or one array of all features, each with its own row, if all are floats."""


def has_missing(columns: Columns) -> bool:
    """Whether a value is missing."""
    return not isinstance(columns, np.ndarray) and any(map(_has_missing, columns))


def _has_missing(column: NDArray[Any]) -> bool:
    if column.dtype == object:
        return any(is_missing(value) for value in column)
    return column.dtype.kind == "f" and bool(np.isnan(column).any())


def datatype_of_floats(features: Sequence[Feature]) -> str | None:
    """The datatype of the features, if all are floats of the same one; their rows are read faster."""
    datatypes = {feature.datatype for feature in features}
    is_one = len(datatypes) == 1 and not any(feature.ignored for feature in features)
    return datatypes.pop() if is_one and datatypes <= _FLOATS.keys() else None


def columns_from_instances(payload: Any, features: Sequence[Feature], floats: str | None = None) -> Columns:
    """Columns of a v1 request, ``{"instances": [row, ...]}``, or ``inputs`` in its place.

    A row is a list of values in the order of the features, or an object with a value per feature name. With one feature
    it may be the value itself, such as a string. null is a missing value, if the model accepts one there. An object
    whose values are lists is several rows, column by column, and so may be ``inputs`` itself.

    Args:
        payload: the parsed body.
        features: the features of a row.
        floats: what datatype_of_floats returns for them.

    Returns:
        One array per feature, of equal length, at least 1: finite float64 for floats, integers for integers, str
        objects for strings, bool for booleans.

    Raises:
        InvalidRows: the payload is invalid.
    """
    if not isinstance(payload, dict):
        raise InvalidRows(
            f"The request body must be a JSON object with 'instances', not {_json_type(payload)}.", "InvalidRequest"
        )
    if "instances" in payload and "inputs" in payload:
        raise InvalidRows("The request has both 'instances' and 'inputs': send one of them.", "InvalidRequest")
    field = "inputs" if "inputs" in payload else "instances"
    if field not in payload:
        raise InvalidRows("The field 'instances' is required.", "InvalidRequest")
    instances = payload[field]
    if field == "inputs" and isinstance(instances, list) and instances and _is_tensor(instances[0]):
        raise InvalidRows(
            "The field 'instances' is required: 'inputs' has tensors of the v2 protocol.", "InvalidRequest"
        )
    if field == "inputs" and isinstance(instances, dict):
        instances = [instances]
    if not isinstance(instances, list):
        raise InvalidRows(f"'{field}' must be a list of rows, not {_json_type(instances)}.", "InvalidRequest")
    names = [feature.name for feature in features]
    needed = [feature.name for feature in features if not feature.ignored]
    if dict in map(type, instances):
        if any(map(_is_columns, instances)):
            return _columns_of_parts(instances, features, field)
        if {dict}.issuperset(map(type, instances)):
            for number, row in enumerate(instances):
                _check_names(f"Row {number} of '{field}'", row, names, needed)
            return [
                _column([row.get(feature.name) for row in instances], feature, feature.datatype) for feature in features
            ]
    if not instances:
        raise InvalidRows(f"'{field}' is empty: send at least one row.")
    if floats and {list}.issuperset(map(type, instances)) and {len(features)}.issuperset(map(len, instances)):
        matrix = _matrix(list(chain.from_iterable(instances)), len(features), floats)
        if matrix is not None:
            return matrix
    if len(features) == 1 and not {list, dict}.intersection(map(type, instances)):
        return [_column(instances, features[0], features[0].datatype)]
    rows = [_in_order(f"Row {number} of '{field}'", row, names, needed) for number, row in enumerate(instances)]
    # One column at a time, because transposing all rows at once would double the memory of a large request.
    return [_column([row[place] for row in rows], feature, feature.datatype) for place, feature in enumerate(features)]


def columns_from_inputs(inputs: Sequence[Tensor], features: Sequence[Feature], floats: str | None = None) -> Columns:
    """Columns of a v2 request: one input of shape [rows, features], or one input per feature with its name.

    Args:
        inputs: the request's inputs.
        features: the features of a row.
        floats: what datatype_of_floats returns for them.

    Returns:
        The same as columns_from_instances.

    Raises:
        InvalidRows: the inputs are invalid.
    """
    if not inputs:
        raise InvalidRows("'inputs' is empty: send at least one.")
    named = {tensor.name: tensor for tensor in inputs}
    if len(inputs) == 1 and (len(features) > 1 or features[0].name not in named):
        return _columns_of_matrix(inputs[0], features, floats)
    if len(named) < len(inputs):
        raise InvalidRows("Two inputs have the same name: send one input per feature.")
    names = [feature.name for feature in features]
    for name in named:
        if name not in names:
            raise InvalidRows(
                f"The model has no feature {name!r:.80}: send one input of shape [rows, {len(features)}], "
                "or one input per feature with its name."
            )
    for feature in features:
        if feature.name not in named and not feature.ignored:
            raise InvalidRows(f"The input {feature.name!r} is missing: send one input per feature.")
    sent = [_column_of_vector(named[feature.name], feature) if feature.name in named else None for feature in features]
    length = next((len(column) for column in sent if column is not None), 1)
    columns = [np.full(length, None, dtype=object) if column is None else column for column in sent]
    for feature, column in zip(features, columns, strict=True):
        if len(column) != len(columns[0]):
            raise InvalidRows(
                f"Input {feature.name!r} has {len(column)} rows, but input {names[0]!r} has {len(columns[0])}: "
                "send the same number of rows for each feature."
            )
    return columns


def _is_tensor(item: Any) -> bool:
    return isinstance(item, dict) and {"name", "shape", "datatype"} <= item.keys()


def _is_columns(row: Any) -> bool:
    """Whether it is an object whose values are all lists, as pandas writes a data frame."""
    return isinstance(row, dict) and bool(row) and all(isinstance(value, list) for value in row.values())


def _columns_of_parts(parts: Sequence[Any], features: Sequence[Feature], field: str) -> Columns:
    """The columns of objects of columns, between which there may be rows."""
    names = [feature.name for feature in features]
    needed = [feature.name for feature in features if not feature.ignored]
    columns: list[list[Any]] = [[] for _feature in features]
    for number, part in enumerate(parts):
        where = f"Row {number} of '{field}'"
        if not _is_columns(part):
            for column, value in zip(columns, _in_order(where, part, names, needed), strict=True):
                column.append(value)
            continue
        _check_names(where, part, names, needed)
        first, length = next((name, len(values)) for name, values in part.items())
        for name, values in part.items():
            if len(values) != length:
                raise InvalidRows(
                    f"{where} has {len(values)} values of {name!r:.80} and {length} of {first!r:.80}: "
                    "send as many of each feature."
                )
        for name, column in zip(names, columns, strict=True):
            column.extend(part[name] if name in part else repeat(None, length))
    if not columns[0]:
        raise InvalidRows(f"'{field}' is empty: send at least one row.")
    return [_column(column, feature, feature.datatype) for column, feature in zip(columns, features, strict=True)]


def _in_order(where: str, row: Any, names: list[str], needed: list[str]) -> list[Any]:
    """The values of a row, in the order of the features; where: how messages name it."""
    if isinstance(row, list):
        if len(row) != len(names):
            raise InvalidRows(f"{where} has {len(row)} values, but the model has {len(names)} features.")
        return row
    if not isinstance(row, dict):
        if len(names) == 1:
            return [row]
        raise InvalidRows(
            f"{where} must be a list of {len(names)} values or an object with the feature names, not {_json_type(row)}."
        )
    _check_names(where, row, names, needed)
    return [row.get(name) for name in names]


def _check_names(where: str, row: dict[str, Any], names: list[str], needed: list[str]) -> None:
    for name in needed:
        if name not in row:
            raise InvalidRows(f"{where} has no feature {name!r}: send a value for each feature.")
    if len(row) > len(needed):
        other = next((name for name in row if name not in names), None)
        if other is not None:
            raise InvalidRows(f"{where} has {other!r:.80}, which is not a feature of the model.")


def _matrix(values: list[Any], width: int, datatype: str) -> NDArray[Any] | None:
    """The columns of row after row, if all are valid floats; the array of the rows is contiguous in memory.

    Args:
        width: the number of features.
        datatype: as which the values were sent.
    """
    # The types are compared, because isinstance would accept a boolean as a number.
    if not {int, float}.issuperset(map(type, values)):
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    if datatype != "FP64":
        with np.errstate(over="ignore"):
            array = array.astype(_FLOATS[datatype]).astype(np.float64)
    if not np.isfinite(array).all():
        return None
    return array.reshape(-1, width).T


def _columns_of_matrix(tensor: Tensor, features: Sequence[Feature], floats: str | None) -> Columns:
    width = len(features)
    where = f"input {tensor.name!r:.80}"
    if not (_is_shape(tensor.shape, 2) and tensor.shape[0] > 0 and tensor.shape[1] == width):
        raise InvalidRows(
            f"The shape of {where} must be [rows, {width}] with at least one row, not {tensor.shape!r:.40}."
        )
    if floats and tensor.datatype in _FLOATS:
        flat = _flatten(tensor, tensor.shape[0], width)
        matrix = _matrix(flat, width, tensor.datatype)
        if matrix is not None:
            return matrix
    for feature in features:
        _check_datatype(tensor, feature, ": send one input per feature with its name")
    flat = _flatten(tensor, tensor.shape[0], width)
    return [_column(flat[place::width], feature, tensor.datatype) for place, feature in enumerate(features)]


def _column_of_vector(tensor: Tensor, feature: Feature) -> NDArray[Any]:
    shape = tensor.shape
    if not (_is_shape(shape, 1, 2) and shape[0] > 0 and shape[1:] in ([], [1])):
        raise InvalidRows(
            f"The shape of input {tensor.name!r} must be [rows] or [rows, 1] with at least one row, not {shape!r:.40}."
        )
    _check_datatype(tensor, feature, "")
    return _column(_flatten(tensor, shape[0], 1), feature, tensor.datatype)


def _check_datatype(tensor: Tensor, feature: Feature, hint: str) -> None:
    if feature.ignored:
        return
    accepted = (feature.datatype,) if feature.datatype in _NOT_NUMERIC else _NUMBERS
    if tensor.datatype not in accepted:
        expected = "numeric, such as FP64," if accepted is _NUMBERS else feature.datatype
        raise InvalidRows(
            f"The datatype of input {tensor.name!r:.80} must be {expected} "
            f"for feature {feature.name!r}, not {tensor.datatype!r:.40}{hint}.",
            "InvalidValue",
        )


def _is_shape(shape: Any, *dimensions: int) -> bool:
    return isinstance(shape, list) and len(shape) in dimensions and {int}.issuperset(map(type, shape))


def _flatten(tensor: Tensor, rows: int, columns: int) -> list[Any]:
    where, data = f"input {tensor.name!r:.80}", tensor.data
    if not isinstance(data, list):
        raise InvalidRows(f"The data of {where} must be a list, not {_json_type(data)}.")
    if data and all(isinstance(row, list) for row in data):
        if len(data) != rows or any(len(row) != columns for row in data):
            raise InvalidRows(f"The nested data of {where} do not match its shape {tensor.shape}.")
        return [value for row in data for value in row]
    if len(data) != rows * columns:
        raise InvalidRows(
            f"The data of {where} have {len(data)} values, but its shape {tensor.shape} requires {rows * columns}."
        )
    return data


def _column(values: Sequence[Any], feature: Feature, datatype: str) -> NDArray[Any]:
    """The values of one feature, sent as ``datatype``."""
    if feature.ignored:
        return _objects(values)
    try:
        return _complete_column(values, feature, datatype)
    except InvalidRows:
        # Binary data have NaN instead of null.
        absent = [is_missing(value) for value in values]
        if not any(absent) or not (missing := feature.missing()):
            raise
    # Missing values are replaced by a valid one, so that the existing values are checked.
    filler = {TEXT: "", BOOL: False}.get(feature.datatype, 0)
    sent = [filler if missed else value for value, missed in zip(values, absent, strict=True)]
    column = _complete_column(sent, feature, datatype)
    column = column.astype(object if feature.datatype in _NOT_NUMERIC else np.float64)
    column[absent] = missing[0]
    return column


def _complete_column(values: Sequence[Any], feature: Feature, datatype: str) -> NDArray[Any]:
    """The values of one feature, none of which is missing."""
    not_numeric = _NOT_NUMERIC.get(feature.datatype)
    # The types are compared, because isinstance would accept a boolean as a number.
    types = {not_numeric[1]} if not_numeric else {int, float}
    if not types.issuperset(map(type, values)):
        row = next(row for row, value in enumerate(values) if type(value) not in types)
        expected = not_numeric[0] if not_numeric else "a number"
        raise InvalidRows(
            f"{_location(feature, row)} must be {expected}, not {_json_type(values[row])}.", "InvalidValue"
        )
    if not_numeric:
        return np.array(values, dtype=not_numeric[2])
    for integer in {datatype, feature.datatype}.intersection(_INTEGERS):
        _check_integers(values, feature, integer)
    if feature.datatype in _INTEGERS:
        return np.array([int(value) for value in values], dtype=feature.datatype.lower())
    return _floats(values, feature, _FLOATS.get(datatype, np.float64))


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _check_integers(values: Sequence[Any], feature: Feature, datatype: str) -> None:
    limits = np.iinfo(datatype.lower())
    for row, value in enumerate(values):
        # NumPy would silently truncate 5.9 to 5.
        whole = isinstance(value, int) or value.is_integer()
        if not (whole and limits.min <= value <= limits.max):
            raise InvalidRows(
                f"{_location(feature, row)} is not a valid {datatype}, an integer from {limits.min} to {limits.max}.",
                "InvalidValue",
            )


def _floats(values: Sequence[Any], feature: Feature, dtype: Any) -> NDArray[np.float64]:
    try:
        # A number too large for FP32 or FP16 becomes infinite and is rejected below.
        with np.errstate(over="ignore"):
            column: NDArray[Any] = np.array(values, dtype=dtype)
        finite = np.isfinite(column)
    except OverflowError:  # an integer too large for any float
        finite = np.array([abs(value) <= sys.float_info.max for value in values])
    if not finite.all():
        row = int(np.argmin(finite))
        raise InvalidRows(
            f"{_location(feature, row)} is not finite (NaN, infinite or too large for its datatype).", "InvalidValue"
        )
    return column.astype(np.float64)


def _location(feature: Feature, row: int) -> str:
    return f"Feature {feature.name!r} of row {row}"


def _json_type(value: Any) -> str:
    """The JSON name of a value's type."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "something else")
