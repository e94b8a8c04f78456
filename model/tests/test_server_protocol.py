# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies of version 2 with binary data, in both directions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("orjson", reason="needs the packages of model/server/requirements.txt")

from model.server.errors import BadRequest
from model.server.protocol import Wanted, datatype_of, read_infer_request, write_infer_answer


def binary(datatype: str, data: bytes, shape: list[int], **more: Any) -> tuple[bytes, str]:
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
    header = json.dumps({"inputs": [tensor], **more}).encode()
    return header + data, str(len(header))


@pytest.mark.parametrize("datatype", ["INT8", "INT64", "UINT16", "FP16", "FP32", "FP64"])
def test_numbers_are_little_endian(datatype: str) -> None:
    kind = {"I": "i", "U": "u", "F": "f"}[datatype[0]]
    data = np.array([1, 2, 3], dtype=f"<{kind}{int(datatype.lstrip('UINTFP')) // 8}").tobytes()
    (tensor,) = read_infer_request(*binary(datatype, data, [3])).tensors
    assert (tensor.name, tensor.datatype, tensor.shape, tensor.data) == ("x", datatype, [3], [1, 2, 3])


def test_booleans_have_a_byte_each() -> None:
    (tensor,) = read_infer_request(*binary("BOOL", b"\x01\x00", [2])).tensors
    assert tensor.data == [True, False]


def test_texts_have_their_length_before_them() -> None:
    data = b"\x02\x00\x00\x00no\x04\x00\x00\x00\xf0\x9f\x98\x80"
    (tensor,) = read_infer_request(*binary("BYTES", data, [2])).tensors
    assert tensor.data == ["no", "\N{GRINNING FACE}"]


@pytest.mark.parametrize(
    ("datatype", "data", "sentence"),
    [
        ("FP64", b"1234567", "are 7 bytes, which are no values of FP64"),
        ("BYTES", b"\x05\x00\x00\x00ab", "end within a text"),
        ("BYTES", b"\x05\x00", "end within a text"),
        ("BYTES", b"\x01\x00\x00\x00\xff", "not UTF-8"),
        ("FLOAT", b"\x01", "there are no binary data of 'FLOAT'"),
    ],
)
def test_broken_binary_data_are_refused(datatype: str, data: bytes, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        read_infer_request(*binary(datatype, data, [1]))


def test_more_bytes_than_there_are_are_refused() -> None:
    body, length = binary("FP64", b"\0" * 8, [1])
    with pytest.raises(BadRequest, match="so many bytes are not there"):
        read_infer_request(body[:-1], length)


@pytest.mark.parametrize(
    ("outputs", "parameters", "wanted"),
    [
        (None, {"binary_data_output": True}, []),
        ([{"name": "a"}], {"binary_data_output": True}, [Wanted("a", True)]),
        ([{"name": "a", "parameters": {"binary_data": False}}], {"binary_data_output": True}, [Wanted("a", False)]),
        ([{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}], {}, [Wanted("a", True), Wanted("b")]),
    ],
)
def test_outputs_are_binary_where_it_is_asked_for(
    outputs: list[Any] | None, parameters: dict[str, Any], wanted: list[Wanted]
) -> None:
    content = {"inputs": [], "parameters": parameters} | ({"outputs": outputs} if outputs else {})
    request = read_infer_request(json.dumps(content).encode())
    assert (request.wanted, request.binary) == (wanted, "binary_data_output" in parameters)


def test_an_answer_with_binary_data() -> None:
    request = read_infer_request(b'{"inputs": [], "id": "7"}')
    results = [
        (Wanted("a", True), np.array([1, 2])),
        (Wanted("b", True), np.array(["no", "yes"], dtype=object)),
        (Wanted("c"), np.array([[0.5, 0.5]])),
    ]
    text, length = write_infer_answer(request, "model", "v1", results)
    assert length is not None
    assert text[length:] == np.array([1, 2], "<i8").tobytes() + b"\x02\0\0\0no\x03\0\0\0yes"
    assert json.loads(text[:length]) == {
        "model_name": "model",
        "model_version": "v1",
        "id": "7",
        "outputs": [
            {"name": "a", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": 16}},
            {"name": "b", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 13}},
            {"name": "c", "shape": [1, 2], "datatype": "FP64", "data": [0.5, 0.5]},
        ],
    }


def test_classes_that_are_objects_are_answered_as_the_texts_that_they_are_said_to_be() -> None:
    request = read_infer_request(b'{"inputs": []}')
    classes = np.array([3, "4", None], dtype=object)
    (output,) = json.loads(write_infer_answer(request, "model", None, [(Wanted("a"), classes)])[0])["outputs"]
    assert (output["datatype"], output["data"]) == ("BYTES", ["3", "4", "None"])


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([True]), "BOOL"),
        (np.array([1], "u1"), "UINT8"),
        (np.array([1.0], "f4"), "FP32"),
        (np.array(["a"]), "BYTES"),
        (np.array([None]), "BYTES"),
    ],
)
def test_the_names_of_datatypes(array: Any, datatype: str) -> None:
    assert datatype_of(array) == datatype
