# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real server in its own process, over HTTP."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from model.iris.recipe import RECIPE
from model.tests.serving import (
    NAME,
    free_port,
    iris_folder,
    raw,
    request,
    serving,
    start,
    start_error,
    wait_until_ready,
)
from model.training import train

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

INSTANCES = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]
FLAT = [value for row in INSTANCES for value in row]
V1 = f"/v1/models/{NAME}:predict"
V2 = f"/v2/models/{NAME}/infer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return iris_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def port(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(folder, tmp_path_factory.mktemp("log") / "server.log") as number:
        yield number


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "input-0", "shape": [2, 4], "datatype": "FP64", "data": FLAT} | changes]}


def without(key: str) -> dict[str, Any]:
    return {"inputs": [{name: value for name, value in tensor()["inputs"][0].items() if name != key}]}


def binary(header: Any, data: bytes = b"") -> tuple[bytes, dict[str, str]]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return text + data, {
        "Inference_Header_Content_Length": str(len(text)),
        "Content_Type": "application/octet-stream",
    }


CONTENT_TYPES = [
    {},
    {"Content_Type": "application/json"},
    {"Content_Type": "application/json; charset=utf-8"},
    {"Content_Type": "text/plain"},
    {"Content_Type": "application/x-www-form-urlencoded"},
    {"Content_Type": "multipart/form-data; boundary=x"},
    {"Content_Type": "nonsense"},
]


@pytest.mark.parametrize("headers", CONTENT_TYPES)
def test_v1_predicts(port: int, headers: dict[str, str]) -> None:
    assert request(port, "POST", V1, {"instances": INSTANCES}, **headers) == (200, {"predictions": [0, 2]})


@pytest.mark.parametrize("headers", CONTENT_TYPES)
@pytest.mark.parametrize("data", [FLAT, INSTANCES])
def test_v2_predicts(port: int, headers: dict[str, str], data: list[Any]) -> None:
    status, answer = request(port, "POST", V2, tensor(data=data) | {"id": "7"}, **headers)
    assert status == 200
    assert (answer["id"], answer["model_version"]) == ("7", "v1")
    assert answer["outputs"][0] | {"parameters": None} == {
        "name": "output-0",
        "shape": [2],
        "datatype": "INT64",
        "parameters": None,
        "data": [0, 2],
    }


def test_v2_predicts_from_binary_data(port: int) -> None:
    data = np.array(INSTANCES, "<f4").tobytes()
    header = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
    body, headers = binary({"inputs": [header]}, data)
    status, answer = request(port, "POST", V2, body, **headers)
    assert (status, answer["outputs"][0]["data"]) == (200, [0, 2])


def test_the_response_to_a_cloud_event_is_one(port: int) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "test", "type": "test", "time": "2026-01-01T00:00:00Z"}
    status, answer = request(
        port, "POST", V1, event | {"data": {"instances": INSTANCES}}, Content_Type="application/cloudevents+json"
    )
    assert (status, answer["data"]) == (200, {"predictions": [0, 2]})


def test_the_metadata_contain_shapes_version_and_digest(port: int, folder: Path) -> None:
    assert request(port, "GET", "/v2/models/model") == (
        200,
        {
            "name": "model",
            "versions": ["v1"],
            "platform": "",
            "properties": {"sha256": hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()},
            "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}],
            "outputs": [
                {"name": "output-0", "datatype": "INT64", "shape": [-1]},
                {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
            ],
        },
    )


def test_v2_predicts_from_one_input_for_each_feature(port: int) -> None:
    names = json.loads(train(RECIPE, RECIPE.load(42), "v1", 42, 0.95)["metadata.json"])["features"]
    columns = zip(*INSTANCES, strict=True)
    inputs = [
        {"name": name, "shape": [2], "datatype": "FP64", "data": column}
        for name, column in zip(names, columns, strict=True)
    ]
    status, answer = request(port, "POST", V2, {"inputs": inputs})
    assert (status, answer["outputs"][0]["data"]) == (200, [0, 2])


NOT_JSON = [b"", b"{", b"nonsense", b"\xff\xfe", b"{'instances': []}", b"\x1f\x8b\x08\x00", b"[" * 100_000]


@pytest.mark.parametrize("headers", CONTENT_TYPES)
@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:12]))
def test_a_body_that_is_not_json(port: int, path: str, body: bytes, headers: dict[str, str]) -> None:
    status, answer = request(port, "POST", path, body, **headers)
    assert status == 400
    assert len(answer.get("error") or answer["detail"]) > 20


