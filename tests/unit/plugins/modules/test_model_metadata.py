# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""metadata.json as it is written for models of each kind: the gate accepts it, and what it says is so."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate import sandbox_program
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.gate import check_model
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import GateOptions, OptionNames
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.sandbox import Outcome, Trial, fault
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import Run
from ansible_collections.hashfoundry.kserve.plugins.modules import model_metadata

pytest.importorskip("sklearn")

from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from model.describe import main as describe_command

ROOT = Path(__file__).resolve().parents[4]
ROWS = [[5.1, 3.5], [7.0, 3.2], [6.3, 3.3]]
MIXED = [["red", 1.0], ["blue", 2.0], ["red", 3.0]]
FLOATS = {"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}


def store(folder: Path, model: Any, name: str = "model.pkl") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(model))


def describe(folder: Path, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    spec = {key: None for key in model_metadata.ARGUMENT_SPEC}
    values = {**spec, "source": str(folder), "name": "kind", "version": "v1", "gate": {}, **options}
    return model_metadata.run(values, Run(check_mode, True, print))


def passes(folder: Path) -> list[str]:
    checked: list[str] = check_model(GateOptions(), "kind", "v1", scan(folder))["checked"]
    return checked


KINDS: dict[str, tuple[Any, list[Any], list[dict[str, Any]], list[tuple[str, str, list[int]]]]] = {
    "regressor": (Ridge().fit(ROWS, [0.0, 1.0, 2.0]), ROWS, [FLOATS], [("output-0", "FP64", [-1])]),
    "regressor of two": (
        LinearRegression().fit(ROWS, [[0, 1], [1, 2], [2, 2]]), ROWS, [FLOATS], [("output-0", "FP64", [-1, 2])],
    ),
    "classifier of strings": (
        LogisticRegression().fit(ROWS, ["a", "b", "b"]), ROWS, [FLOATS],
        [("output-0", "BYTES", [-1]), ("predict_proba", "FP64", [-1, 2])],
    ),
    "classifier of two targets": (
        DecisionTreeClassifier().fit(ROWS, [[0, 0], [1, 1], [2, 1]]), ROWS, [FLOATS],
        [("output-0", "INT64", [-1, 2]), ("predict_proba-0", "FP64", [-1, 3]), ("predict_proba-1", "FP64", [-1, 2])],
    ),
    "clusterer": (KMeans(2, n_init=1, random_state=1).fit(ROWS), ROWS, [FLOATS], [("output-0", "INT32", [-1])]),
    "outlier detector": (
        IsolationForest(n_estimators=3, random_state=1).fit(ROWS), ROWS, [FLOATS], [("output-0", "INT64", [-1])],
    ),
    "missing values": (
        make_pipeline(SimpleImputer(), Ridge()).fit(ROWS, [0, 1, 2]), [[None, 3.5], [7.0, 3.2]], [FLOATS],
        [("output-0", "FP64", [-1])],
    ),
    "text": (
        make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good film", "bad"], [1, 0]), ["good", "bad"],
        [{"name": "x0", "datatype": "BYTES", "shape": [-1]}],
        [("output-0", "INT64", [-1]), ("predict_proba", "FP64", [-1, 2])],
    ),
    "categories": (
        make_pipeline(make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough"), Ridge()).fit(
            MIXED, [0, 1, 2]
        ),
        MIXED,
        [{"name": "x0", "datatype": "BYTES", "shape": [-1]}, {"name": "x1", "datatype": "FP64", "shape": [-1]}],
        [("output-0", "FP64", [-1])],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given"),
    [*((kind, True) for kind in KINDS), *((kind, False) for kind in ("classifier of two targets", "categories"))],
)
def test_a_model_of_each_kind_is_described(tmp_path: Path, kind: str, given: bool) -> None:
    model, rows, inputs, outputs = KINDS[kind]
    store(tmp_path, model)
    result = describe(tmp_path, examples=rows if given else None)
    assert result["changed"]
    found = json.loads((tmp_path / "metadata.json").read_text())
    assert found == result["metadata"]
    assert found["inputs"] == inputs
    assert [(each["name"], each["datatype"], each["shape"]) for each in found["outputs"]] == outputs
    if given:
        wanted = [row if isinstance(row, list) else [row] for row in rows]
        assert found["examples"]["instances"] == wanted
        if kind not in ("text", "categories", "missing values"):
            assert found["examples"]["predictions"] == model.predict(rows).tolist()
    assert passes(tmp_path) == ["metadata", "load"]
    # Again there is nothing to do, and the rows stay.
    assert not describe(tmp_path)["changed"]


@pytest.mark.parametrize("name", ["model.pkl", "m.pickle", "iris.joblib"])
def test_each_suffix_is_loaded(tmp_path: Path, name: str) -> None:
    store(tmp_path, Ridge().fit(ROWS, [0, 1, 2]), name)
    assert describe(tmp_path)["metadata"]["model_file"]["name"] == name
    assert passes(tmp_path) == ["metadata", "load"]


def test_what_the_module_does_not_know_is_retained(tmp_path: Path) -> None:
    store(tmp_path, Ridge().fit(ROWS, [0, 1, 2]))
    describe(tmp_path, examples=ROWS, description="the size of a flower")
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 42}))
    store(tmp_path, Ridge(alpha=2).fit(ROWS, [0, 1, 2]))
    result = describe(tmp_path, check_mode=True, version="v2")
    assert json.loads(path.read_text())["version"] == "v1", "check mode has written"
    assert result["changed"]
    assert '"version": "v1"' in result["diff"]["before"]
    assert '"version": "v2"' in result["diff"]["after"]
    found = describe(tmp_path, version="v2")["metadata"]
    assert (found["seed"], found["description"]) == (42, "the size of a flower")
    assert found["examples"]["instances"] == ROWS


