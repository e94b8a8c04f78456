# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Training the iris classifier: the gate, the description, the same bytes on every run."""

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

from model.errors import ModelError
from model.iris import __main__ as command
from model.iris.train import Dataset, load_dataset, train

ROOT = Path(__file__).parents[2]


def run(output: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command_line = [sys.executable, "-m", "model.iris", "--output", str(output)]
    return subprocess.run(command_line, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, **options)


def shuffled() -> Dataset:
    """The iris rows with their labels dealt out at random: nothing can be learned from them."""
    iris = load_dataset()
    return dataclasses.replace(iris, labels=np.random.default_rng(0).permutation(iris.labels))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return train(load_dataset(), "v1", 42, 0.95)


def test_the_metadata_describe_the_model_file(files: dict[str, bytes]) -> None:
    metadata = json.loads(files["metadata.json"])
    model = files["model.joblib"]
    assert metadata["model_file"] == {
        "name": "model.joblib",
        "sha256": hashlib.sha256(model).hexdigest(),
        "size_bytes": len(model),
    }
    assert metadata["libraries"]["joblib"] == joblib.__version__
    assert metadata["libraries"]["numpy"] == np.__version__
    assert len(metadata["cross_validation"]["scores"]) == metadata["cross_validation"]["folds"]
    assert metadata["cross_validation"]["mean"] == pytest.approx(np.mean(metadata["cross_validation"]["scores"]))
    assert metadata["cross_validation"]["mean"] >= 0.95
    assert metadata["classes"] == ["setosa", "versicolor", "virginica"]


def test_the_loaded_model_answers_the_examples(files: dict[str, bytes]) -> None:
    model = joblib.load(io.BytesIO(files["model.joblib"]))
    examples = json.loads(files["metadata.json"])["examples"]
    assert examples["predictions"] == [0, 1, 2]
    assert model.predict(examples["instances"]).tolist() == examples["predictions"]
    assert model.predict([[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]).tolist() == [0, 2]


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for name, hash_seed in (("one", "1"), ("two", "2")):
        result = run(tmp_path / name, env=os.environ | {"PYTHONHASHSEED": hash_seed})
        assert result.returncode == 0, result.stderr
    for name in ("model.joblib", "metadata.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_shows_in_the_metadata(files: dict[str, bytes]) -> None:
    other = train(load_dataset(), "v1", 7, 0.9)
    assert other["model.joblib"] == files["model.joblib"], "the seed splits the folds; the model is fitted on all rows"
    assert json.loads(other["metadata.json"])["seed"] == 7
    assert other["metadata.json"] != files["metadata.json"]


def test_shuffled_labels_do_not_pass_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_dataset", shuffled)
    assert command.main(["--output", str(tmp_path / "model")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "under the required 0.950" in error
    assert list(tmp_path.iterdir()) == []


def test_the_gate_can_be_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load_dataset", shuffled)
    assert command.main(["--output", str(tmp_path / "model"), "--min-accuracy", "0.0"]) == 0
    assert json.loads((tmp_path / "model/metadata.json").read_text())["cross_validation"]["mean"] < 0.6


@pytest.mark.parametrize("version", ["", "a/b", "../v1", "-v1", "v1-", "v 1", "v" * 64])
def test_a_version_that_is_no_path_segment_is_refused(version: str) -> None:
    with pytest.raises(ModelError, match="no version"):
        train(load_dataset(), version, 42, 0.95)


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--seed", "x"], ["--min-accuracy", "2"], []])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main([*(["--output", "unused"] if arguments else []), *arguments])
    assert stop.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_disk_that_takes_no_more_is_one_sentence(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: write() fails half way in both."""
    result = run(tmp_path / "model", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)))
    assert result.returncode == 1
    assert result.stderr.startswith("Error: The model cannot be written to ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