V1_BAD: dict[str, tuple[Any, bytes | None, str]] = {
    "null": (None, b"null", "not null"),
    "list": ([[1, 2, 3, 4]], None, "must be a JSON object"),
    "string": ("instances", None, "must be a JSON object"),
    "number": (5, None, "must be a JSON object"),
    "no instances": ({}, None, "'instances' is required"),
    "v2 to v1": (tensor(), None, "'instances' is required"),
    "null instances": ({"instances": None}, None, "must be a list of rows, not null"),
    "object": ({"instances": {"a": 1}}, None, "not an object"),
    "empty": ({"instances": []}, None, "empty"),
    "empty row": ({"instances": [[]]}, None, "0 values, but the model has 4 features"),
    "flat": (
        {"instances": [1, 2, 3, 4]},
        None,
        "list of 4 values or an object with the feature names, not a number",
    ),
    "short": ({"instances": [[1, 2, 3]]}, None, "3 values, but the model has 4 features"),
    "long": ({"instances": [[1, 2, 3, 4, 5]]}, None, "5 values, but the model has 4 features"),
    "ragged": ({"instances": [[1, 2, 3, 4], [1, 2]]}, None, "Row 1 of 'instances' has 2 values"),
    "strings": ({"instances": [["1", "2", "3", "4"]]}, None, "not a string"),
    "string rows": ({"instances": ["1234"]}, None, "not a string"),
    "nulls": ({"instances": [[1, 2, 3, None]]}, None, "not null"),
    "booleans": ({"instances": [[1, 2, 3, True]]}, None, "not a boolean"),
    "nested": ({"instances": [[[1], [2], [3], [4]]]}, None, "not a list"),
    "objects": ({"instances": [{"sepal": 1}]}, None, "has no feature 'sepal length (cm)'"),
    "nan": ({"instances": [[1, 2, 3, float("nan")]]}, None, "is not valid JSON"),
    "infinite once scaled": ({"instances": [[1, 2, 3, 1.7e308]]}, None, "The model rejected these rows"),
    "overflow": (None, b'{"instances": [[1, 2, 3, 1e999]]}', ""),
    "huge integer": (None, b'{"instances": [[1, 2, 3, ' + b"9" * 5000 + b"]]}", ""),
    "cloud event without data": (
        {"specversion": "1.0", "id": "1", "source": "t", "type": "t", "time": "x", "data": None},
        None,
        "not null",
    ),
}


@pytest.mark.parametrize("headers", CONTENT_TYPES[:3])
@pytest.mark.parametrize(("value", "raw", "sentence"), V1_BAD.values(), ids=V1_BAD)
def test_v1_rejects(port: int, value: Any, raw: bytes | None, sentence: str, headers: dict[str, str]) -> None:
    status, answer = request(port, "POST", V1, raw or value, **headers)
    assert (status, list(answer)) == (400, ["error"])
    assert sentence in answer["error"]
    assert "\n" not in answer["error"]
    assert len(answer["error"]) > 20


