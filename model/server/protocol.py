# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies of requests and answers in KServe's two protocols: version 1, and version 2 with its binary data.

Pure: knows neither HTTP nor the model. What is wrong with a body is said in one sentence, with its place.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
import orjson
from numpy.typing import NDArray

from .errors import BadRequest
from .rows import BOOL, DATATYPES, TEXT, Tensor

_KINDS = {"i": "INT", "u": "UINT", "f": "FP"}
_NAMES = {"list": "a list", "str": "a string", "dict": "an object"}
_DTYPES = {"INT": "<i", "UINT": "<u", "FP": "<f"}


@dataclass(frozen=True)
class Wanted:
    """An output that a request of version 2 names; binary: as bytes behind the answer's JSON."""

    name: str
    binary: bool = False


@dataclass(frozen=True)
class InferRequest:
    """A request of version 2; wanted is empty where it names no outputs, and then binary says the form of all."""

    tensors: list[Tensor]
    wanted: list[Wanted] = field(default_factory=list)
    binary: bool = False
    id: str | None = None


def read_json(body: bytes) -> Any:
    """The body parsed.

    Raises:
        BadRequest: it is no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request's body is not JSON: {error}.") from None


def read_infer_request(body: bytes, json_length: str | None = None) -> InferRequest:
    """A request of version 2.

    Args:
        json_length: where the body is JSON with binary data behind it, how many of its bytes are the JSON, as the
            header Inference-Header-Content-Length says.

    Raises:
        BadRequest: the body is anything else, or broken.
    """
    binary = None
    if json_length is not None:
        if not json_length.isdecimal() or int(json_length) > len(body):
            raise BadRequest(
                f"Inference-Header-Content-Length is {json_length!r:.40} where the body has {len(body)} bytes: "
                "give the length of its JSON."
            )
        body, binary = body[: int(json_length)], memoryview(body)[int(json_length) :]
    content = read_json(body)
    if not isinstance(content, dict):
        raise BadRequest("The request's body must be a JSON object with 'inputs'.")
    inputs = _member(content, "inputs", list, "")
    outputs = _member(content, "outputs", list, "", optional=True) or []
    tensors = []
    for number, item in enumerate(inputs):
        tensor, binary = _tensor(item, f"inputs.{number}", binary)
        tensors.append(tensor)
    binary_outputs = _flag(_parameters(content, ""), "binary_data_output")
    return InferRequest(
        tensors,
        [_wanted(item, f"outputs.{number}", binary_outputs) for number, item in enumerate(outputs)],
        binary_outputs,
        _member(content, "id", str, "", optional=True),
    )


def _member(item: Mapping[str, Any], name: str, kind: type, place: str, *, optional: bool = False) -> Any:
    value = item.get(name)
    if isinstance(value, kind) or (optional and value is None):
        return value
    where = f"{place}.{name}" if place else name
    if name not in item:
        raise BadRequest(f"The request is wrong at '{where}': Field required.")
    raise BadRequest(f"The request is wrong at '{where}': it must be {_NAMES[kind.__name__]}.")


def _parameters(item: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    return _member(item, "parameters", dict, place, optional=True) or {}


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    return parameters.get(name) is True


def _object(item: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise BadRequest(f"The request is wrong at '{place}': it must be an object.")
    return item


def _wanted(item: Any, place: str, binary: bool) -> Wanted:
    output = _object(item, place)
    name, parameters = _member(output, "name", str, place), _parameters(output, place)
    return Wanted(name, _flag(parameters, "binary_data") if "binary_data" in parameters else binary)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _tensor(item: Any, place: str, binary: memoryview | None) -> tuple[Tensor, memoryview | None]:
    """A tensor, and the binary data that is left for the others."""
    tensor = _object(item, place)
    name, datatype = _member(tensor, "name", str, place), _member(tensor, "datatype", str, place)
    shape, size = _member(tensor, "shape", list, place), _parameters(tensor, place).get("binary_data_size")
    for number, length in enumerate(shape):
        if not _whole(length):
            raise BadRequest(f"The request is wrong at '{place}.shape.{number}': it must be a whole number.")
    if "data" in tensor or size is None or binary is None:
        if datatype == "FP16":
            raise BadRequest(f"The request is wrong at '{place}': the protocol has FP16 as binary data only.")
        return Tensor(name, datatype, shape, _member(tensor, "data", list, place)), binary
    if not _whole(size) or not 0 <= size <= len(binary):
        raise BadRequest(f"The request is wrong at '{place}.parameters.binary_data_size': so many bytes are not there.")
    return Tensor(name, datatype, shape, _values(binary[:size], datatype, place)), binary[size:]


def _values(data: memoryview, datatype: str, place: str) -> list[Any]:
    """The values that binary data hold: each text with its length before it, all little-endian."""
    kind = datatype.rstrip("0123456789")
    if datatype == TEXT:
        return list(_texts(data, place))
    if datatype not in DATATYPES:
        raise BadRequest(f"The request is wrong at '{place}.datatype': there are no binary data of {datatype!r:.40}.")
    dtype = np.dtype(bool if datatype == BOOL else f"{_DTYPES[kind]}{int(datatype.removeprefix(kind)) // 8}")
    if len(data) % dtype.itemsize:
        raise BadRequest(f"The binary data of '{place}' are {len(data)} bytes, which are no values of {datatype}.")
    values: list[Any] = np.frombuffer(data, dtype).tolist()
    return values


def _texts(data: memoryview, place: str) -> list[str]:
    texts, start = [], 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if end > len(data):
            raise BadRequest(f"The binary data of '{place}' end within a text.")
        try:
            texts.append(str(data[start + 4 : end], "utf-8"))
        except UnicodeDecodeError:
            raise BadRequest(f"The binary data of '{place}' hold a text that is not UTF-8.") from None
        start = end
    return texts


def datatype_of(result: NDArray[Any]) -> str:
    """The protocol's name of what an array holds."""
    kind = result.dtype.kind
    if kind == "b":
        return BOOL
    return f"{_KINDS[kind]}{result.dtype.itemsize * 8}" if kind in _KINDS else TEXT


def write_infer_answer(
    request: InferRequest, model: str, version: str | None, results: Sequence[tuple[Wanted, NDArray[Any]]]
) -> tuple[bytes, int | None]:
    """The answer of version 2, and where it holds binary data the length of its JSON."""
    outputs: list[dict[str, Any]] = []
    binary = []
    for wanted, result in results:
        output = {"name": wanted.name, "shape": list(result.shape), "datatype": datatype_of(result)}
        if wanted.binary:
            binary.append(_bytes(result))
            outputs.append({**output, "parameters": {"binary_data_size": len(binary[-1])}})
        else:
            data = _texts_of(result) if output["datatype"] == TEXT else result.ravel().tolist()
            outputs.append({**output, "data": data})
    answer = {"model_name": model, "id": request.id or str(uuid.uuid4()), "outputs": outputs}
    text = to_json({**answer, "model_version": version} if version else answer)
    return (text + b"".join(binary), len(text)) if binary else (text, None)


def _bytes(result: NDArray[Any]) -> bytes:
    if datatype_of(result) != TEXT:
        return result.astype(result.dtype.newbyteorder("<")).tobytes()
    texts = [text.encode() for text in _texts_of(result)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _texts_of(result: NDArray[Any]) -> list[str]:
    """The values of an array that is said to hold texts, which an array of objects need not."""
    return [str(value) for value in result.ravel().tolist()]


def to_json(content: Any) -> bytes:
    """An answer's JSON; what it has no word for becomes a string."""
    text: bytes = orjson.dumps(content, default=str)
    return text