@pytest.mark.parametrize("content", ["{broken", "[]", '{"examples": 3}'])
def test_a_file_that_cannot_be_read_is_not_overwritten(tmp_path: Path, content: str) -> None:
    store(tmp_path, Ridge().fit(ROWS, [0.0, 1.0, 2.0]))
    (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(KServeError, match="correct it, or remove it") as caught:
        describe(tmp_path)
    assert caught.value.reason == "InvalidMetadata"
    assert (tmp_path / "metadata.json").read_text() == content


def test_rows_of_a_file_have_the_types_that_the_model_takes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"code": ["007", "008"], "size": [1.0, None]})
    encode = make_column_transformer((OneHotEncoder(), ["code"]), (SimpleImputer(), ["size"]))
    store(tmp_path / "v1", make_pipeline(encode, Ridge()).fit(frame, [0, 1]))
    (tmp_path / "rows.csv").write_text("label,size,code\n1,,007\n0,2.5,008\n")
    found = describe(tmp_path / "v1", examples_path=str(tmp_path / "rows.csv"))["metadata"]
    assert found["examples"]["instances"] == [["007", None], ["008", 2.5]]
    assert found["categories"] == {"code": ["007", "008"]}
    assert passes(tmp_path / "v1") == ["metadata", "load"]


def test_a_file_names_the_features_of_a_model_without_names(tmp_path: Path) -> None:
    store(tmp_path / "v1", Ridge().fit(ROWS, [0, 1, 2]))
    (tmp_path / "rows.csv").write_text("length,width\n5.1,3\n\n" + "7,3.2\n" * 20)
    found = describe(tmp_path / "v1", examples_path=str(tmp_path / "rows.csv"))["metadata"]
    assert found["features"] == ["length", "width"]
    assert found["examples"]["instances"] == [[5.1, 3], *[[7, 3.2]] * 9]
    # The names are known from then on.
    assert not describe(tmp_path / "v1")["changed"]
    (tmp_path / "rows.csv").write_text("length,width,label\n5.1,3,0\n")
    with pytest.raises(KServeError, match="row 1 of its examples has 3 values, and the model has 2 columns"):
        describe(tmp_path / "v1", examples_path=str(tmp_path / "rows.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read .No such file or directory.; set examples_path"),
        (b"\xff\xfe\n1", "is no CSV file in UTF-8"),
        (b"a,b\n", "has no row below its first line"),
        (b"a,b\n1\n", "has 1 values in row 2 and 2 names in its first line"),
    ],
)
def test_a_wrong_file_of_examples_is_rejected(tmp_path: Path, content: bytes | None, message: str) -> None:
    store(tmp_path / "v1", Ridge().fit(ROWS, [0, 1, 2]))
    if content is not None:
        (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(KServeError, match=message):
        describe(tmp_path / "v1", examples_path=str(tmp_path / "rows.csv"))
    assert not (tmp_path / "v1" / "metadata.json").exists()


def test_a_folder_without_one_servable_model_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(KServeError, match="must hold exactly one file, and it holds none"):
        describe(tmp_path)
    store(tmp_path, DBSCAN().fit(ROWS))
    with pytest.raises(KServeError, match="cannot be served: DBSCAN groups the rows that it is fitted on"):
        describe(tmp_path)
    store(tmp_path, Ridge(), "other.joblib")
    with pytest.raises(KServeError, match=r"it holds model\.pkl, other\.joblib"):
        describe(tmp_path)


def test_the_command_writes_the_same(tmp_path: Path) -> None:
    store(tmp_path / "v1", Ridge().fit(ROWS, [0, 1, 2]))
    (tmp_path / "rows.csv").write_text("length,width\n5.1,3.5\n")
    command = [sys.executable, "-m", "model.describe", str(tmp_path / "v1" / "model.pkl"), "--name", "kind"]
    command += ["--version", "v1", "--examples", str(tmp_path / "rows.csv"), "--description", "a size"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/v1/metadata.json: written.\n"), result.stderr
    again = describe(tmp_path / "v1", examples_path=str(tmp_path / "rows.csv"), description="a size")
    assert not again["changed"]
    result = subprocess.run(
        [*command[:3], str(tmp_path), *command[4:]], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Of .joblib, .pkl, .pickle")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--examples", "{0}/rows.csv"], "{0}/rows.csv cannot be read (No such file or directory); set --examples to"),
        (["--memory", "2GB"], "--memory is '2GB'; give bytes"),
        (["--timeout", "0"], "--timeout is 0; give a number"),
        (["--python", "{0}/python"], "; set --python to an interpreter"),
    ],
)
def test_the_command_names_its_own_options_and_no_file_otherwise(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gate.python-and-examples_path"
    store(folder, Ridge().fit(ROWS, [0, 1, 2]))
    given = [word.format(folder) for word in words]
    assert describe_command([str(folder), "--name", "kind", "--version", "v1", *given]) == 1
    error = capsys.readouterr().err
    assert message.format(folder) in error
    assert not re.search(r"gate\.[a-z]|examples_path", error.replace(str(folder), ""))


COMMAND = OptionNames("--python", "--timeout", "--memory", "give --not-isolated", "", "--examples")


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(sandbox_program.REFUSED, refused="Operation not permitted"),
        Outcome(sandbox_program.TIMEOUT),
        Outcome(1, error="MemoryError"),
        Outcome(1, error="ModuleNotFoundError"),
    ],
)
def test_each_fault_of_a_trial_names_the_options_of_the_caller(outcome: Outcome) -> None:
    for names, expected in ((OptionNames(), r"gate\.[a-z]+"), (COMMAND, r"--[a-z]+")):
        sentence = str(fault(outcome, Trial("python3", 30, 2**31, names=names), Path("m.joblib"), {}))
        found = re.findall(r"gate\.[a-z]+|--[a-z]+", sentence)
        assert found and all(re.fullmatch(expected, name) for name in found), sentence


def test_a_model_that_must_be_loaded_is_not_to_be_left_unloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module has no option gate.load."""
    store(tmp_path, Ridge().fit(ROWS, [0, 1, 2]))
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(KServeError, match=r"A model can be loaded on Linux only; run there\.$"):
        describe(tmp_path)


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["--name", "X X"], "argument --name: 'X X' cannot be the name of an InferenceService: use lower-case letters"),
        (["--name", "Wine"], "argument --name: 'Wine' cannot be the name of an InferenceService"),
        (["--version", "v 1"], "argument --version: 'v 1' is not a valid version: use at most 63 letters"),
    ],
)
def test_the_command_rejects_names_that_cannot_be_served(
    words: list[str], output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        describe_command(["model.pkl", "--name", "kind", "--version", "v1", *words])
    assert output in capsys.readouterr().err


def test_the_module_rejects_names_that_cannot_be_uploaded(tmp_path: Path) -> None:
    with pytest.raises(KServeError, match="The name 'X X' is not valid"):
        describe(tmp_path, name="X X")
