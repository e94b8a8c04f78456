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
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError


def path(protocol: str, model: str) -> str:
    """Return the path of a prediction with the protocol v1 or v2."""
    name = quote(model, safe="")
    return f"/v1/models/{name}:predict" if protocol == "v1" else f"/v2/models/{name}/infer"


def encode(protocol: str, instances: Sequence[Any]) -> bytes:
    """Return the body that asks for a prediction for each instance.

    In v2 the instances are one FP64 tensor of shape [rows, features], row after row: the precision in
    which scikit-learn is trained, and a form that KServe's servers take as it is (InferInput.as_numpy).

    :raises KServeError: the instances do not make a tensor.
    """
    if not instances:
        raise KServeError("There are no instances; give at least one row.")
    if protocol == "v1":
        return json.dumps({"instances": instances}).encode()
    rows = [_row(number, row) for number, row in enumerate(instances, 1)]
    if len({len(row) for row in rows}) != 1:
        raise KServeError("The instances are not of one length; give every row the same number of features.")
    data = [value for row in rows for value in row]
    tensor = {"name": "input-0", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def _row(number: int, row: Any) -> list[float]:
    try:
        if isinstance(row, (list, tuple)) and row:
            return [float(value) for value in row]
    except (TypeError, ValueError):
        pass
    raise KServeError(f"Row {number} of instances is not a list of numbers, which protocol v2 needs.")


def decode(protocol: str, body: bytes, rows: int) -> list[Any]:
    """Return one prediction for each row from the body of an answer.

    :raises KServeError: it is not an answer of this protocol, or not for so many rows.
    """
    try:
        answer = json.loads(body)
        found = answer["predictions"] if protocol == "v1" else answer["outputs"][0]["data"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise KServeError(
            f"The answer is not one of protocol {protocol}; check url, model_name and protocol."
        ) from None
    if not isinstance(found, list) or not found or len(found) % rows:
        raise KServeError(f"The answer does not have one prediction for each of the {rows} rows.")
    if protocol == "v1" and len(found) != rows:
        raise KServeError(f"The answer has {len(found)} predictions for {rows} rows.")
    # A v2 tensor is flat: with more than one value for each row, such as probabilities, they belong together.
    width = len(found) // rows
    return found if width == 1 else [found[at : at + width] for at in range(0, len(found), width)]


def difference(expected: Sequence[Any], predictions: Sequence[Any]) -> str | None:
    """Return a sentence on the first row in which they differ, or None."""
    for number, (wanted, got) in enumerate(zip(expected, predictions, strict=True), 1):
        if not _equal(wanted, got):
            return f"Row {number} of {len(expected)} differs: expected {wanted!r}, predicted {got!r}."
    return None


def _equal(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(_equal, wanted, got))
    try:
        # A template may give a number as text, and a server a class as 1 or 1.0.
        return float(wanted) == float(got)
    except (TypeError, ValueError):
        return bool(wanted == got)


def latencies(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Return count, min, mean, p50, p95, p99 and max of durations, in milliseconds; None where there is none.

    A percentile is the smallest measured value that so many per cent do not exceed (nearest rank).
    """
    ordered = sorted(value * 1000 for value in seconds)
    if not ordered:
        return {"count": 0, **dict.fromkeys(("min", "mean", "p50", "p95", "p99", "max"))}

    def rank(percent: int) -> float:
        return ordered[math.ceil(percent * len(ordered) / 100) - 1]

    figures = {
        "min": ordered[0],
        "mean": math.fsum(ordered) / len(ordered),
        "p50": rank(50),
        "p95": rank(95),
        "p99": rank(99),
        "max": ordered[-1],
    }
    return {"count": len(ordered), **{name: round(value, 3) for name, value in figures.items()}}
