# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The churn model served over HTTP: rows of numbers and strings, and probabilities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import transport as http_transport
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol import schema as model_schema
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test import smoke_test
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.plan import Plan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.smoke_test import Check, Reports
from model.churn.recipe import RECIPE
from model.folder import write_folder
from model.tests.serving import NAME, request, serving
from model.training import train

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

FILES = train(RECIPE, RECIPE.load(42), "v1", 42, RECIPE.required)
METADATA = json.loads(FILES["metadata.json"])
NAMES, EXAMPLES = METADATA["features"], METADATA["examples"]
ROWS = EXAMPLES["instances"]
DATATYPES = {tensor["name"]: tensor["datatype"] for tensor in METADATA["inputs"]}
V1 = f"/v1/models/{NAME}:predict"
V2 = f"/v2/models/{NAME}/infer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "v1"
    write_folder(path, FILES)
    return path


@pytest.fixture(scope="module")
def port(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(folder, tmp_path_factory.mktemp("log") / "server.log") as number:
        yield number


def objects() -> list[dict[str, Any]]:
    return [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def inputs(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """One input for each feature, with changes to some of them."""
    return [
        {"name": name, "shape": [len(ROWS)], "datatype": DATATYPES[name], "data": list(column)} | changes.get(name, {})
        for name, column in zip(NAMES, zip(*ROWS, strict=True), strict=True)
    ]


@pytest.mark.parametrize("rows", [ROWS, objects(), [ROWS[0], objects()[1]]], ids=["lists", "objects", "both"])
def test_v1_predicts(port: int, rows: list[Any]) -> None:
    assert request(port, "POST", V1, {"instances": rows}) == (200, {"predictions": EXAMPLES["predictions"]})


@pytest.mark.parametrize("shape", [[2], [2, 1]])
@pytest.mark.parametrize("more", [{}, {"parameters": {"content_type": "pd"}}], ids=["plain", "as KServe's"])
def test_v2_predicts(port: int, shape: list[int], more: dict[str, Any]) -> None:
    tensors = [tensor | {"shape": shape} for tensor in inputs()]
    status, answer = request(port, "POST", V2, {"inputs": tensors[::-1], **more})
    assert status == 200
    assert answer["model_version"] == "v1"
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("output-0", "INT64", [2])
    assert output["data"] == EXAMPLES["predictions"]


def test_v2_returns_requested_probabilities(port: int) -> None:
    wanted = [{"name": "predict_proba"}, {"name": "output-0"}]
    status, answer = request(port, "POST", V2, {"inputs": inputs(), "outputs": wanted})
    assert status == 200
    probabilities, predictions = answer["outputs"]
    assert (probabilities["name"], probabilities["datatype"], probabilities["shape"]) == (
        "predict_proba",
        "FP64",
        [2, 2],
    )
    assert probabilities["data"] == pytest.approx(np.ravel(EXAMPLES["probabilities"]))
    assert predictions["data"] == EXAMPLES["predictions"]


def test_v2_predicts_from_binary_data(port: int) -> None:
    tensors, parts = [], []
    for tensor in inputs():
        if tensor["datatype"] == "BYTES":
            data = b"".join(len(text).to_bytes(4, "little") + text.encode() for text in tensor["data"])
        else:
            data = np.array(tensor["data"], "<i8" if tensor["datatype"] == "INT64" else "<f8").tobytes()
        del tensor["data"]
        tensors.append(tensor | {"parameters": {"binary_data_size": len(data)}})
        parts.append(data)
    header = json.dumps({"inputs": tensors}).encode()
    sent = {"Inference_Header_Content_Length": str(len(header)), "Content_Type": "application/octet-stream"}
    status, answer = request(port, "POST", V2, header + b"".join(parts), **sent)
    assert (status, answer["outputs"][0]["data"]) == (200, EXAMPLES["predictions"])


def test_an_unknown_category_is_accepted(port: int) -> None:
    row = objects()[0] | {"contract": "ten years"}
    status, answer = request(port, "POST", V1, {"instances": [row]})
    assert status == 200
    assert answer["predictions"][0] in (0, 1)


def test_the_metadata_contain_inputs_outputs_version_and_digest(port: int, folder: Path) -> None:
    status, answer = request(port, "GET", f"/v2/models/{NAME}")
    assert status == 200
    assert answer["inputs"] == METADATA["inputs"]
    assert answer["outputs"] == METADATA["outputs"]
    assert (answer["name"], answer["versions"]) == (NAME, ["v1"])
    assert answer["properties"]["sha256"] == hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()


V1_BAD: dict[str, tuple[Any, str]] = {
    "not a string": ([*ROWS[0][:3], 7, "dsl", "card"], "Feature 'contract' of row 1 must be a string, not a number"),
    "null": ([None, *ROWS[0][1:]], "Feature 'tenure_months' of row 1 must be a number, not null"),
    "number as a string": (["7", *ROWS[0][1:]], "Feature 'tenure_months' of row 1 must be a number, not a string"),
    "a fraction of a month": ([7.5, *ROWS[0][1:]], "Feature 'tenure_months' of row 1 is not a valid INT64"),
    "short": (ROWS[0][:5], "Row 1 of 'instances' has 5 values, but the model has 6 features"),
    "missing feature": ({"contract": "one year"}, "Row 1 of 'instances' has no feature 'tenure_months'"),
    "another feature": (objects()[0] | {"name": "Ann"}, "Row 1 of 'instances' has 'name', which is not a feature"),
    "a list in an object": (
        objects()[0] | {"contract": ["x"]},
        "Feature 'contract' of row 1 must be a string, not a list",
    ),
    "not a row": (5, "Row 1 of 'instances' must be a list of 6 values or an object"),
}


@pytest.mark.parametrize(("row", "sentence"), V1_BAD.values(), ids=V1_BAD)
def test_v1_rejects(port: int, row: Any, sentence: str) -> None:
    assert_rejected(request(port, "POST", V1, {"instances": [ROWS[0], row]}), sentence)


V2_BAD: dict[str, tuple[Any, str]] = {
    "one missing": (inputs()[1:], "The input 'tenure_months' is missing"),
    "one too many": ([*inputs(), inputs()[0] | {"name": "tariff"}], "The model has no feature 'tariff'"),
    "one twice": (inputs() + inputs()[:1], "Two inputs have the same name"),
    "numbers only": (
        [{"name": "input-0", "shape": [1, 6], "datatype": "FP64", "data": [1] * 6}],
        "must be BYTES for feature 'contract', not 'FP64': send one input per feature",
    ),
    "datatype": (inputs(contract={"datatype": "INT64"}), "must be BYTES for feature 'contract', not 'INT64'"),
    "not a string": (inputs(contract={"data": ["one year", 7]}), "Feature 'contract' of row 1 must be a string"),
    "rows": (inputs(contract={"shape": [1], "data": ["one year"]}), "Input 'contract' has 1 rows, but input"),
    "shape": (inputs(contract={"shape": [1, 2]}), "The shape of input 'contract' must be [rows] or [rows, 1]"),
    "a fraction of a month": (
        inputs(tenure_months={"datatype": "FP64", "data": [1, 7.5]}),
        "of row 1 is not a valid INT64",
    ),
}


@pytest.mark.parametrize(("tensors", "sentence"), V2_BAD.values(), ids=V2_BAD)
def test_v2_rejects(port: int, tensors: Any, sentence: str) -> None:
    assert_rejected(request(port, "POST", V2, {"inputs": tensors}), sentence)


def test_v2_rejects_bytes_that_are_not_utf_8(port: int) -> None:
    tensors = inputs()
    del tensors[3]["data"]
    data = (b"\x02\x00\x00\x00\xff\xfe") * 2
    tensors[3]["parameters"] = {"binary_data_size": len(data)}
    header = json.dumps({"inputs": tensors}).encode()
    assert_rejected(request(port, "POST", V2, header + data, Inference_Header_Content_Length=str(len(header))), "")


def assert_rejected(answer: tuple[int, Any], sentence: str) -> None:
    status, body = answer
    assert (status, list(body)) == (400, ["error"])
    assert sentence in body["error"]
    assert "\n" not in body["error"]
    assert len(body["error"]) > 20


def test_probabilities_instead_of_predictions(folder: Path, tmp_path: Path) -> None:
    """PREDICT_PROBA applies to every request, as in KServe's sklearnserver."""
    with serving(folder, tmp_path / "server.log", PREDICT_PROBA="true") as port:
        status, answer = request(port, "POST", V1, {"instances": ROWS})
        assert status == 200
        assert np.ravel(answer["predictions"]) == pytest.approx(np.ravel(EXAMPLES["probabilities"]))
        status, answer = request(port, "POST", V2, {"inputs": inputs()})
        assert (status, answer["outputs"][0]["shape"]) == (200, [2, 2])
        _status, answer = request(port, "GET", f"/v2/models/{NAME}")
        assert answer["outputs"][0] == {"name": "output-0", "datatype": "FP64", "shape": [-1, 2]}


def smoke(port: int, metadata: Path, protocol: str, rows: list[Any], batch_size: int | None = None) -> dict[str, Any]:
    """The result of the module inference_smoke_test with the options that model_verification passes."""
    server = http_server.server(f"http://127.0.0.1:{port}", "http", None, None, None, proxy="")
    check = Check(
        NAME,
        protocol,
        rows,
        EXAMPLES["predictions"],
        Plan(4),
        retry_for=0,
        batch_size=batch_size,
        schema=model_schema.read(str(metadata)),
        health=[protocol],
    )
    with http_transport.HttpTransport(server, None) as transport:
        return smoke_test.run(transport, check, Reports(), False, print)


@pytest.mark.parametrize("batch_size", [None, 1], ids=["one request", "batches"])
@pytest.mark.parametrize("rows", [ROWS, objects()], ids=["lists", "objects"])
@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_the_smoke_test_passes(port: int, folder: Path, protocol: str, rows: list[Any], batch_size: int | None) -> None:
    result = smoke(port, folder / "metadata.json", protocol, rows, batch_size)
    assert result["predictions"] == EXAMPLES["predictions"]
    assert result["load"]["requests"] == 4
    checks = [(check["name"], check["passed"]) for check in result["checks"]]
    assert checks[-3:] == [("predictions", True), ("schema", True), ("load", True)]


def test_the_smoke_test_detects_another_prediction(port: int, folder: Path) -> None:
    with pytest.raises(KServeError, match="Row 1 of 2 differs: expected 0, predicted 1"):
        smoke(port, folder / "metadata.json", "v2", ROWS[::-1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"datatype": "INT64"}, "input monthly_charge is of FP64, and metadata.json says INT64"),
        ({"datatype": "BYTES"}, "for input monthly_charge; give texts"),
    ],
)
def test_the_smoke_test_detects_another_datatype(
    port: int, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    tensors = [tensor | (change if tensor["name"] == "monthly_charge" else {}) for tensor in METADATA["inputs"]]
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(METADATA | {"inputs": tensors}))
    rows = [[*row[:1], round(row[1]), *row[2:]] for row in ROWS]
    with pytest.raises(KServeError, match=sentence):
        smoke(port, path, "v2", rows)
