# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the content of a request into rows of numbers, or say in one sentence why that cannot be.

Pure: knows neither KServe nor HTTP. What comes in was parsed from JSON, and any value may be of any type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Datatypes of the v2 inference protocol that hold numbers (BOOL and BYTES do not).
_INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_FLOATS = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


class InvalidRows(ValueError):
    """The request holds no rows the model can take; the text is one sentence for the caller."""


def rows_from_instances(payload: Any, features: int) -> NDArray[np.float64]:
    """Rows of a v1 request, ``{"instances": [[number, ...], ...]}``.

    Args:
        payload: the parsed body.
        features: how many numbers the model takes in a row.

    Returns:
        float64, shape (rows, features), all finite, at least one row.

    Raises:
        InvalidRows: the payload is anything else.
    """
    if not isinstance(payload, dict):
        raise InvalidRows(f"The request's body must be a JSON object with 'instances', not {_kind(payload)}.")
    if "instances" not in payload:
        raise InvalidRows("The request has no 'instances'.")
    instances = payload["instances"]
    if not isinstance(instances, list):
        raise InvalidRows(f"'instances' must be a list of rows, not {_kind(instances)}.")
    if not instances:
        raise InvalidRows("'instances' is empty: give at least one row.")
    for index, row in enumerate(instances):
        if not isinstance(row, list):
            raise InvalidRows(f"Row {index} of 'instances' must be a list of {features} numbers, not {_kind(row)}.")
        if len(row) != features:
            raise InvalidRows(f"Row {index} of 'instances' has {len(row)} values where the model takes {features}.")
        _refuse_other_than_numbers(row, f"row {index} of 'instances'")
    return _finite(_array(instances, np.float64), "'instances'")


def rows_from_tensor(name: str, datatype: str, shape: Any, data: Any, features: int) -> NDArray[np.float64]:
    """Rows of one input of a v2 request.

    Args:
        name: the input's name, for the sentence.
        datatype: a datatype of the v2 protocol, such as ``FP64``.
        shape: the declared shape; must be [rows, features].
        data: the numbers in row-major order, flat or nested as the shape says.
        features: how many numbers the model takes in a row.

    Returns:
        float64, shape (rows, features), all finite, at least one row.

    Raises:
        InvalidRows: the input is anything else.
    """
    where = f"input '{name}'"
    if datatype not in (*_INTEGERS, *_FLOATS):
        raise InvalidRows(f"The datatype of {where} must be one of numbers, such as FP64, not {datatype!r:.40}.")
    if not (isinstance(shape, list) and len(shape) == 2 and all(_is_int(length) for length in shape)):
        raise InvalidRows(f"The shape of {where} must be [rows, {features}], not {shape!r:.40}.")
    rows, columns = shape
    if rows < 1 or columns != features:
        raise InvalidRows(f"The shape of {where} must be [rows, {features}] with at least one row, not {shape!r:.40}.")
    flat = _flatten(data, where, rows, columns)
    _refuse_other_than_numbers(flat, where)
    if datatype in _INTEGERS:
        _refuse_outside_integers(flat, where, datatype)
        dtype: Any = np.float64
    else:
        dtype = _FLOATS[datatype]
    return _finite(_array(flat, dtype), where).reshape(rows, columns)


def _is_int(value: Any) -> bool:
    # bool is an int to Python; in a row of measurements it is a mistake.
    return isinstance(value, int) and not isinstance(value, bool)


def _flatten(data: Any, where: str, rows: int, columns: int) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidRows(f"The data of {where} must be a list of numbers, not {_kind(data)}.")
    if data and all(isinstance(row, list) for row in data):
        if len(data) != rows or any(len(row) != columns for row in data):
            raise InvalidRows(f"The nested data of {where} do not have the shape [{rows}, {columns}] it declares.")
        return [value for row in data for value in row]
    if len(data) != rows * columns:
        raise InvalidRows(
            f"The data of {where} are {len(data)} values where its shape [{rows}, {columns}] says {rows * columns}."
        )
    return data


def _refuse_other_than_numbers(values: list[Any], where: str) -> None:
    for index, value in enumerate(values):
        if not (isinstance(value, float) or _is_int(value)):
            raise InvalidRows(f"Value {index} of {where} must be a number, not {_kind(value)}.")


def _refuse_outside_integers(values: list[Any], where: str, datatype: str) -> None:
    limits = np.iinfo(datatype.lower())
    for index, value in enumerate(values):
        # NumPy would cut 5.9 to 5 without a word.
        whole = _is_int(value) or value.is_integer()
        if not (whole and limits.min <= value <= limits.max):
            raise InvalidRows(f"Value {index} of {where} is no {datatype}.")


def _array(values: list[Any], dtype: Any) -> NDArray[np.float64]:
    try:
        # A number too large for FP32 or FP16 becomes infinite, which the next check refuses.
        with np.errstate(over="ignore"):
            return np.array(values, dtype=dtype).astype(np.float64)
    except OverflowError as error:
        raise InvalidRows("A number in the request is too large.") from error


def _finite(array: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    if not np.isfinite(array).all():
        raise InvalidRows(f"A value of {where} is not finite (NaN, infinite or too large for its datatype).")
    return array


def _kind(value: Any) -> str:
    """The JSON name of a value's type."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "something else")