V2_BAD: dict[str, tuple[Any, bytes | None, str]] = {
    "null": (None, b"null", "'inputs'"),
    "list": ([], None, "'inputs'"),
    "no inputs": ({}, None, "'inputs' is required"),
    "v1 to v2": ({"instances": INSTANCES}, None, "'inputs' is required"),
    "null inputs": ({"inputs": None}, None, "The field 'inputs'"),
    "empty inputs": ({"inputs": []}, None, "'inputs' is empty"),
    "two inputs": ({"inputs": tensor()["inputs"] * 2}, None, "same name"),
    "input no object": ({"inputs": [1]}, None, "The field 'inputs.0'"),
    "no name": (without("name"), None, "'inputs.0.name' is required"),
    "no shape": (without("shape"), None, "'inputs.0.shape' is required"),
    "no datatype": (without("datatype"), None, "'inputs.0.datatype' is required"),
    "no data": (without("data"), None, "'inputs.0.data' is required"),
    "null data": (tensor(data=None), None, "The field 'inputs.0.data'"),
    "empty data": (tensor(data=[]), None, "0 values, but"),
    "count": (tensor(data=FLAT[:-1]), None, "7 values, but its shape [2, 4] requires 8"),
    "columns": (tensor(shape=[4, 2]), None, "must be [rows, 4]"),
    "one dimension": (tensor(shape=[8]), None, "must be [rows, 4]"),
    "no rows": (tensor(shape=[0, 4], data=[]), None, "at least one row"),
    "negative": (tensor(shape=[-1, 4]), None, "at least one row"),
    "enormous": (tensor(shape=[10**15, 4]), None, "8 values, but"),
    "beyond int64": (tensor(shape=[10**30, 4]), None, "The field 'inputs.0.shape.0'"),
    "shape of strings": (tensor(shape=["a", "b"]), None, "The field 'inputs.0.shape.0'"),
    "ragged": (tensor(data=[[1, 2, 3, 4], [1, 2, 3]]), None, "nested data"),
    "deep": (tensor(data=[[[1, 2, 3, 4]], [[1, 2, 3, 4]]]), None, "nested data"),
    "bytes": (tensor(datatype="BYTES", data=["a"] * 8), None, "must be numeric"),
    "bool": (tensor(datatype="BOOL", data=[True] * 8), None, "must be numeric"),
    "unknown datatype": (tensor(datatype="FLOAT"), None, "must be numeric"),
    "half": (tensor(datatype="FP16"), None, "FP16"),
    "fractions as integers": (tensor(datatype="INT64"), None, "not a valid INT64"),
    "too large for uint8": (tensor(datatype="UINT8", data=[300] * 8), None, "not a valid UINT8"),
    "too large for fp32": (tensor(datatype="FP32", data=[1e300] * 8), None, "not finite"),
    "strings": (tensor(data=["1"] * 8), None, "not a string"),
    "nulls": (tensor(data=[None] * 8), None, "not null"),
    "nan": (tensor(data=[float("nan")] * 8), None, "is not valid JSON"),
    "infinite once scaled": (tensor(data=[1.7e308] * 8), None, "The model rejected these rows"),
    "id": (tensor() | {"id": 5}, None, "The field 'id'"),
    "parameters": (tensor() | {"parameters": [1]}, None, "The field 'parameters'"),
    "unknown output": (tensor() | {"outputs": [{"name": "probabilities"}]}, None, "no output 'probabilities'"),
}


@pytest.mark.parametrize("headers", CONTENT_TYPES[:3])
@pytest.mark.parametrize(("value", "raw", "sentence"), V2_BAD.values(), ids=V2_BAD)
def test_v2_rejects(port: int, value: Any, raw: bytes | None, sentence: str, headers: dict[str, str]) -> None:
    status, answer = request(port, "POST", V2, raw or value, **headers)
    assert (status, list(answer)) == (400, ["error"])
    assert sentence in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("body", [b'{"inputs": [' + b"9" * 5000 + b"]}", b'{"inputs": ' + b'{"a":' * 50_000])
def test_v2_rejects_what_the_json_parser_cannot_parse(port: int, body: bytes) -> None:
    assert request(port, "POST", V2, body)[0] == 400


BINARY_BAD = {
    "not json": b"nonsense",
    "list": [],
    "no inputs": {},
    "inputs no list": {"inputs": 5},
    "input no object": {"inputs": ["x"]},
    "no name": {"inputs": [{"shape": [1, 4], "datatype": "FP64"}]},
    "no data": {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64"}]},
    "datatype no string": {"inputs": [{"name": "x", "shape": [1, 4], "datatype": 5, "data": [1, 2, 3, 4]}]},
    "shape no list": {"inputs": [{"name": "x", "shape": 4, "datatype": "FP64", "data": [1, 2, 3, 4]}]},
    "data no list": {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": "abcd"}]},
    "too little data": {
        "inputs": [{"name": "x", "shape": [9, 4], "datatype": "FP64", "parameters": {"binary_data_size": 32}}]
    },
    "size no number": {
        "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "parameters": {"binary_data_size": "a"}}]
    },
    "unknown datatype": {
        "inputs": [{"name": "x", "shape": [1, 4], "datatype": "X", "parameters": {"binary_data_size": 32}}]
    },
    "bytes": {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "BYTES", "parameters": {"binary_data_size": 32}}]},
    "id": tensor() | {"id": 5},
    "parameters": tensor() | {"parameters": [1]},
    "parameters a string": tensor() | {"parameters": "x"},
    "outputs no list": tensor() | {"outputs": 5},
    "output without a name": tensor() | {"outputs": [{}]},
    "parameters of an output": tensor() | {"outputs": [{"name": "output-0", "parameters": 5}]},
    "unknown output": tensor() | {"outputs": [{"name": ["x"]}]},
}


