# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies of requests and responses in the v1 protocol, and in the v2 protocol with its binary data.

Pure: without HTTP and the model. An error is one sentence that names the location in the body.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
import orjson
from numpy.typing import NDArray

from .errors import BadRequest, NotFinite
from .estimator import datatype_of
from .rows import BOOL, DATATYPES, TEXT, Tensor

# The decompressor copies what follows a member. So it is given each member in steps that begin small and double: what
# is copied is then about as long as the member, or this many bytes.
_FIRST_STEP = 64
# More than any length that a header may say.
MOST_DIGITS = 20

_NAMES = {"list": "a list", "str": "a string", "dict": "an object"}
_DTYPES = {"INT": "<i", "UINT": "<u", "FP": "<f"}


@dataclass(frozen=True)
class RequestedOutput:
    """An output that a v2 request names; binary: as bytes after the JSON of the response."""

    name: str
    binary: bool = False


@dataclass(frozen=True)
class InferRequest:
    """A v2 request.

    outputs: empty if the request names none; binary: then whether the response has binary data.
    """

    tensors: list[Tensor]
    outputs: list[RequestedOutput] = field(default_factory=list)
    binary: bool = False
    id: str | None = None


def read_json(body: bytes) -> Any:
    """The parsed body.

    Raises:
        BadRequest: it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}.", "InvalidJSON") from None


def unpacked(body: bytes, most: int) -> bytes | None:
    """The content of a body in gzip, or None if it has more bytes than allowed.

    Raises:
        BadRequest: it is not gzip, or truncated.
    """
    parts, size, start, packed = [], 0, 0, memoryview(body)
    try:
        # RFC 1952 allows several members after each other.
        while start < len(body):
            unpacker, step = zlib.decompressobj(wbits=31), _FIRST_STEP
            while not unpacker.eof:
                if start == len(body):
                    raise BadRequest("The request body is truncated gzip: send all of it.", "InvalidGzip")
                part = unpacker.decompress(packed[start : start + step], most + 1 - size)
                if part:
                    parts.append(part)
                    size += len(part)
                    if size > most:
                        return None
                start = min(start + step, len(body))
                step *= 2
            start -= len(unpacker.unused_data)
    except zlib.error as error:
        raise BadRequest(
            f"The request body is not gzip, as its Content-Encoding says: {error}.", "InvalidGzip"
        ) from None
    return b"".join(parts)


def read_infer_request(body: bytes, json_length: str | None = None) -> InferRequest:
    """Parse a v2 request.

    Args:
        json_length: the header Inference-Header-Content-Length: the length of the JSON in bytes, if binary data follow
            it.

    Raises:
        BadRequest: the body is not a valid v2 request.
    """
    binary = None
    if json_length is not None:
        is_length = json_length.isdecimal() and len(json_length) <= MOST_DIGITS
        if not is_length or int(json_length) > len(body):
            raise BadRequest(
                f"Inference-Header-Content-Length is {json_length!r:.40} but the body has {len(body)} bytes: "
                "set it to the length of the JSON."
            )
        body, binary = body[: int(json_length)], memoryview(body)[int(json_length) :]
    content = read_json(body)
    if not isinstance(content, dict):
        raise BadRequest("The request body must be a JSON object with 'inputs'.")
    inputs = _member(content, "inputs", list, "")
    outputs = _member(content, "outputs", list, "", optional=True) or []
    tensors = []
    for number, item in enumerate(inputs):
        tensor, binary = _tensor(item, f"inputs.{number}", binary)
        tensors.append(tensor)
    binary_outputs = _flag(_parameters(content, ""), "binary_data_output")
    return InferRequest(
        tensors,
        [_requested_output(item, f"outputs.{number}", binary_outputs) for number, item in enumerate(outputs)],
        binary_outputs,
        _member(content, "id", str, "", optional=True),
    )


def _member(item: Mapping[str, Any], name: str, json_type: type, place: str, *, optional: bool = False) -> Any:
    value = item.get(name)
    if isinstance(value, json_type) or (optional and value is None):
        return value
    where = f"{place}.{name}" if place else name
    if name not in item:
        raise BadRequest(f"The field '{where}' is required.")
    raise BadRequest(f"The field '{where}' must be {_NAMES[json_type.__name__]}.")


def _parameters(item: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    return _member(item, "parameters", dict, place, optional=True) or {}


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    return parameters.get(name) is True


def _object(item: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise BadRequest(f"The field '{place}' must be an object.")
    return item


def _requested_output(item: Any, place: str, binary: bool) -> RequestedOutput:
    output = _object(item, place)
    name, parameters = _member(output, "name", str, place), _parameters(output, place)
    return RequestedOutput(name, _flag(parameters, "binary_data") if "binary_data" in parameters else binary)


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _tensor(item: Any, place: str, binary: memoryview | None) -> tuple[Tensor, memoryview | None]:
    """A tensor, and the binary data of the tensors after it."""
    tensor = _object(item, place)
    name, datatype = _member(tensor, "name", str, place), _member(tensor, "datatype", str, place)
    shape, size = _member(tensor, "shape", list, place), _parameters(tensor, place).get("binary_data_size")
    for number, length in enumerate(shape):
        if not _is_integer(length):
            raise BadRequest(f"The field '{place}.shape.{number}' must be an integer.")
    if "data" in tensor or size is None or binary is None:
        if datatype == "FP16":
            raise BadRequest(f"The field '{place}' has JSON data of FP16: send FP16 as binary data.")
        return Tensor(name, datatype, shape, _member(tensor, "data", list, place)), binary
    if not _is_integer(size) or not 0 <= size <= len(binary):
        field_name = f"{place}.parameters.binary_data_size"
        raise BadRequest(
            f"The field '{field_name}' must be an integer of at most {len(binary)}, the bytes that remain."
        )
    return Tensor(name, datatype, shape, _values(binary[:size], datatype, place)), binary[size:]


def _values(data: memoryview, datatype: str, place: str) -> list[Any]:
    """The values of little-endian binary data; each string follows its length."""
    kind = datatype.rstrip("0123456789")
    if datatype == TEXT:
        return list(_strings(data, place))
    if datatype not in DATATYPES:
        raise BadRequest(f"The field '{place}.datatype' must be a datatype of the protocol, not {datatype!r:.40}.")
    dtype = np.dtype(bool if datatype == BOOL else f"{_DTYPES[kind]}{int(datatype.removeprefix(kind)) // 8}")
    if len(data) % dtype.itemsize:
        raise BadRequest(
            f"The binary data of '{place}' have {len(data)} bytes, not a multiple of the size of {datatype}."
        )
    values: list[Any] = np.frombuffer(data, dtype).tolist()
    return values


def _strings(data: memoryview, place: str) -> list[str]:
    strings, start = [], 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if end > len(data):
            raise BadRequest(f"The binary data of '{place}' are truncated within a string.")
        try:
            strings.append(str(data[start + 4 : end], "utf-8"))
        except UnicodeDecodeError:
            raise BadRequest(f"The binary data of '{place}' contain a string that is not UTF-8.") from None
        start = end
    return strings


def write_infer_response(
    request: InferRequest, model: str, version: str | None, results: Sequence[tuple[RequestedOutput, NDArray[Any]]]
) -> tuple[bytes, int | None]:
    """The body of a v2 response, and the length of its JSON if it contains binary data."""
    outputs: list[dict[str, Any]] = []
    binary = []
    for requested, result in results:
        output = {"name": requested.name, "shape": list(result.shape), "datatype": datatype_of(result)}
        if requested.binary:
            binary.append(_bytes(result))
            outputs.append({**output, "parameters": {"binary_data_size": len(binary[-1])}})
        else:
            numbers = json_values(result, requested.name)
            data = _strings_of(result) if output["datatype"] == TEXT else numbers.ravel().tolist()
            outputs.append({**output, "data": data})
    response = {"model_name": model, "id": request.id or str(uuid.uuid4()), "outputs": outputs}
    text = to_json({**response, "model_version": version} if version else response)
    return (text + b"".join(binary), len(text)) if binary else (text, None)


def json_values(result: NDArray[Any], name: str) -> NDArray[Any]:
    """The result, if JSON can express it: orjson would write NaN and infinity as null.

    Raises:
        NotFinite: it contains such a number.
    """
    if result.dtype.kind == "f" and not np.isfinite(result).all():
        row = int(np.argwhere(~np.isfinite(result))[0][0]) + 1
        raise NotFinite(
            f"The model predicts NaN or infinity for row {row} of {name}, which JSON cannot express: correct the "
            "model, or request the output as binary data."
        )
    return result


def _bytes(result: NDArray[Any]) -> bytes:
    if datatype_of(result) != TEXT:
        return result.astype(result.dtype.newbyteorder("<")).tobytes()
    strings = [string.encode() for string in _strings_of(result)]
    return b"".join(len(string).to_bytes(4, "little") + string for string in strings)


def _strings_of(result: NDArray[Any]) -> list[str]:
    """The values of an array as strings, because an array of objects may contain other types."""
    return [str(value) for value in result.ravel().tolist()]


def to_json(content: Any) -> bytes:
    """The content as JSON; a value without a JSON type becomes a string."""
    text: bytes = orjson.dumps(content, default=str)
    return text
