# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models other than iris: class names, probabilities, another number of features."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

kserve = pytest.importorskip("kserve", reason="needs the packages of model/server/requirements.txt")


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from model.server.sklearn_model import SklearnModel

    joblib.dump(LogisticRegression().fit([[0.0, 0.0], [1.0, 1.0]], ["no", "yes"]), tmp_path / "model.pkl")
    return SklearnModel("words", tmp_path)


def tensor() -> Any:
    data = kserve.InferInput("x", [2, 2], "FP64", [0.0, 0.0, 1.0, 1.0])
    return kserve.InferRequest("words", [data])


def test_it_is_not_ready_before_it_is_loaded(model: Any) -> None:
    assert model.ready is False
    model.load()
    assert model.ready is True


def test_class_names_in_both_protocols(model: Any) -> None:
    model.load()
    assert asyncio.run(model.predict({"instances": [[0, 0], [1, 1]]})) == {"predictions": ["no", "yes"]}
    answer, _headers = asyncio.run(model.predict(tensor())).to_rest()
    assert answer["outputs"][0]["datatype"] == "BYTES"
    assert answer["outputs"][0]["data"] == ["no", "yes"]
    assert model.get_output_types() == [{"name": "output-0", "datatype": "BYTES", "shape": [-1]}]


def test_probabilities(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICT_PROBA", "true")
    model = type(model)("words", model._model_dir)
    model.load()
    ((no, yes),) = asyncio.run(model.predict({"instances": [[1, 1]]}))["predictions"]
    assert yes > no
    assert no + yes == pytest.approx(1)
    assert model.get_output_types() == [{"name": "output-0", "datatype": "FP64", "shape": [-1, 2]}]


def test_the_number_of_features_comes_from_the_model(model: Any) -> None:
    from model.server.errors import BadRequest

    model.load()
    assert model.get_input_types() == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}]
    with pytest.raises(BadRequest, match="3 values where the model takes 2"):
        asyncio.run(model.predict({"instances": [[1, 2, 3]]}))
