# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each kind of estimator that scikit-learn lists, and the models that people build of them.

A model without metadata.json serves what scikit-learn itself predicts, or does not start, for the true reason.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn import cluster, compose, ensemble, impute, linear_model, multioutput, naive_bayes, neighbors, pipeline
from sklearn import preprocessing as prep
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

RANDOM = np.random.default_rng(7)
X = np.abs(RANDOM.normal(1.0, 0.5, (60, 4)))
Y = (X[:, 0] + X[:, 1] > 2).astype(int)
TARGETS = np.column_stack([(X[:, 0] * 2).astype(int).clip(0, 2), X[:, 1] > 1])
LOGISTIC = linear_model.LogisticRegression()
# Arguments of the constructors that need some.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ClassifierChain": {"base_estimator": LOGISTIC},
    "ColumnTransformer": {"transformers": [("scale", prep.StandardScaler(), [0, 1])]},
    "FeatureUnion": {"transformer_list": [("scale", prep.StandardScaler())]},
    "FixedThresholdClassifier": {"estimator": LOGISTIC},
    "GaussianRandomProjection": {"n_components": 2},
    "GridSearchCV": {"estimator": LOGISTIC, "param_grid": {"C": [1, 10]}},
    "HalvingGridSearchCV": {"estimator": LOGISTIC, "param_grid": {"C": [1, 10]}},
    "HalvingRandomSearchCV": {"estimator": LOGISTIC, "param_distributions": {"C": [1, 10]}},
    "MultiOutputClassifier": {"estimator": LOGISTIC},
    "MultiOutputRegressor": {"estimator": linear_model.Ridge()},
    "OneVsOneClassifier": {"estimator": LOGISTIC},
    "OneVsRestClassifier": {"estimator": LOGISTIC},
    "OutputCodeClassifier": {"estimator": LOGISTIC},
    "Pipeline": {"steps": [("scale", prep.StandardScaler()), ("model", LOGISTIC)]},
    "RFE": {"estimator": LOGISTIC},
    "RFECV": {"estimator": LOGISTIC},
    "RandomizedSearchCV": {"estimator": LOGISTIC, "param_distributions": {"C": [1, 10]}, "n_iter": 2},
    "RegressorChain": {"base_estimator": linear_model.Ridge()},
    "SelectFromModel": {"estimator": LOGISTIC},
    "RadiusNeighborsClassifier": {"radius": 0.01},
    "SelfTrainingClassifier": {"base_estimator": LOGISTIC},
    "SequentialFeatureSelector": {"estimator": LOGISTIC},
    "SparseCoder": {"dictionary": X[:3]},
    "SparseRandomProjection": {"n_components": 2},
    "StackingClassifier": {"estimators": [("one", LOGISTIC), ("two", naive_bayes.GaussianNB())]},
    "StackingRegressor": {"estimators": [("one", linear_model.Ridge())]},
    "TunedThresholdClassifierCV": {"estimator": LOGISTIC},
    "VotingClassifier": {"estimators": [("one", LOGISTIC), ("two", naive_bayes.GaussianNB())]},
    "VotingRegressor": {"estimators": [("one", linear_model.Ridge())]},
}
SEVERAL = ("CCA", "ClassifierChain", "MultiOutput", "MultiTask", "PLSCanonical", "PLSSVD", "RegressorChain")
ALL = dict(all_estimators())


def load(model: Any, folder: Path) -> Any:
    from model.server.sklearn_model import SklearnModel

    joblib.dump(model, folder / "model.pkl")
    served = SklearnModel("kind", folder)
    served.load()
    return served


def refusal(model: Any, folder: Path) -> str:
    from model.server.errors import StartError

    with pytest.raises(StartError) as caught:
        load(model, folder)
    return str(caught.value)


def same(served: Any, wanted: Any) -> None:
    wanted = wanted.toarray() if hasattr(wanted, "toarray") else np.asarray(wanted)
    if wanted.dtype.kind in "fiub":
        np.testing.assert_allclose(np.asarray(served, dtype=float), wanted.astype(float), rtol=1e-9)
    else:
        assert served == wanted.tolist()


