# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Training of each model: the minimum score, the description, and reproducible bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from model import churn, command, iris
from model.churn.recipe import RECIPE as CHURN
from model.errors import ModelError
from model.iris.recipe import RECIPE as IRIS
from model.training import Recipe, train

ROOT = Path(__file__).parents[2]
RECIPES = {iris.__name__: IRIS, churn.__name__: CHURN}
MODULES = list(RECIPES)


def run(module: str, output: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command_line = [sys.executable, "-m", module, "--output", str(output)]
    return subprocess.run(command_line, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, **options)


def shuffled(recipe: Recipe) -> Recipe:
    """The same recipe with shuffled labels, from which nothing can be learned."""
    data = recipe.load(42)
    labelled = dataclasses.replace(data, labels=np.random.default_rng(0).permutation(data.labels))
    return dataclasses.replace(recipe, load=lambda _seed: labelled)


@pytest.mark.parametrize("name", ["model.pkl", "iris.pickle", "model.joblib"])
def test_the_model_file_may_have_another_name(tmp_path: Path, name: str) -> None:
    assert command.run(IRIS, "iris", ["--output", str(tmp_path / "v1"), "--file", name]) == 0
    assert sorted(path.name for path in (tmp_path / "v1").iterdir()) == sorted([name, "metadata.json"])
    metadata = json.loads((tmp_path / "v1" / "metadata.json").read_text())
    assert metadata["model_file"]["name"] == name
    examples = metadata["examples"]
    assert joblib.load(tmp_path / "v1" / name).predict(examples["instances"]).tolist() == examples["predictions"]
    again = train(IRIS, IRIS.load(42), "v1", 42, 0.95, name)
    assert again[name] == (tmp_path / "v1" / name).read_bytes()


@pytest.mark.parametrize("name", ["model.onnx", "a/model.pkl", ".pkl"])
def test_a_name_that_no_server_loads_is_rejected(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(IRIS, "iris", ["--output", str(tmp_path / "v1"), "--file", name]) == 1
    assert "is not a valid name of a model file: end it in .joblib, .pkl, .pickle" in capsys.readouterr().err
    assert not (tmp_path / "v1").exists()


@pytest.fixture(scope="module", params=MODULES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def files(recipe: Recipe) -> dict[str, bytes]:
    return train(recipe, recipe.load(42), "v1", 42, recipe.required)


def test_the_metadata_describe_the_model_file(recipe: Recipe, files: dict[str, bytes]) -> None:
    metadata = json.loads(files["metadata.json"])
    model = files["model.joblib"]
    assert metadata["name"] == recipe.name
    assert metadata["model_file"] == {
        "name": "model.joblib",
        "sha256": hashlib.sha256(model).hexdigest(),
        "size_bytes": len(model),
    }
    assert metadata["libraries"]["joblib"] == joblib.__version__
    assert metadata["libraries"]["numpy"] == np.__version__
    validation = metadata["cross_validation"]
    assert validation["metric"] == recipe.metric
    assert len(validation["scores"]) == validation["folds"]
    assert validation["mean"] == pytest.approx(np.mean(validation["scores"]))
    assert validation["mean"] >= validation["required_mean"] == recipe.required


def test_the_metadata_describe_the_rows(recipe: Recipe, files: dict[str, bytes]) -> None:
    metadata = json.loads(files["metadata.json"])
    data = recipe.load(42)
    assert metadata["created_from"]["rows"] == len(data.rows) == len(data.labels)
    assert metadata["created_from"]["sha256"] == data.sha256()
    assert metadata["classes"] == data.class_names
    assert sorted(set(data.labels.tolist())) == list(range(len(data.class_names)))
    for name, categories in metadata["categories"].items():
        assert set(data.rows[:, metadata["features"].index(name)].tolist()) == set(categories)


def test_the_metadata_of_each_model(files: dict[str, bytes]) -> None:
    metadata = json.loads(files["metadata.json"])
    if metadata["name"] == "iris-classifier":
        assert metadata["classes"] == ["setosa", "versicolor", "virginica"]
        assert metadata["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}]
        assert metadata["categories"] == {}
        assert metadata["examples"]["predictions"] == [0, 1, 2]
    else:
        assert metadata["classes"] == ["stays", "leaves"]
        assert [tensor["name"] for tensor in metadata["inputs"]] == metadata["features"]
        datatypes = [tensor["datatype"] for tensor in metadata["inputs"]]
        assert datatypes == ["INT64", "FP64", "INT64", "BYTES", "BYTES", "BYTES"]
        assert list(metadata["categories"]) == ["contract", "internet", "payment"]
        assert metadata["examples"]["predictions"] == [0, 1]


def test_the_loaded_model_predicts_the_examples(files: dict[str, bytes]) -> None:
    model = joblib.load(io.BytesIO(files["model.joblib"]))
    examples = json.loads(files["metadata.json"])["examples"]
    # Rows of several types are served as objects, because NumPy would convert the numbers to strings.
    rows = np.array(examples["instances"], dtype=object)
    assert model.predict(rows).tolist() == examples["predictions"]
    assert model.predict_proba(rows).tolist() == pytest.approx(np.array(examples["probabilities"]))
    assert np.argmax(examples["probabilities"], axis=1).tolist() == examples["predictions"]


@pytest.mark.parametrize("module", MODULES)
def test_two_processes_write_the_same_bytes(tmp_path: Path, module: str) -> None:
    for name, hash_seed in (("one", "1"), ("two", "2")):
        result = run(module, tmp_path / name, env=os.environ | {"PYTHONHASHSEED": hash_seed})
        assert result.returncode == 0, result.stderr
    for name in ("model.joblib", "metadata.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_changes_the_metadata(recipe: Recipe, files: dict[str, bytes]) -> None:
    other = train(recipe, recipe.load(7), "v1", 7, 0.0)
    assert json.loads(other["metadata.json"])["seed"] == 7
    assert other["metadata.json"] != files["metadata.json"]
    # The model is fitted on all rows, so the seed changes it only if the rows are generated from the seed.
    assert (other["model.joblib"] == files["model.joblib"]) == (recipe is IRIS)


@pytest.mark.parametrize(("module", "score"), [("model.iris", "accuracy"), ("model.churn", "roc auc")])
def test_shuffled_labels_do_not_reach_the_minimum_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], module: str, score: str
) -> None:
    recipe = RECIPES[module]
    assert command.run(shuffled(recipe), module, ["--output", str(tmp_path / "model")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"The mean {score} of 5-fold cross-validation is " in error
    assert f"below the required {recipe.required:.3f}" in error
    assert f"lower --min-{score.replace(' ', '-')}." in error
    assert list(tmp_path.iterdir()) == []


def test_the_minimum_score_can_be_lowered(tmp_path: Path, recipe: Recipe) -> None:
    arguments = ["--output", str(tmp_path / "model"), recipe.option, "0.0"]
    assert command.run(shuffled(recipe), "model", arguments) == 0
    metadata = json.loads((tmp_path / "model/metadata.json").read_text())
    assert metadata["cross_validation"]["mean"] < 0.6
    # A class that the model never predicts correctly has no example.
    assert len(metadata["examples"]["instances"]) == len(metadata["examples"]["predictions"]) > 0


@pytest.mark.parametrize("version", ["", "a/b", "../v1", "-v1", "v1-", "v 1", "v" * 64])
def test_a_version_that_is_not_a_path_segment_is_rejected(version: str) -> None:
    with pytest.raises(ModelError, match="not a valid version"):
        train(IRIS, IRIS.load(42), version, 42, 0.95)


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--seed", "x"], ["--min-accuracy", "2"], []])
def test_invalid_arguments_are_rejected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.run(IRIS, "model.iris", [*(["--output", "unused"] if arguments else []), *arguments])
    assert stop.value.code == 2
    assert "python -m model.iris: error: " in capsys.readouterr().err


def test_a_full_disk_is_reported_in_one_sentence(tmp_path: Path) -> None:
    """A limit on the file size simulates a full disk: in both cases write() fails after a part."""
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))}
    result = run("model.iris", tmp_path / "model", **limit)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: The model cannot be written to ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
