# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.metadata import Description, describe
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan

MODEL = b"a model"


@pytest.fixture
def document() -> dict[str, Any]:
    """The metadata.json of the iris model, with the fields that the gate reads."""
    return {
        "name": "iris",
        "version": "v1",
        "model_format": "sklearn",
        "model_file": {
            "name": "model.joblib",
            "sha256": hashlib.sha256(MODEL).hexdigest(),
            "size_bytes": len(MODEL),
        },
        "libraries": {"python": "3.11.7", "scikit-learn": "1.5.2"},
        "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}],
        "outputs": [
            {"name": "output-0", "datatype": "INT64", "shape": [-1]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
        ],
        "examples": {"instances": [[5.1, 3], [7.0, 3.2]], "predictions": [0, 1]},
    }


@pytest.fixture
def check(tmp_path: Path):
    """Return a function that writes metadata.json, as an object or as it is, and describes the folder."""
    (tmp_path / "model.joblib").write_bytes(MODEL)

    def run(content: Any) -> Description:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "metadata.json").write_text(text)
        return describe(scan(tmp_path), "iris", "v1")

    return run


def test_a_consistent_folder_is_described(check, document: dict[str, Any]) -> None:
    description = check(document)
    assert (description.model.name, description.model_format) == ("model.joblib", "sklearn")
    assert description.libraries == {"python": "3.11.7", "scikit-learn": "1.5.2"}
    assert description.instances == [[5.1, 3], [7.0, 3.2]]
    assert description.answers == {"predict": [0, 1]}


@pytest.mark.parametrize(
    "instances",
    [
        [[3, 20.5, "one year"], [4, 21, "none"]],
        [{"months": 3, "charge": 20.5, "contract": "one year"}, {"contract": "none", "months": 4, "charge": 21}],
    ],
)
def test_probabilities_and_custom_columns_are_described(check, document: dict[str, Any], instances: list[Any]) -> None:
    document["inputs"] = [
        {"name": "months", "datatype": "INT64", "shape": [-1]},
        {"name": "charge", "datatype": "FP64", "shape": [-1]},
        {"name": "contract", "datatype": "BYTES", "shape": [-1]},
    ]
    document["examples"] = {
        "instances": instances,
        "predictions": [0, 1],
        "probabilities": [[0.9, 0.1], [0.2, 0.8]],
    }
    assert check(document).answers == {"predict": [0, 1], "predict_proba": [[0.9, 0.1], [0.2, 0.8]]}


def test_the_columns_are_in_the_order_of_the_features(check, document: dict[str, Any]) -> None:
    document["inputs"] = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in ("months", "charge")]
    document["examples"]["instances"] = [{"charge": 20.5, "months": 3}, {"months": 4, "charge": 21}]
    assert check(document).columns == ["months", "charge"]
    assert check(document | {"features": ["charge", "months"]}).columns == ["charge", "months"]
    with pytest.raises(KServeError, match=r"its features are charge, tenure, and its inputs charge, months\. Correct"):
        check(document | {"features": ["charge", "tenure"]})
    with pytest.raises(KServeError, match=r"its features are none, and its inputs charge, months\. Correct"):
        check(document | {"features": []})


def test_a_folder_without_metadata_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(MODEL)
    with pytest.raises(KServeError, match=r"holds model\.joblib and no metadata\.json; write one that"):
        describe(scan(tmp_path), "iris", "v1")


def test_a_file_that_changes_during_the_check_is_rejected(tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "model.joblib").write_bytes(MODEL)
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(document))
    files = scan(tmp_path)
    assert [file.sha256 for file in files]
    path.write_text(json.dumps(document | {"seed": 1}))
    with pytest.raises(KServeError, match="was changed while it was read"):
        describe(files, "iris", "v1")


@pytest.mark.parametrize("text", ["", "{", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "[" * 100000])
def test_invalid_json_is_rejected(check, text: str) -> None:
    with pytest.raises(KServeError, match=r"metadata\.json does not describe the model: it is no JSON"):
        check(text)


