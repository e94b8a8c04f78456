# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models without a description, and of other types: class names, probabilities, feature names, data frames."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol import schema as model_schema

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from model.server.sklearn_model import SklearnModel

    joblib.dump(LogisticRegression().fit([[0.0, 0.0], [1.0, 1.0]], ["no", "yes"]), tmp_path / "model.pkl")
    return SklearnModel("words", tmp_path)


def tensor() -> bytes:
    return b'{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [0.0, 0.0, 1.0, 1.0]}]}'


def predicted(model: Any, rows: list[Any]) -> Any:
    return model.predict({"instances": rows})


def test_class_names_in_both_protocols(model: Any) -> None:
    model.load()
    assert predicted(model, [[0, 0], [1, 1]]) == ["no", "yes"]
    from model.server.protocol import read_infer_request, write_infer_response

    request = read_infer_request(tensor())
    text, json_length = write_infer_response(request, model.name, model.version, model.infer(request))
    assert json_length is None
    assert json.loads(text)["outputs"] == [
        {"name": "output-0", "shape": [2], "datatype": "BYTES", "data": ["no", "yes"]}
    ]
    assert model.metadata()["outputs"][0] == {"name": "output-0", "datatype": "BYTES", "shape": [-1]}


def test_probabilities(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICT_PROBA", "true")
    model = type(model)("words", model._model_dir)
    model.load()
    ((no, yes),) = predicted(model, [[1, 1]])
    assert yes > no
    assert no + yes == pytest.approx(1)
    assert model.metadata()["outputs"][0] == {"name": "output-0", "datatype": "FP64", "shape": [-1, 2]}


def test_the_number_of_features_comes_from_the_model(model: Any) -> None:
    from model.server.errors import BadRequest

    model.load()
    assert model.metadata()["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}]
    with pytest.raises(BadRequest, match="3 values, but the model has 2 features"):
        predicted(model, [[1, 2, 3]])


def test_without_a_description_the_metadata_contain_the_sha256_and_no_version(model: Any, tmp_path: Path) -> None:
    model.load()
    digest = hashlib.sha256((tmp_path / "model.pkl").read_bytes()).hexdigest()
    metadata = model.metadata()
    assert metadata["properties"] == {"sha256": digest}
    assert "versions" not in metadata


def manifest(folder: Path, sha256: str | None = None) -> str:
    """Write the manifest of the folder's model file, and return its digest."""
    found = hashlib.sha256((folder / "model.pkl").read_bytes()).hexdigest()
    content = json.dumps({"files": {"model.pkl": {"sha256": sha256 or found, "size": 1}}, "schema": 1}).encode()
    (folder / "manifest.json").write_bytes(content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("required", [False, True])
def test_the_digest_is_that_of_the_manifest(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    digest = manifest(tmp_path)
    if required:
        monkeypatch.setenv("MODEL_DIGEST", digest)
    model.load()
    assert model.metadata()["properties"]["digest"] == digest


def test_without_a_manifest_the_digest_is_that_of_the_model_file(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "sha256:" + hashlib.sha256((tmp_path / "model.pkl").read_bytes()).hexdigest()
    monkeypatch.setenv("MODEL_DIGEST", digest)
    model.load()
    assert model.metadata()["properties"]["digest"] == digest
    # With a manifest, its own digest is the version's.
    manifest(tmp_path)
    from model.server.errors import StartError

    with pytest.raises(StartError, match=r"MODEL_DIGEST is sha256:\w+, but the version in .* has sha256:"):
        model.load()


def test_a_manifest_of_other_files_is_ignored(model: Any, tmp_path: Path) -> None:
    manifest(tmp_path, "0" * 64)
    model.load()
    assert "digest" not in model.metadata()["properties"]


def test_another_version_than_required_is_not_served(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model.server.errors import StartError

    monkeypatch.setenv("MODEL_DIGEST", "sha256:" + "0" * 64)
    with pytest.raises(StartError, match=r"manifest\.json cannot be read .No such file"):
        model.load()
    manifest(tmp_path)
    with pytest.raises(StartError, match=r"MODEL_DIGEST is sha256:0+, but the version in .* has sha256:"):
        model.load()
    monkeypatch.setenv("MODEL_DIGEST", manifest(tmp_path, "1" * 64))
    with pytest.raises(StartError, match=r"has the SHA-256 .* but manifest\.json lists 1+"):
        model.load()


def test_a_metadata_file_of_another_format_is_ignored(model: Any, tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text('{"features": 2, "accuracy": 0.97}')
    model.load()
    assert predicted(model, [[0, 0]]) == ["no"]


def test_without_names_features_have_the_names_of_scikit_learn(model: Any) -> None:
    model.load()
    assert predicted(model, [{"x1": 1, "x0": 1}]) == ["yes"]


def test_a_model_without_probabilities_has_one_output(model: Any, tmp_path: Path) -> None:
    joblib.dump(LinearRegression().fit([[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0]), tmp_path / "model.pkl")
    model.load()
    assert model.metadata()["outputs"] == [{"name": "output-0", "datatype": "FP64", "shape": [-1]}]


def test_a_pipeline_fitted_on_a_data_frame(model: Any, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "colour": ["red", "red", "blue", "blue"]})
    encode = ColumnTransformer([("encode", OneHotEncoder(handle_unknown="error"), ["colour"])], remainder="passthrough")
    pipeline = make_pipeline(encode, LogisticRegression()).fit(frame, ["no", "no", "yes", "yes"])
    joblib.dump(pipeline, tmp_path / "model.pkl")
    describe(tmp_path / "model.pkl", ["size", "colour"], ["FP64", "BYTES"], [[1.0, "red"]], ["no"])
    model.load()
    rows = [[1, "red"], {"colour": "blue", "size": 4}]
    assert predicted(model, rows) == ["no", "yes"]
    from model.server.errors import BadRequest

    with pytest.raises(BadRequest, match="rejected these rows: Found unknown categories"):
        predicted(model, [[1, "green"]])


def test_the_inputs_are_those_of_the_description(model: Any, tmp_path: Path) -> None:
    flowers = {"name": "flowers", "datatype": "FP32", "shape": [-1, 2]}
    # The description may list only some outputs.
    classes = {"name": "output-0", "datatype": "BYTES", "shape": [-1]}
    describe(tmp_path / "model.pkl", ["a", "b"], [], [[1, 1]], ["yes"], inputs=[flowers], outputs=[classes])
    model.load()
    assert model.metadata()["inputs"] == [flowers]
    schema = model_schema.read(str(tmp_path / "metadata.json"))
    assert model_schema.server_difference(schema, json.dumps(model.metadata()).encode()) is None


def test_predictions_that_another_processor_rounds_differently_match_the_description(
    model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model.pkl"
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [[0.0, 0.0], [0.3, 600.0]]), path)
    describe(path, ["x"], ["FP64"], [[0], [1]], [[1e-10, 0], [0.3 + 1e-12, 600.0001]])
    model.load()
    from model.server.errors import StartError

    for other in ([[0, 0], [0.3, 600.01]], [[0, 0], [0.3]], [[0, 0]], [[0, 0], [0.3, "600"]]):
        describe(path, ["x"], ["FP64"], [[0], [1]], other)
        with pytest.raises(StartError, match="for its examples, but its description expects"):
            model.load()


@pytest.mark.parametrize("omitted", [("features",), ("libraries",), ("features", "libraries")])
def test_a_description_without_features_or_libraries(model: Any, tmp_path: Path, omitted: tuple[str, ...]) -> None:
    matrix = [{"name": "flowers", "datatype": "INT64", "shape": [-1, 2]}]
    describe(tmp_path / "model.pkl", ["x0", "x1"], [], [[1, 1]], ["yes"], omitted, inputs=matrix)
    model.load()
    assert (model.version, model.metadata()["inputs"]) == ("v7", matrix)
    assert [(feature.name, feature.datatype) for feature in model.features] == [("x0", "INT64"), ("x1", "INT64")]
    assert predicted(model, [[0, 0], {"x1": 1, "x0": 1}]) == ["no", "yes"]


def test_without_features_they_have_the_names_of_the_inputs(model: Any, tmp_path: Path) -> None:
    describe(tmp_path / "model.pkl", ["size", "age"], ["FP64", "INT64"], [[1, 1]], ["yes"], ["features"])
    model.load()
    assert predicted(model, [{"age": 0, "size": 0}]) == ["no"]
    from model.server.errors import BadRequest

    with pytest.raises(BadRequest, match="Feature 'age' of row 0 is not a valid INT64"):
        predicted(model, [[1, 1.5]])


def test_without_features_they_are_in_the_order_the_model_was_fitted_in(model: Any, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    from model.server.errors import StartError

    frame = pandas.DataFrame({"b": [0.0, 0.0, 9.0, 9.0], "a": [0, 1, 0, 1]})
    joblib.dump(LogisticRegression().fit(frame, ["no", "no", "yes", "yes"]), tmp_path / "model.pkl")
    describe(tmp_path / "model.pkl", ["a", "b"], ["INT64", "FP64"], [[9.5, 1]], ["yes"], ["features"])
    model.load()
    assert [feature.name for feature in model.features] == ["b", "a"]
    describe(tmp_path / "model.pkl", ["a", "c"], ["INT64", "FP64"], [[9.5, 1]], ["yes"], ["features"])
    with pytest.raises(StartError, match="The feature 'b' of the model is missing in the inputs"):
        model.load()


def test_a_boolean_feature(model: Any, tmp_path: Path) -> None:
    rows, labels = [[0.5, True], [0.5, False]], ["yes", "no"]
    joblib.dump(LogisticRegression().fit(rows, labels), tmp_path / "model.pkl")
    describe(tmp_path / "model.pkl", ["size", "paid"], ["FP64", "BOOL"], rows, labels)
    model.load()
    assert predicted(model, [[1, True], {"paid": False, "size": 1}]) == ["yes", "no"]
    from model.server.errors import BadRequest

    with pytest.raises(BadRequest, match="Feature 'paid' of row 0 must be a boolean, not a number"):
        predicted(model, [[1, 1]])


def describe(
    model_file: Path,
    features: list[str],
    datatypes: list[str],
    instances: list[Any],
    predictions: list[Any],
    omitted: Sequence[str] = (),
    **changes: Any,
) -> None:
    """Write a minimal description of a model, with changes or omissions."""
    description = {
        "version": "v7",
        "model_file": {"sha256": hashlib.sha256(model_file.read_bytes()).hexdigest()},
        "libraries": {"scikit-learn": metadata.version("scikit-learn")},
        "features": features,
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [-1]}
            for name, datatype in zip(features, datatypes, strict=False)
        ],
        "examples": {"instances": instances, "predictions": predictions},
    } | changes
    content = {name: value for name, value in description.items() if name not in omitted}
    model_file.with_name("metadata.json").write_text(json.dumps(content))
