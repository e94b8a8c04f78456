# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies of v2 requests and responses with binary data."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from typing import Any

import numpy as np
import pytest

pytest.importorskip("orjson", reason="needs the packages of model/server/requirements.txt")

from model.server.errors import BadRequest, NotFinite
from model.server.protocol import RequestedOutput, datatype_of, read_infer_request, unpacked, write_infer_response


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


def test_strings_follow_their_length() -> None:
    data = b"\x02\x00\x00\x00no\x04\x00\x00\x00\xf0\x9f\x98\x80"
    (tensor,) = read_infer_request(*binary("BYTES", data, [2])).tensors
    assert tensor.data == ["no", "\N{GRINNING FACE}"]


@pytest.mark.parametrize(
    ("datatype", "data", "sentence"),
    [
        ("FP64", b"1234567", "have 7 bytes, not a multiple of the size of FP64"),
        ("BYTES", b"\x05\x00\x00\x00ab", "are truncated within a string"),
        ("BYTES", b"\x05\x00", "are truncated within a string"),
        ("BYTES", b"\x01\x00\x00\x00\xff", "not UTF-8"),
        ("FLOAT", b"\x01", "must be a datatype of the protocol, not 'FLOAT'"),
    ],
)
def test_invalid_binary_data_are_rejected(datatype: str, data: bytes, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        read_infer_request(*binary(datatype, data, [1]))


def test_a_size_beyond_the_binary_data_is_rejected() -> None:
    body, length = binary("FP64", b"\0" * 8, [1])
    with pytest.raises(BadRequest, match="binary_data_size' must be an integer of at most 7"):
        read_infer_request(body[:-1], length)


@pytest.mark.parametrize(
    ("outputs", "parameters", "outputs_requested"),
    [
        (None, {"binary_data_output": True}, []),
        ([{"name": "a"}], {"binary_data_output": True}, [RequestedOutput("a", True)]),
        (
            [{"name": "a", "parameters": {"binary_data": False}}],
            {"binary_data_output": True},
            [RequestedOutput("a", False)],
        ),
        (
            [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}],
            {},
            [RequestedOutput("a", True), RequestedOutput("b")],
        ),
    ],
)
def test_outputs_are_binary_on_request(
    outputs: list[Any] | None, parameters: dict[str, Any], outputs_requested: list[RequestedOutput]
) -> None:
    content = {"inputs": [], "parameters": parameters} | ({"outputs": outputs} if outputs else {})
    request = read_infer_request(json.dumps(content).encode())
    assert (request.outputs, request.binary) == (outputs_requested, "binary_data_output" in parameters)


def test_a_response_with_binary_data() -> None:
    request = read_infer_request(b'{"inputs": [], "id": "7"}')
    results = [
        (RequestedOutput("a", True), np.array([1, 2])),
        (RequestedOutput("b", True), np.array(["no", "yes"], dtype=object)),
        (RequestedOutput("c"), np.array([[0.5, 0.5]])),
    ]
    text, length = write_infer_response(request, "model", "v1", results)
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


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_cannot_express_is_an_error_and_binary_data(number: float) -> None:
    request = read_infer_request(b'{"inputs": []}')
    result = np.array([1.0, number])
    with pytest.raises(NotFinite, match="predicts NaN or infinity for row 2 of a, which JSON cannot express"):
        write_infer_response(request, "model", None, [(RequestedOutput("a"), result)])
    text, length = write_infer_response(request, "model", None, [(RequestedOutput("a", True), result)])
    assert text[length:] == result.tobytes()


def test_classes_that_are_objects_are_returned_as_strings() -> None:
    request = read_infer_request(b'{"inputs": []}')
    classes = np.array([3, "4", None], dtype=object)
    (output,) = json.loads(write_infer_response(request, "model", None, [(RequestedOutput("a"), classes)])[0])[
        "outputs"
    ]
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


@pytest.mark.parametrize("length", ["1" * 5000, "0" * 5000 + "2"], ids=["ones", "zeros"])
def test_a_length_of_too_many_digits_is_rejected(length: str) -> None:
    with pytest.raises(BadRequest, match=r"^Inference-Header-Content-Length is .{40} but the body has 2 bytes"):
        read_infer_request(b"{}", length)


RANDOM = random.Random(0).randbytes(100_000)


@pytest.mark.parametrize(
    "content", [b"", b"a", b"a" * 100_000, RANDOM[:63], RANDOM], ids=lambda content: f"{content[:1]!r} {len(content)}"
)
@pytest.mark.parametrize("members", [1, 2, 3])
def test_gzip_of_several_members(content: bytes, members: int) -> None:
    body = gzip.compress(content) * members
    assert unpacked(body, len(content) * members) == content * members
    assert content == b"" or unpacked(body, len(content) * members - 1) is None
    for rest in (body[-9:], body[:10], body[:1]):
        with pytest.raises(BadRequest, match="gzip"):
            unpacked(body + rest, len(content) * members)
    with pytest.raises(BadRequest, match="truncated"):
        unpacked(body[:-1], len(content) * members)


class Counted:
    """Counts the bytes that are given to decompressors, which copy those that they do not need."""

    def __init__(self, unpacker: Any, counts: list[int]) -> None:
        self._unpacker, self._counts = unpacker, counts

    def decompress(self, data: Any, most: int) -> bytes:
        self._counts.append(len(data))
        part: bytes = self._unpacker.decompress(data, most)
        return part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._unpacker, name)


@pytest.mark.parametrize("content", [b"", b"a", RANDOM[:1000]], ids=lambda content: f"{content[:1]!r} {len(content)}")
def test_the_work_for_gzip_grows_with_its_size(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    original = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda **options: Counted(original(**options), counts))
    body = gzip.compress(content) * 2000
    assert unpacked(body, len(content) * 2000) == content * 2000
    assert sum(counts) < 4 * len(body)