TENSOR = {"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "churn", "its name is 'churn', and the upload's 'iris' (correct either)"),
        ("version", "v2", "its version is 'v2', and the upload's 'v1' (correct either)"),
        ("version", 1, "its version is not a text"),
        ("model_format", None, "its model_format is not a text"),
        ("model_file", "model.joblib", "it has no model_file.name"),
        (
            "model_file.name",
            "other.joblib",
            "its model_file is 'other.joblib', and the folder holds metadata.json, model",
        ),
        ("model_file.size_bytes", 8, "its size_bytes is 7, and metadata.json says 8; train the model again"),
        ("model_file.size_bytes", True, "its model_file.size_bytes is not a whole number"),
        ("model_file.sha256", "0" * 64, "its sha256 is " + hashlib.sha256(MODEL).hexdigest()),
        ("libraries", [], "its libraries is not an object"),
        ("libraries", {"python": 3.11}, "libraries does not give each version as a text"),
        ("inputs", [], "its inputs is empty"),
        ("inputs", [TENSOR | {"datatype": "FLOAT"}], "an entry of inputs is"),
        ("inputs", [TENSOR | {"shape": []}], "an entry of inputs is"),
        ("inputs", [TENSOR | {"shape": [-2]}], "an entry of inputs is"),
        ("inputs", ["input-0"], 'an entry of inputs is "input-0"'),
        ("inputs", [TENSOR | {"shape": [-1, 3]}], "row 1 of its examples is [5.1, 3], which its inputs do not allow"),
        (
            "inputs",
            [TENSOR | {"datatype": "INT64"}],
            "row 1 of its examples is [5.1, 3], which its inputs do not allow",
        ),
        ("outputs", [TENSOR], "its examples must be answered with [0, 1], which no entry of outputs is"),
        ("outputs", [{"name": "o", "datatype": "BYTES", "shape": [-1]}], "which no entry of outputs is"),
        ("examples", {"instances": [[1, 2]]}, "it has no examples.predictions"),
        ("examples.instances", [], "its examples have 0 instances and 2 answers"),
        ("examples.instances", [[1, 2], [1]], "row 2 of its examples is [1], which its inputs do not allow"),
        ("examples.instances", [[1, 2], [1, True]], "row 2 of its examples is [1, true]"),
        ("examples.instances", [[1, 2], [1, "2"]], 'row 2 of its examples is [1, "2"]'),
        ("examples.instances", [[1, 2], {"input-0": 1}], "row 2 of its examples is"),
        ("examples.predictions", [0], "its examples have 2 instances and 1 answers"),
        ("examples.predictions", [0, 0.5], "its examples must be answered with [0, 0.5]"),
        ("examples.probabilities", [[0.5, 0.5]], "its examples have 2 instances and 1 answers"),
    ],
)
def test_wrong_metadata_is_rejected(check, document: dict[str, Any], field: str, value: Any, message: str) -> None:
    *parents, key = field.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    place[key] = value
    with pytest.raises(KServeError) as caught:
        check(document)
    assert message in str(caught.value)


@pytest.mark.parametrize("field", ["name", "version", "model_format", "libraries", "inputs", "outputs", "examples"])
def test_a_missing_field_is_named(check, document: dict[str, Any], field: str) -> None:
    del document[field]
    with pytest.raises(KServeError, match=rf"it has no {field}"):
        check(document)


def test_all_faults_are_in_one_message(check) -> None:
    with pytest.raises(KServeError) as caught:
        check({"name": "churn", "model_file": {"name": "model.joblib"}, "inputs": [{}], "examples": {"instances": []}})
    message = str(caught.value)
    for fault in (
        "its name is 'churn', and the upload's 'iris'",
        *(f"it has no {field}" for field in ("version", "model_format", "libraries", "outputs")),
        *(f"it has no {field}" for field in ("model_file.size_bytes", "model_file.sha256", "examples.predictions")),
        "an entry of inputs is {}",
    ):
        assert fault in message
    assert message.endswith(". Correct it, or have the module hashfoundry.kserve.model_metadata write it.")
    assert caught.value.result == {"reason": "InvalidMetadata"}


def test_missing_values_and_single_strings_are_rows(check, document: dict[str, Any]) -> None:
    document["examples"]["instances"] = [[None, 3], [7.0, 3.2]]
    assert check(document).instances == [[None, 3], [7.0, 3.2]]
    document["inputs"] = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    document["examples"]["instances"] = ["a good film", ["bad"]]
    assert check(document).instances == ["a good film", ["bad"]]
    document["examples"]["predictions"] = [0, None]
    with pytest.raises(KServeError, match="which no entry of outputs is"):
        check(document)


@pytest.mark.parametrize("name", ["other.pkl", "old.pickle", "second.joblib"])
def test_a_second_model_file_is_rejected(check, document: dict[str, Any], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"another")
    with pytest.raises(KServeError, match=r"takes exactly one file, and .* holds .* where metadata\.json names model"):
        check(document)


def test_files_in_folders_are_not_model_files(check, document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "old.pkl").write_bytes(b"another")
    assert check(document).model.name == "model.joblib"


def test_a_format_of_another_kind_has_its_own_file(check, document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "old.pkl").write_bytes(b"another")
    assert check(document | {"model_format": "onnx"}).model_format == "onnx"
