# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which models are found to predict a row the same alone and together with others."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, scale
from sklearn.tree import DecisionTreeClassifier

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

from model.server.estimator import Column, Estimator
from model.server.joint import Call
from model.server.trial import is_independent, rows_like

CHANCE = np.random.default_rng(7)
ROWS = CHANCE.normal(size=(80, 3))
CLASSES = np.where(ROWS[:, 0] + ROWS[:, 1] > 0, "yes", "no")
TEXTS = [f"word{number % 7} and word{number % 5}" for number in range(80)]
COLOURS = np.array([["red", "green", "blue"][number % 3] for number in range(80)], dtype=object)


def found(call: Call, examples: list[Any], texts: bool = False, columns: list[Column] | None = None) -> bool:
    known = columns or [Column(f"x{place}") for place in range(len(examples))]
    return is_independent(call, "predict", rows_like(examples, known, texts), 12)


EXAMPLES = [ROWS[:2, place] for place in range(3)]
SINGLE = [np.zeros(1) for _place in range(3)]

INDEPENDENT = {
    "classes": make_pipeline(StandardScaler(), LogisticRegression()),
    "tree": DecisionTreeClassifier(),
    "forest": RandomForestClassifier(20, random_state=0),
    "numbers of a forest": RandomForestRegressor(20, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=5),
    "neighbors": KNeighborsClassifier(),
}


@pytest.mark.parametrize("examples", [EXAMPLES, SINGLE], ids=["examples", "one row"])
@pytest.mark.parametrize("model", INDEPENDENT.values(), ids=INDEPENDENT)
def test_models_that_predict_each_row_by_itself(model: Any, examples: list[Any]) -> None:
    labels = ROWS.sum(axis=1) if isinstance(model, RandomForestRegressor) else CLASSES
    assert found(Estimator(model.fit(ROWS, labels)).run, examples)


@pytest.mark.parametrize("examples", [EXAMPLES, SINGLE], ids=["examples", "one row"])
def test_a_model_that_scales_by_the_rows_of_a_call(examples: list[Any]) -> None:
    # By itself each row becomes zeros.
    model = make_pipeline(FunctionTransformer(scale), DecisionTreeClassifier()).fit(ROWS, CLASSES)
    assert not found(Estimator(model).run, examples)


def mean(values: Any) -> Any:
    return values - values.mean()


def position(values: Any) -> Any:
    return values + np.arange(len(values))


def last_digit(values: Any) -> Any:
    """As linear algebra does that adds in another order for a single row."""
    return values if len(values) > 1 else np.nextafter(values, np.inf)


def drawn(values: Any) -> Any:
    return values + np.random.default_rng().normal(size=len(values))


def whole(values: Any) -> Any:
    """As code that makes an array of Python's numbers, whose type is that of all of them."""
    return np.array([int(value) if value > 0 else float(value) for value in values])


def lengths(values: Any) -> Any:
    """Objects that are equal, but of other types: a client gets 1 from the one and 1.0 from the other."""
    return np.array([1 if len(values) == 1 else 1.0 for _value in values], dtype=object)


def first_only(values: Any) -> Any:
    return values[:1]


DEPENDENT = [mean, position, last_digit, drawn, whole, lengths]


@pytest.mark.parametrize("function", DEPENDENT, ids=lambda function: str(function.__name__))
def test_results_that_depend_on_the_call(function: Callable[[Any], Any]) -> None:
    assert found(lambda columns, _method: [np.asarray(columns[0])], EXAMPLES)
    assert not found(lambda columns, _method: [function(np.asarray(columns[0]))], EXAMPLES)


def test_a_result_for_the_first_row_only_is_not_joined_but_repeated_alone() -> None:
    # Pairs have one result alone too, which predict_together then asks for again.
    assert found(lambda columns, _method: [first_only(columns[0])], EXAMPLES)


def test_a_model_that_rejects_rows_is_tried_with_those_that_it_accepts() -> None:
    def positive(columns: Any, _method: str) -> list[Any]:
        if np.min(columns[0]) < 0:
            raise ValueError("negative")
        return [columns[0]]

    assert found(positive, [np.array([-1.0, 1.0])])


class Centre(FunctionTransformer):
    """Subtracts the means of the rows of a call, so that each row by itself becomes zeros."""

    def transform(self, X: Any) -> Any:
        return np.asarray(X) - np.mean(X, axis=0)


def test_a_model_that_hides_by_equal_results_that_it_uses_other_rows() -> None:
    data = load_breast_cancer()
    model = make_pipeline(Centre(), DecisionTreeClassifier(max_depth=1, random_state=0))
    model.fit(data.data[:, [0, 2, 3]], data.target)
    assert not found(Estimator(model).run, SINGLE)


def test_a_tree_is_tried_with_rows_of_its_own_size() -> None:
    data = load_breast_cancer()
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(data.data[:, [0, 2, 3]], data.target)
    assert found(Estimator(model).run, SINGLE)


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint8", 255), ("uint8", 0), ("int8", 127), ("int8", -128), ("int64", 2**63 - 1)]
)
def test_integers_stay_within_their_type(dtype: str, value: int) -> None:
    columns = [Column("a", dtype.upper())]
    rows = [*islice(rows_like([np.array([value], dtype=dtype)], columns, False), 30)]
    assert len({int(row[0][0]) for row in rows}) > 3 and {row[0].dtype.name for row in rows} == {dtype}