@pytest.mark.parametrize("header", BINARY_BAD.values(), ids=BINARY_BAD)
def test_v2_rejects_bad_binary_requests(port: int, header: Any) -> None:
    body, headers = binary(header, b"\x00" * 32)
    status, answer = request(port, "POST", V2, body, **headers)
    assert (status, list(answer)) == (400, ["error"])
    assert len(answer["error"]) > 20


@pytest.mark.parametrize("length", ["", "x", "-1", "1e3", "99999999999999999999", "1" * 5000])
def test_v2_rejects_a_bad_length_of_the_header(port: int, length: str) -> None:
    status, answer = request(port, "POST", V2, b"not json at all", Inference_Header_Content_Length=length)
    assert status == 400
    assert "error" in answer


@pytest.mark.parametrize(
    "headers",
    [
        {"ce_specversion": "1.0"},
        {"ce_specversion": "9.9", "ce_id": "1", "ce_source": "s", "ce_type": "t"},
        {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t"},
        {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t", "ce_time": "never"},
        {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t", "ce_contenttype": "x"},
    ],
)
@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"instances": [[1]]}'])
def test_bad_cloud_events(port: int, headers: dict[str, str], body: bytes) -> None:
    status, answer = request(port, "POST", V1, body, **headers)
    assert (status, list(answer)) == (400, ["error"])


def test_probes_are_answered_during_a_large_request(port: int) -> None:
    rows = 200_000
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(request, port, "POST", V1, {"instances": INSTANCES * (rows // 2)})
        probes = 0
        while not large.done():
            assert request(port, "GET", "/v2/models/model/ready")[0] == 200
            probes += 1
    assert large.result() == (200, {"predictions": [0, 2] * (rows // 2)})
    assert probes > 1


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(port: int, path: str, chunked: bool) -> None:
    size = 8 * 1024 * 1024 + 1
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
        if chunked:
            connection.sendall(f"{size:x}\r\n".encode() + b"1" * size)
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "larger than 8388608 bytes: send fewer rows" in answer


def test_unknown_names_are_not_found(port: int) -> None:
    assert request(port, "POST", "/v1/models/other:predict", {"instances": INSTANCES})[0] == 404
    assert request(port, "POST", "/v2/models/other/infer", tensor())[0] == 404
    assert request(port, "GET", "/v2/models/other/ready")[0] == 404
    assert request(port, "GET", "/v2/models/other")[0] == 404


def test_no_client_can_unload_the_model(port: int) -> None:
    assert request(port, "POST", "/v2/repository/models/model/unload") == (
        403,
        {"error": "This server does not load or unload models: deploy another version instead."},
    )
    assert request(port, "GET", "/v2/models/model/ready")[0] == 200


def test_sigterm_lets_a_running_request_finish(folder: Path) -> None:
    with stoppable(folder) as (process, number):
        body = json.dumps({"instances": INSTANCES}).encode()
        with socket.create_connection(("127.0.0.1", number), timeout=30) as connection:
            head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            connection.sendall(head + body[:10])
            time.sleep(0.2)  # the server must have started to read the request before the signal
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            connection.sendall(body[10:])
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        assert answer.startswith("HTTP/1.1 200 "), answer
        assert '{"predictions":[0,2]}' in answer
        assert process.wait(15) == 0


def test_after_sigterm_requests_are_served_until_the_gateway_is_updated(folder: Path) -> None:
    with stoppable(folder, DRAIN_SECONDS="3") as (process, number):
        idle = http.client.HTTPConnection("127.0.0.1", number, timeout=30)
        assert predict_over(idle) == (200, None)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        # The server asks the client to close the existing connection, and accepts new ones.
        assert predict_over(idle) == (200, "close")
        assert predict_over(http.client.HTTPConnection("127.0.0.1", number, timeout=30)) == (200, "close")
        assert request(number, "GET", "/v2/health/ready")[0] == 503
        assert request(number, "GET", f"/v2/models/{NAME}/ready")[0] == 200
        assert process.poll() is None
        assert process.wait(15) == 0


def predict_over(connection: http.client.HTTPConnection) -> tuple[int, str | None]:
    """Status, and the header Connection."""
    connection.request("POST", V1, json.dumps({"instances": INSTANCES}))
    response = connection.getresponse()
    assert json.loads(response.read()) == {"predictions": [0, 2]}
    return response.status, response.headers["connection"]


def test_a_second_sigterm_ends_the_drain(folder: Path) -> None:
    with stoppable(folder, DRAIN_SECONDS="600") as (process, number):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert request(number, "POST", V1, {"instances": INSTANCES})[0] == 200
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def test_sigterm_stops_the_loading(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"ctime\nsleep\n(I60\ntR.")
    process = start(tmp_path, free_port())
    try:
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


@contextmanager
def stoppable(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A separate server that the test may stop."""
    number = free_port()
    process = start(folder, number, environment=environment)
    try:
        wait_until_ready(process, number)
        yield process, number
    finally:
        process.kill()
        process.communicate()


def test_no_start_with_an_invalid_number_of_seconds(folder: Path) -> None:
    assert "DRAIN_SECONDS is 'soon': set it to the number of seconds" in start_error(folder, DRAIN_SECONDS="soon")


def test_no_start_without_a_folder(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in start_error(tmp_path / "absent")


def test_no_start_without_a_model_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("another format")
    (tmp_path / "model.joblib").mkdir()
    assert "contains no model file: add exactly one of *.joblib, *.pkl, *.pickle" in start_error(tmp_path)


def test_no_start_with_two_model_files(tmp_path: Path) -> None:
    for name in ("a.joblib", "b.pkl"):
        (tmp_path / name).write_text("a model")
    assert "contains 2 model files (a.joblib, b.pkl): delete all but one" in start_error(tmp_path)


def test_no_start_with_a_truncated_model_file(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "model.joblib").write_bytes((folder / "model.joblib").read_bytes()[:700])
    assert "cannot be loaded (" in start_error(tmp_path)


def described(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """A copy of the model folder with changes to its description."""
    (tmp_path / "model.joblib").write_bytes((folder / "model.joblib").read_bytes())
    metadata = json.loads((folder / "metadata.json").read_bytes())
    (tmp_path / "metadata.json").write_text(json.dumps(metadata | changes))
    return tmp_path


def test_no_start_with_another_model_file_than_described(tmp_path: Path, folder: Path) -> None:
    described(folder, tmp_path)
    # Code that would run if it were unpickled.
    (tmp_path / "model.joblib").write_bytes(b"cbuiltins\nexit\n(I7\ntR.")
    assert "has the SHA-256 " in start_error(tmp_path)


def test_no_start_with_another_scikit_learn_than_described(tmp_path: Path, folder: Path) -> None:
    described(folder, tmp_path, libraries={"scikit-learn": "1.2.0"})
    assert "was written by scikit-learn 1.2.0, but this server has " in start_error(tmp_path)


def test_no_start_with_a_model_that_predicts_other_values_than_described(tmp_path: Path, folder: Path) -> None:
    described(folder, tmp_path, examples={"instances": INSTANCES, "predictions": [1, 1]})
    assert "predicts [0, 2] for its examples, but its description expects [1, 1]" in start_error(tmp_path)


def test_no_start_with_an_invalid_description(tmp_path: Path, folder: Path) -> None:
    described(folder, tmp_path, inputs=[{"name": "x", "datatype": "FP65", "shape": [-1, 4]}])
    assert "is not a valid model description (ValueError: the datatype 'FP65'" in start_error(tmp_path)
    (tmp_path / "metadata.json").write_text("{")
    assert "metadata.json cannot be read (JSONDecodeError)" in start_error(tmp_path)


def test_no_start_with_a_description_of_other_features(tmp_path: Path, folder: Path) -> None:
    described(folder, tmp_path, features=["a", "b"])
    assert "has 4 features, but its description lists 2" in start_error(tmp_path)


@pytest.mark.parametrize("stored", [{"a": "dictionary"}, LogisticRegression()], ids=["dictionary", "not fitted"])
def test_no_start_with_an_object_that_is_not_a_model(tmp_path: Path, stored: Any) -> None:
    joblib.dump(stored, tmp_path / "model.joblib")
    message = start_error(tmp_path)
    assert "cannot be served: dict has no predict" in message or "LogisticRegression is not fitted; fit it" in message


def test_no_start_with_a_model_that_cannot_predict(tmp_path: Path) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    del model.coef_
    joblib.dump(model, tmp_path / "model.joblib")
    assert "failed at its first prediction (AttributeError" in start_error(tmp_path)


def test_a_prediction_that_json_cannot_express_is_an_error(tmp_path: Path) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    model.coef_ = np.array([1e308])  # infinite for numbers over 1
    joblib.dump(model, tmp_path / "model.joblib")
    sentence = "The model predicts NaN or infinity for row 2 of "
    tensor = {"name": "input-0", "shape": [2, 1], "datatype": "FP64", "data": [0.0, 100.0]}
    with serving(tmp_path, tmp_path / "server.log") as port:
        status, answer = request(port, "POST", V1, {"instances": [[0.0], [100.0]]})
        assert (status, answer["error"].startswith(sentence)) == (500, True), answer
        status, answer = request(port, "POST", V2, {"inputs": [tensor]})
        assert (status, answer["error"].startswith(sentence)) == (500, True), answer
        assert request(port, "POST", V1, {"instances": [[0.0]]})[0] == 200


BODY = json.dumps({"instances": INSTANCES}).encode()
# As java.net.http.HttpClient sends it over plain HTTP.
JAVA = (
    b"POST /v1/models/model:predict HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\n"
    b"Host: localhost\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.1\r\nContent-Type: application/json\r\n\r\n" % len(BODY)
)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LAST = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [JAVA + BODY],
        [JAVA, BODY],
        [JAVA[:200], JAVA[200:], BODY[:10], BODY[10:]],
        [JAVA.replace(b"Upgrade: h2c\r\n", b"")[:-2] + b"UPGRADE: h2c\r\n\r\n", BODY],
        [b"\r\n\r\n" + JAVA + BODY],
        [JAVA.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked") + CHUNKS],
    ],
    ids=["one packet", "head and body", "cut in the header", "last header", "after empty lines", "chunked"],
)
def test_an_offer_of_h2c_is_ignored(port: int, parts: list[bytes]) -> None:
    # A second request on the connection is read as one.
    answer = raw(port, *parts, LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 2, answer
    assert b'{"predictions":[0,2]}' in answer
    assert b"101" not in answer


def test_an_offer_of_h2c_is_ignored_in_each_request_of_a_packet(port: int) -> None:
    count = 300
    answer = raw(port, LAST.replace(b"Connection: close\r\n", b"") + (JAVA + BODY) * count + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == count + 2, answer[-400:]
    assert answer.count(b'{"predictions":[0,2]}') == count
    assert answer.endswith(b'{"live":true}')


def test_a_connect_is_rejected_and_the_connection_closed(port: int) -> None:
    assert raw(port, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + LAST).startswith(b"HTTP/1.1 400 ")


HEAD_LIMIT = 64 * 1024
TOO_LONG = b'{"error":"The head of the request is larger than 65536 bytes: send fewer or shorter headers."}'


def head_of(size: int) -> bytes:
    """A request without a body, of so many bytes."""
    start, end = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nA: ", b"\r\n\r\n"
    return start + b"a" * (size - len(start) - len(end)) + end


def chunked(trailer: bytes, extension: bytes = b"") -> bytes:
    head = b"POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x%b\r\n%b\r\n0\r\n%b\r\n" % (len(BODY), extension, BODY, trailer)


LARGE = b"a" * 2 * HEAD_LIMIT
FILLER = LAST.replace(b"Connection: close\r\n", b"")


@pytest.mark.parametrize(
    ("parts", "answered"),
    [
        ([head_of(HEAD_LIMIT + 1)], 0),
        ([head_of(HEAD_LIMIT + 1)[:-2], b"\r\n"], 0),
        ([b"GET /" + LARGE], 0),
        ([b"GET / HTTP/1.1\r\nA: " + LARGE], 0),
        ([b"GET / HTTP/1.1\r\n" + b"A:\r\n" * HEAD_LIMIT], 0),
        ([b"\r\n" * HEAD_LIMIT], 0),
        ([FILLER + head_of(HEAD_LIMIT + 1)], 1),
        ([FILLER + head_of(HEAD_LIMIT + 1)[:-500], head_of(HEAD_LIMIT)[-500:]], 1),
        ([JAVA + BODY, b"GET / HTTP/1.1\r\nA: " + LARGE], 1),
        ([chunked(b"A: " + LARGE + b"\r\n")], 0),
        ([chunked(b"")[:-2], b"A: " + LARGE], 0),
        ([FILLER + JAVA + BODY + chunked(b"A: " + LARGE + b"\r\n")], 2),
        ([*chunked(b"", b";" + LARGE).partition(b"\r\n\r\n")[:2], b"1;" + LARGE], 0),
    ],
    ids=[
        "over by one",
        "in two packets",
        "path",
        "header",
        "headers",
        "empty lines",
        "second request",
        "second request in two packets",
        "second packet",
        "trailer",
        "trailer without an end",
        "trailer of the third request",
        "extension of a chunk",
    ],
)
def test_a_head_over_the_limit_is_rejected_after_the_answers_before(
    port: int, parts: list[bytes], answered: int
) -> None:
    answer = raw(port, *parts)
    assert answer.count(b"HTTP/1.1 200 OK") == answered, answer[:600]
    last = answer[answer.rindex(b"HTTP/1.1 ") :]
    assert last.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nconnection: close\r\n" in last
    assert last.endswith(b"\r\n\r\n" + TOO_LONG)


@pytest.mark.parametrize(
    "parts",
    [
        [head_of(HEAD_LIMIT) + LAST],
        [head_of(HEAD_LIMIT)[:1000], head_of(HEAD_LIMIT)[1000:], LAST],
        # A head that begins or ends within a large packet.
        [chunked(b"") + head_of(HEAD_LIMIT)[:-1000], head_of(HEAD_LIMIT)[-1000:] + LAST],
        [head_of(HEAD_LIMIT)[:40_000], head_of(HEAD_LIMIT)[40_000:] + (JAVA + BODY) * 200 + LAST],
    ],
    ids=["one packet", "two packets", "begins in a packet", "ends in a packet"],
)
def test_a_head_up_to_the_limit_is_accepted(port: int, parts: list[bytes]) -> None:
    answer = raw(port, *parts)
    assert b"HTTP/1.1 4" not in answer
    assert answer.count(b'{"live":true}') == 2, answer[:600]


def test_a_head_without_an_end_takes_no_memory(folder: Path, tmp_path: Path) -> None:
    with stoppable(folder) as (process, number):
        before = resident(process.pid)
        with socket.create_connection(("127.0.0.1", number), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nA: ")
            with suppress(ConnectionError):
                for _megabyte in range(200):
                    connection.sendall(b"a" * 1024 * 1024)
        assert resident(process.pid) - before < 16 * 1024


def resident(process: int) -> int:
    """The memory that a process has used at most, in KiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def test_what_is_not_http_is_rejected_after_the_answers_before(port: int) -> None:
    answer = raw(port, JAVA + BODY + b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer[answer.rindex(b"HTTP/1.1 ") :].startswith(b"HTTP/1.1 400 Bad Request")


def test_a_trailer_is_no_header(port: int) -> None:
    answer = raw(port, chunked(b"Content-Encoding: br\r\nInference-Header-Content-Length: 1\r\n") + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 2, answer


def test_a_body_that_speaks_of_upgrades_is_not_changed(port: int) -> None:
    head = b"POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    body = json.dumps(tensor() | {"id": "a\nupgrade: h2c\n\nb"}, indent=1).encode()
    assert b'"id":"a\\nupgrade: h2c\\n\\nb"' in raw(port, head % len(body) + body)
    text = body + b"\n\n"
    assert b"200 OK" in raw(port, head % len(text) + text)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_listens_on_both_families(port: int, host: str) -> None:
    try:
        answer = raw(port, LAST, host=host)
    except OSError as error:
        if host == "::1" and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            pytest.skip("this machine has no IPv6")
        raise
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        process = start(folder, number)
        _output, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Error: The port {number} cannot be opened" in (text or _output)
    assert "Traceback" not in (text or _output)


def test_gzip_is_unpacked_within_the_limit(port: int) -> None:
    packed = gzip.compress(BODY)
    for coding in ("gzip", "x-gzip", "GZIP"):
        assert request(port, "POST", V1, packed, Content_Encoding=coding) == (200, {"predictions": [0, 2]})
    # Several members are one content.
    halves = gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])
    assert request(port, "POST", V1, halves, Content_Encoding="gzip") == (200, {"predictions": [0, 2]})
    status, answer = request(port, "POST", V1, gzip.compress(bytes(9 * 1024 * 1024)), Content_Encoding="gzip")
    assert status == 413
    assert answer["error"] == "The request body is larger than 8388608 bytes: send fewer rows per request."
    status, answer = request(port, "POST", V1, packed[:-9], Content_Encoding="gzip")
    assert (status, answer["error"]) == (400, "The request body is truncated gzip: send all of it.")
    status, answer = request(port, "POST", V1, BODY, Content_Encoding="gzip")
    assert status == 400
    assert answer["error"].startswith("The request body is not gzip, as its Content-Encoding says")
    status, answer = request(port, "POST", V1, BODY, Content_Encoding="br")
    assert status == 415
    assert answer["error"] == "The Content-Encoding br is not supported: send gzip, or the body as it is."


def test_a_content_length_may_begin_with_zeros(port: int) -> None:
    head = JAVA.replace(b"Content-Length: ", b"Content-Length: " + b"0" * 5000)
    answer = raw(port, head + BODY + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 2, answer


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        (b"/metrics", b"text/plain; version=x"),
        (b"/metrics", b"application/openmetrics-text; version=" + b"1" * 5000),
        (b"/metrics", b"\xff"),
        (b"/metrics?a=%ff", b"*/*; q=x, text/plain"),
    ],
    ids=["text", "digits", "not UTF-8", "ignored"],
)
def test_a_scrape_with_an_invalid_header_is_no_failure(port: int, target: bytes, accept: bytes) -> None:
    answer = raw(port, b"GET %b HTTP/1.1\r\nHost: x\r\nAccept: %b\r\nConnection: close\r\n\r\n" % (target, accept))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 200 "))
    assert answer.startswith(b"HTTP/1.1 200 ") == (b"?" in target)


def test_probes_are_answered_while_gzip_is_unpacked(port: int) -> None:
    body = gzip.compress(b"") * 400_000
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(request, port, "POST", V1, body, Content_Encoding="gzip")
        probes = 0
        while not large.done():
            assert request(port, "GET", "/v2/models/model/ready")[0] == 200
            probes += 1
    assert large.result()[0] == 400
    assert probes > 3


def test_the_version_may_be_in_the_path(port: int) -> None:
    assert request(port, "GET", "/v2/models/model/versions/v1") == request(port, "GET", "/v2/models/model")
    assert request(port, "GET", "/v2/models/model/versions/v1/ready") == (200, {"name": "model", "ready": True})
    status, answer = request(port, "POST", "/v2/models/model/versions/v1/infer", tensor())
    assert (status, answer["outputs"][0]["data"]) == (200, [0, 2])
    status, answer = request(port, "POST", "/v2/models/model/versions/v2/infer", tensor())
    assert status == 404
    assert answer["error"].endswith("the model model has the version v1: request that.")


def test_the_index_lists_the_model(port: int) -> None:
    entry = {"name": "model", "version": "v1", "state": "READY", "reason": ""}
    assert request(port, "POST", "/v2/repository/index", {}) == (200, [entry])


def test_v1_accepts_inputs_in_place_of_instances(port: int) -> None:
    names = json.loads(train(RECIPE, RECIPE.load(42), "v1", 42, 0.95)["metadata.json"])["features"]
    columns = {name: [row[place] for row in INSTANCES] for place, name in enumerate(names)}
    for body in (
        {"inputs": INSTANCES},
        {"inputs": [dict(zip(names, row, strict=True)) for row in INSTANCES]},
        {"inputs": columns},
        {"inputs": [columns]},
        {"instances": [columns]},
        {"instances": [{name: values[:1] for name, values in columns.items()}, INSTANCES[1]]},
    ):
        assert request(port, "POST", V1, body) == (200, {"predictions": [0, 2]}), body
    status, answer = request(port, "POST", V1, {"inputs": INSTANCES, "instances": INSTANCES})
    assert (status, answer["error"]) == (400, "The request has both 'instances' and 'inputs': send one of them.")
    uneven = columns | {names[1]: [1.0]}
    status, answer = request(port, "POST", V1, {"instances": [uneven]})
    assert (status, answer["error"]) == (
        400,
        f"Row 0 of 'instances' has 1 values of {names[1]!r} and 2 of {names[0]!r}: send as many of each feature.",
    )
    status, answer = request(port, "POST", V1, {"inputs": {}})
    assert status == 400