def fitted(name: str) -> tuple[Any, Any]:
    """The estimator and rows of its kind."""
    model = ALL[name](**ARGUMENTS.get(name, {}))
    rows, labels = X, Y
    if name.endswith("Vectorizer") or name in ("FeatureHasher", "DictVectorizer", "PatchExtractor"):
        return model, None  # not rows: each is tested in a pipeline, if it may be the first step of one
    if name.startswith(SEVERAL):
        labels = TARGETS > 0 if name == "ClassifierChain" else TARGETS
    if name == "GammaRegressor":
        labels = Y + 1
    if name == "KernelCenterer":
        rows = X @ X.T
    if name in ("CategoricalNB",):
        rows = X.astype(int)
    if name in ("IsotonicRegression", "LabelBinarizer", "LabelEncoder"):
        rows = X[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in ("LabelBinarizer", "LabelEncoder"):
            model.fit(Y)
        elif name == "MultiLabelBinarizer":
            model.fit([["a"], ["b"]])
        else:
            model.fit(rows, labels)
    return model, rows


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.filterwarnings("ignore")
def test_each_estimator_is_served_or_refused_for_the_true_reason(name: str, tmp_path: Path) -> None:
    model, rows = fitted(name)
    if not hasattr(model, "predict"):
        message = refusal(model, tmp_path)
        assert name in message
        assert "no predict" in message or "novelty=True" in message, message
        assert "scikit-learn version" not in message
        return
    if name == "RadiusNeighborsClassifier":
        # Which rows have neighbours only an example can tell.
        assert "add a metadata.json with an example that it predicts" in refusal(model, tmp_path)
        return
    served = load(model, tmp_path)
    sent = rows[:5].tolist()
    same(served.predict({"instances": sent}), model.predict(rows[:5]))
    width = np.reshape(rows, (len(rows), -1)).shape[1]
    assert [tensor["shape"] for tensor in served.metadata()["inputs"]] == [[-1, width]]
    assert all(len(tensor["shape"]) >= 1 and tensor["shape"][0] == -1 for tensor in served.metadata()["outputs"])
    if hasattr(model, "predict_proba"):
        named = {tensor["name"] for tensor in served.metadata()["outputs"]}
        assert any(name.startswith("predict_proba") for name in named)


def test_a_model_that_is_not_fitted_is_refused(tmp_path: Path) -> None:
    assert "LogisticRegression is not fitted; fit it before it is stored" in refusal(
        linear_model.LogisticRegression(), tmp_path
    )
    unfitted = pipeline.make_pipeline(prep.StandardScaler(), linear_model.Ridge())
    assert "Pipeline of StandardScaler, Ridge is not fitted" in refusal(unfitted, tmp_path)
    assert "dict has no predict; store a fitted estimator" in refusal({"model": 1}, tmp_path)


def answer(served: Any, inputs: list[dict[str, Any]], outputs: list[str] | None = None) -> list[dict[str, Any]]:
    from model.server.protocol import read_infer_request, write_infer_response

    body: dict[str, Any] = {"inputs": inputs}
    if outputs:
        body["outputs"] = [{"name": name} for name in outputs]
    request = read_infer_request(json.dumps(body).encode())
    text, _length = write_infer_response(request, "kind", None, served.infer(request))
    found: list[dict[str, Any]] = json.loads(text)["outputs"]
    return found


MATRIX = {"name": "x", "datatype": "FP64", "shape": [2, 4], "data": X[:2].ravel().tolist()}


@pytest.mark.parametrize("classes", [(3, 2), (2, 2)], ids=["of other sizes", "of one size"])
@pytest.mark.parametrize(
    "model", [DecisionTreeClassifier(max_depth=3), multioutput.MultiOutputClassifier(LOGISTIC)], ids=["tree", "wrapper"]
)
def test_several_targets_have_an_output_each(
    model: Any, classes: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.fit(X, np.column_stack([TARGETS[:, 0].clip(0, classes[0] - 1), TARGETS[:, 1]]))
    served = load(model, tmp_path)
    assert served.metadata()["outputs"] == [
        {"name": "output-0", "datatype": "INT64", "shape": [-1, 2]},
        {"name": "predict_proba-0", "datatype": "FP64", "shape": [-1, classes[0]]},
        {"name": "predict_proba-1", "datatype": "FP64", "shape": [-1, classes[1]]},
    ]
    wanted = model.predict_proba(X[:2])
    second, first = answer(served, [MATRIX], ["predict_proba-1", "predict_proba-0"])
    assert (first["shape"], second["shape"]) == ([2, classes[0]], [2, classes[1]])
    assert first["data"] == pytest.approx(wanted[0].ravel())
    assert second["data"] == pytest.approx(wanted[1].ravel())
    assert [output["name"] for output in answer(served, [MATRIX])] == ["output-0"]
    # In batches the probabilities are columns.
    assert served.run(list(X[:2].T), "predict_proba").shape == (2, sum(classes))
    monkeypatch.setenv("PREDICT_PROBA", "true")
    served = load(model, tmp_path)
    rows = served.predict({"instances": X[:2].tolist()})
    assert [[list(map(len, row))] for row in rows] == [[list(classes)]] * 2
    assert [output["name"] for output in answer(served, [MATRIX])] == ["output-0", "output-1"]


def test_sparse_predictions_are_served(tmp_path: Path) -> None:
    from scipy.sparse import csr_matrix
    from sklearn.multiclass import OneVsRestClassifier

    model = OneVsRestClassifier(LOGISTIC).fit(X, csr_matrix(TARGETS > 0))
    served = load(model, tmp_path)
    assert served.predict({"instances": X[:3].tolist()}) == model.predict(X[:3]).toarray().tolist()


NEEDS_IMPUTER = pipeline.make_pipeline(impute.SimpleImputer(), prep.StandardScaler(), linear_model.Ridge())
MISSING = np.where(RANDOM.random(X.shape) < 0.2, np.nan, X)


@pytest.mark.parametrize(
    "model",
    [
        NEEDS_IMPUTER,
        pipeline.make_pipeline(impute.KNNImputer(), ensemble.RandomForestRegressor(5)),
        ensemble.HistGradientBoostingRegressor(max_iter=5),
        pipeline.make_pipeline(compose.ColumnTransformer([("i", impute.SimpleImputer(), [0, 1, 2, 3])]), LOGISTIC),
    ],
    ids=["imputer", "neighbours", "gradient boosting", "columns"],
)
def test_null_is_what_the_model_takes_for_missing(model: Any, tmp_path: Path) -> None:
    model.fit(MISSING, Y)
    served = load(model, tmp_path)
    row = X[0].tolist()
    wanted = model.predict([[np.nan, *row[1:]], row])
    same(served.predict({"instances": [[None, *row[1:]], row]}), wanted)
    tensor = {"name": "x", "datatype": "FP64", "shape": [2, 4], "data": [None, *row[1:], *row]}
    same(answer(served, [tensor])[0]["data"], wanted)


def test_null_is_refused_where_the_model_takes_none(tmp_path: Path) -> None:
    from model.server.errors import BadRequest

    half = compose.ColumnTransformer([("i", impute.SimpleImputer(), [0]), ("n", "passthrough", [1, 2, 3])])
    rows = np.column_stack([MISSING[:, 0], X[:, 1:]])
    served = load(pipeline.make_pipeline(half, linear_model.Ridge()).fit(rows, Y), tmp_path)
    assert len(served.predict({"instances": [[None, 1, 1, 1]]})) == 1
    with pytest.raises(BadRequest, match="Feature 'x1' of row 1 must be a number, not null"):
        served.predict({"instances": [[None, 1, 1, 1], [1, None, 1, 1]]})
    with pytest.raises(BadRequest, match="Feature 'x0' of row 1 must be a number, not a string"):
        served.predict({"instances": [[None, 1, 1, 1], ["one", 1, 1, 1]]})


TEXTS = ["a good film", "very bad", "good and fine", "bad film"]


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer(), HashingVectorizer(n_features=64)], ids=["tfidf", "hashing"])
def test_rows_of_text(vectorizer: Any, tmp_path: Path) -> None:
    from model.server.errors import BadRequest

    served = load(pipeline.make_pipeline(vectorizer, LOGISTIC).fit(TEXTS, ["+", "-", "+", "-"]), tmp_path)
    assert served.metadata()["inputs"] == [{"name": "x0", "datatype": "BYTES", "shape": [-1]}]
    for rows in (["good film", "bad"], [["good film"], ["bad"]], [{"x0": "good film"}, {"x0": "bad"}]):
        assert served.predict({"instances": rows}) == ["+", "-"]
    for shape in ([2], [2, 1]):
        tensor = {"name": "any", "datatype": "BYTES", "shape": shape, "data": ["good film", "bad"]}
        if shape == [2]:
            tensor["name"] = "x0"
        assert answer(served, [tensor])[0]["data"] == ["+", "-"]
    with pytest.raises(BadRequest, match="Feature 'x0' of row 0 must be a string, not null"):
        served.predict({"instances": [None]})