def test_without_enough_rows_nothing_is_joined() -> None:
    def never(columns: Any, _method: str) -> list[Any]:
        raise RuntimeError

    def only_zeros(columns: Any, _method: str) -> list[Any]:
        if np.any(columns[0] != 0):
            raise ValueError
        return [columns[0]]

    assert not found(never, EXAMPLES)
    assert not found(only_zeros, SINGLE)


def test_texts() -> None:
    model = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(TEXTS, ["word1" in text for text in TEXTS])
    estimator = Estimator(model)
    assert estimator.texts
    assert found(estimator.run, [np.array(TEXTS[:10], dtype=object)], texts=True)


def test_the_values_are_those_of_the_examples_and_the_categories() -> None:
    examples = [np.array(["red"], dtype=object), np.array([3, 9]), np.array([True]), np.array([0.5, np.nan])]
    columns = [
        Column("a", "BYTES", ("red", "green", None)),
        Column("b", "INT64"),
        Column("c", "BOOL"),
        Column("d"),
    ]
    rows = list(islice(rows_like(examples, columns, False), 200))
    assert [column.dtype for column in rows[100]] == [column.dtype for column in examples]
    values = [{repr(row[place].tolist()[0]) for row in rows} for place in range(4)]
    assert values[0] == {"'red'", "'green'"}
    assert values[1] == {str(number) for number in range(3, 12)}
    assert values[2] == {"True", "False"}
    assert "nan" in values[3]
    assert len(values[3]) > 100


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from model.server.sklearn_model import SklearnModel

    return SklearnModel("model", tmp_path)


def write(folder: Path, fitted: Any, instances: list[Any], inputs: list[tuple[str, str]]) -> None:
    file = folder / "model.joblib"
    joblib.dump(fitted, file)
    names = [name for name, _datatype in inputs]
    rows = [dict(zip(names, row, strict=True)) for row in instances]
    frame = pytest.importorskip("pandas").DataFrame(rows, columns=names)
    description = {
        "version": "v1",
        "model_file": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
        "features": names,
        "inputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in inputs],
        "examples": {"instances": instances, "predictions": fitted.predict(frame).tolist()},
    }
    (folder / "metadata.json").write_text(json.dumps(description))


def test_missing_values_are_joined_if_the_examples_have_some(model: Any, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": ROWS[:, 0], "colour": COLOURS})
    encode = ColumnTransformer([("encode", OneHotEncoder(), ["colour"])], remainder="passthrough", sparse_threshold=0)
    fitted = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=9)).fit(frame, frame["size"] > 0)
    inputs = [("size", "FP64"), ("colour", "BYTES")]
    for instances, joined in [([[1.0, "red"], [2.0, "blue"]], False), ([[1.0, "red"], [None, "blue"]], True)]:
        write(tmp_path, fitted, instances, inputs)
        model.load()
        model.try_together()
        complete = model.instances({"instances": [[1, "green"]]}).columns
        missing = model.instances({"instances": [[None, "green"]]}).columns
        assert model.is_independent(complete, "predict")
        assert model.is_independent(missing, "predict") is joined


def test_each_method_is_tried_by_itself(model: Any, tmp_path: Path) -> None:
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(ROWS, CLASSES), tmp_path / "model.joblib")
    model.load()
    model.try_together()
    assert list(model._independent) == [("predict", False)]
    columns = model.instances({"instances": [[1, 2, 3]]}).columns
    # On a busy machine even this model is slow, and then tried by a thread.
    deadline = time.monotonic() + 60
    while not model.is_independent(columns, "predict_proba"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert list(model._independent) == [("predict", False), ("predict_proba", False)]


def test_requests_for_a_slow_model_do_not_wait_for_its_trial(model: Any, tmp_path: Path) -> None:
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(ROWS, CLASSES), tmp_path / "model.joblib")
    model.load()
    columns = model.instances({"instances": [[1, 2, 3]]}).columns
    model.seconds = 1.0
    started, gate, run = threading.Event(), threading.Event(), model._estimator.run

    def held(*arguments: Any) -> Any:
        started.set()
        assert gate.wait(60)
        return run(*arguments)

    model._estimator.run = held
    model.try_together()
    assert started.wait(60)
    assert not model.is_independent(columns, "predict")
    gate.set()
    deadline = time.monotonic() + 60
    while not model.is_independent(columns, "predict"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_numbers_are_read_at_once_as_one_by_one() -> None:
    """The quick way to read floats has the same values, and the same memory, as that for each feature."""
    from model.server.rows import Feature, Tensor, columns_from_inputs, columns_from_instances, datatype_of_floats

    features = [Feature(name) for name in ("a", "b", "c")]
    rows = [[1, 2.5, -0.0], [2**53 + 1, 1e-320, 3], [10**300, 0.1 + 0.2, -7]]
    floats = datatype_of_floats(features)
    assert floats == "FP64"
    quick = columns_from_instances({"instances": rows}, features, floats)
    each = columns_from_instances({"instances": [dict(zip("abc", row, strict=True)) for row in rows]}, features)
    assert isinstance(quick, np.ndarray)
    assert not isinstance(each, np.ndarray)
    assert quick.T.tobytes() == np.column_stack(each).tobytes()
    assert quick.T.flags["C_CONTIGUOUS"]
    for datatype in ("FP64", "FP32"):
        flat = [value for row in rows[:1] for value in row]
        matrix = columns_from_inputs([Tensor("x", datatype, [1, 3], flat)], features, floats)
        assert isinstance(matrix, np.ndarray)
        vectors = [Tensor(name, datatype, [1], [value]) for name, value in zip("abc", flat, strict=True)]
        assert matrix.tobytes() == np.asarray(columns_from_inputs(vectors, features)).tobytes()
