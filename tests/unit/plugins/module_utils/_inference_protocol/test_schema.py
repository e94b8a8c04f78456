# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.codec import Tensor
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.schema import (
    Schema,
    answer_difference,
    instances_difference,
    read,
    server_difference,
)

IRIS = {
    "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}],
    "outputs": [{"name": "output-0", "datatype": "INT64", "shape": [-1]}],
}
ROWS = [[1.0, 2.0, 3.0, 4.0]]


@pytest.fixture
def iris(tmp_path: Path) -> Schema:
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(IRIS))
    return read(str(path))


def of(*outputs: tuple[str, list[int]], inputs: int = 1) -> Schema:
    tensors = (Tensor(f"output-{n}", kind, tuple(shape)) for n, (kind, shape) in enumerate(outputs))
    return Schema(tuple(Tensor(f"input-{n}", "FP64", (-1, 4)) for n in range(inputs)), tuple(tensors))


def test_reading(iris: Schema) -> None:
    assert iris.inputs == (Tensor("input-0", "FP64", (-1, 4)),)
    assert iris.outputs == (Tensor("output-0", "INT64", (-1,)),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("no", "is not JSON"),
        ("[]", "has no inputs and outputs"),
        ('{"inputs": [{"name": "x"}], "outputs": []}', "has no inputs and outputs"),
    ],
)
def test_files_without_a_schema(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "metadata.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KServeError, match=says):
        read(str(path))


def change(**changes: Any) -> bytes:
    return json.dumps({"name": "iris", **IRIS, **changes}).encode()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (change(), None),
        (change(inputs=[], outputs=[]), None),
        (change(inputs=None), None),
        (b'{"name": "iris"}', None),
        (change(inputs=[{"name": "input-0", "datatype": "FP64", "shape": [-1, -1]}]), None),
        (change(inputs=[{"name": "input-0", "datatype": "FP32", "shape": [-1, 4]}]), "input input-0 is of FP32"),
        (change(inputs=[{"name": "input-0", "datatype": "FP64", "shape": [-1, 5]}]), "has shape [-1, 5]"),
        (change(inputs=[{"name": "input-0", "datatype": "FP64", "shape": [4]}]), "has shape [4]"),
        (change(outputs=[{"name": "label", "datatype": "INT64", "shape": [-1]}]), "outputs are label, and"),
        (change(outputs=[*IRIS["outputs"], {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]}]), None),
        (
            change(inputs=[*IRIS["inputs"], {"name": "more", "datatype": "FP64", "shape": [-1]}]),
            "inputs are input-0, more",
        ),
        (b"<html>", "is not one of protocol v2"),
        (b"[]", "is not one of protocol v2"),
    ],
)
def test_what_the_server_says(iris: Schema, body: bytes, says: str | None) -> None:
    found = server_difference(iris, body)
    assert found is None if says is None else says in (found or "")


@pytest.mark.parametrize(
    ("rows", "same"), [(ROWS, True), ([[1.0] * 5], False), ([5], True), ([[[1.0, 2.0, 3.0, 4.0]]], False)]
)
def test_the_rows_to_send(iris: Schema, rows: list[Any], same: bool) -> None:
    assert (instances_difference(iris, rows) is None) is same


def test_rows_for_several_inputs_have_no_common_size() -> None:
    assert instances_difference(of(("INT64", [-1]), inputs=2), [[1.0] * 2]) is None


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([{"name": "output-0", "datatype": "INT64", "shape": [2], "data": [0, 2]}], None),
        ([{"name": "more", "datatype": "FP64", "shape": [9]}, *IRIS["outputs"]], None),
        ([{"name": "output-0", "datatype": "INT64", "shape": [3]}], "has shape [3], and metadata.json says [2]"),
        ([{"name": "output-0", "datatype": "INT32", "shape": [2]}], "is of INT32, and metadata.json says INT64"),
        (
            [{"name": "label", "datatype": "INT64", "shape": [2]}],
            "has no output output-0, which metadata.json has, but",
        ),
        ([{"data": [0, 2]}], "but none"),
    ],
)
def test_answers_of_v2(iris: Schema, outputs: list[Any], says: str | None) -> None:
    found = answer_difference(iris, "v2", json.dumps({"outputs": outputs}).encode(), 2)
    assert found is None if says is None else says in (found or "")


def test_a_server_may_leave_out_what_nobody_asked_for() -> None:
    schema = of(("INT64", [-1]), ("FP64", [-1, 3]))
    first, second = (tensor.name for tensor in schema.outputs)
    predictions = {"name": first, "datatype": "INT64", "shape": [2], "data": [0, 2]}
    assert answer_difference(schema, "v2", json.dumps({"outputs": [predictions]}).encode(), 2) is None
    wrong = {"name": second, "datatype": "FP64", "shape": [2, 2], "data": [0.5] * 4}
    found = answer_difference(schema, "v2", json.dumps({"outputs": [predictions, wrong]}).encode(), 2)
    assert "has shape [2, 2], and metadata.json says [2, 3]" in (found or "")


@pytest.mark.parametrize(
    ("schema", "predictions", "says"),
    [
        (of(("INT64", [-1])), [0, 2.0], None),
        (of(("INT64", [-1])), [0, 1.5], "Prediction 2 is 1.5, and metadata.json says INT64"),
        (of(("INT64", [-1])), [True], "Prediction 1 is True"),
        (of(("INT64", [-1])), ["setosa"], "Prediction 1 is 'setosa'"),
        (of(("INT64", [-1])), [[0]], "Prediction 1 has shape [1], and metadata.json says [-1] for all rows"),
        (of(("FP64", [-1, 3])), [[0.9, 0.1, 0]], None),
        (of(("FP64", [-1, 3])), [[0.9, 0.1]], "Prediction 1 has shape [2]"),
        (of(("FP64", [-1, -1])), [[0.9, 0.1], [1.0]], None),
        (of(("BYTES", [-1])), ["setosa"], None),
        (of(("BYTES", [-1])), [0], "Prediction 1 is 0"),
        (of(("BOOL", [-1])), [True], None),
        (of(("INT64", [-1]), ("FP64", [-1])), [{"a": 1}], None),
    ],
)
def test_answers_of_v1(schema: Schema, predictions: list[Any], says: str | None) -> None:
    found = answer_difference(schema, "v1", json.dumps({"predictions": predictions}).encode(), len(predictions))
    assert found is None if says is None else says in (found or "")