def test_the_types_of_columns_are_in_the_fitted_parts(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    from model.server.errors import BadRequest

    frame = pandas.DataFrame(
        {
            "id": ["a1", "a2", "a3", "a4"],
            "age": [30.0, np.nan, 50.0, 60.0],
            "plan": ["free", "paid", None, "paid"],
            "rooms": [1, 2, 3, 3],
            "note": ["good film", "bad", "good", "bad film"],
        }
    )
    categories = pipeline.make_pipeline(
        impute.SimpleImputer(strategy="constant", fill_value="none", missing_values=None),
        prep.OneHotEncoder(handle_unknown="ignore"),
    )
    columns = compose.ColumnTransformer(
        [
            ("numbers", pipeline.make_pipeline(impute.SimpleImputer(), prep.StandardScaler()), ["age"]),
            ("categories", categories, ["plan"]),
            ("counts", prep.OneHotEncoder(handle_unknown="ignore"), ["rooms"]),
            ("text", TfidfVectorizer(), "note"),
        ]
    )
    model = pipeline.make_pipeline(columns, LOGISTIC).fit(frame, ["no", "yes", "no", "yes"])
    served = load(model, tmp_path)
    types = {tensor["name"]: tensor["datatype"] for tensor in served.metadata()["inputs"]}
    assert types == {"id": "BYTES", "age": "FP64", "plan": "BYTES", "rooms": "INT64", "note": "BYTES"}
    row = {"age": None, "plan": "paid", "rooms": 2, "note": "bad"}
    # The column that the model drops may be left out, and be anything.
    wanted = model.predict(frame[1:2]).tolist()
    assert served.predict({"instances": [row, row | {"id": 5}, ["a2", *row.values()]]}) == wanted * 3
    assert len(served.predict({"instances": [row | {"plan": None}]})) == 1
    tensors = [
        {"name": "age", "datatype": "FP64", "shape": [1], "data": [None]},
        {"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["paid"]},
        {"name": "rooms", "datatype": "INT64", "shape": [1], "data": [2]},
        {"name": "note", "datatype": "BYTES", "shape": [1], "data": ["bad"]},
    ]
    assert answer(served, tensors)[0]["data"] == wanted
    with pytest.raises(BadRequest, match="Feature 'rooms' of row 0 must be a number, not a string"):
        served.predict({"instances": [row | {"rooms": "two"}]})


def test_columns_without_names_have_types_too(tmp_path: Path) -> None:
    rows = np.array([["red", 1.0, True], ["blue", 2.0, False], ["red", 3.0, True]], dtype=object)
    columns = compose.make_column_transformer((prep.OrdinalEncoder(), [0, -1]), remainder="passthrough")
    model = pipeline.make_pipeline(columns, ensemble.RandomForestClassifier(3)).fit(rows, ["a", "b", "a"])
    served = load(model, tmp_path)
    assert [tensor["datatype"] for tensor in served.metadata()["inputs"]] == ["BYTES", "FP64", "BOOL"]
    assert served.predict({"instances": [["blue", 2, False]]}) == model.predict(rows[1:2]).tolist()


def test_a_first_row_that_the_model_rejects_is_no_reason(tmp_path: Path) -> None:
    """Box-Cox takes positive numbers only, and these neighbours are far from zeros and ones."""
    positive = pipeline.make_pipeline(prep.PowerTransformer(method="box-cox"), linear_model.Ridge()).fit(X, Y)
    assert len(load(positive, tmp_path).predict({"instances": X[:1].tolist()})) == 1
    far = neighbors.RadiusNeighborsRegressor(0.1).fit(X + 50, Y)
    centred = pipeline.make_pipeline(cluster.KMeans(2, n_init=1), linear_model.Ridge()).fit(X + 50, Y)
    assert len(load(centred, tmp_path).predict({"instances": X[:1].tolist()})) == 1
    assert load(far, tmp_path).metadata()["outputs"][0]["shape"] == [-1]
