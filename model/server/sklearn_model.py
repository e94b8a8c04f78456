# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scikit-learn model: loaded, tried, and asked for rows."""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .description import Description, generic_names, read_description
from .digest import read_digest
from .errors import BadRequest, StartError
from .protocol import InferRequest, Wanted, datatype_of
from .rows import TEXT, Feature, InvalidRows, columns_from_inputs, columns_from_instances

EXTENSIONS = (".joblib", ".pkl", ".pickle")
# The outputs' names: of what the model answers by default as KServe's own server for scikit-learn calls it, and
# of the probabilities as MLServer, KServe's other one, does.
OUTPUT = "output-0"
PROBABILITIES = "predict_proba"


class _Pandas:
    """The package, which is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("pandas"), name)


def import_scikit_learn() -> None:
    """Import it without pandas, which takes it a fifth of the time, for one function that few models need."""
    if "pandas" in sys.modules:
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # the import system's word for what there is not
    try:
        fixes: Any = import_module("sklearn.utils.fixes")
        fixes.pd = _Pandas()
    finally:
        del sys.modules["pandas"]


def find_model_file(folder: Path) -> Path:
    """The one model file in ``folder``.

    Raises:
        StartError: there is no such folder, no model file in it, or more than one.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(EXTENSIONS))
    except OSError as error:
        raise StartError(f"The model folder {folder} cannot be read ({error.strerror}): check --model_dir.") from error
    endings = ", ".join(f"*{extension}" for extension in EXTENSIONS)
    if not files:
        raise StartError(f"The model folder {folder} holds no model file: put exactly one of {endings} there.")
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise StartError(f"The model folder {folder} holds {len(files)} model files ({names}): leave exactly one.")
    return files[0]


class SklearnModel:
    """One estimator, or pipeline, that takes rows of numbers and texts.

    Args:
        name: the model's name in the endpoints' paths.
        model_dir: a local folder; in a pod, where the storage initializer has put the model.
    """

    def __init__(self, name: str, model_dir: Path) -> None:
        self.name = name
        self.seconds = 0.0  # that a prediction takes
        self._model_dir = model_dir
        self._estimator: Any = None
        self._framed = False
        self._features: list[Feature] = []
        self.version: str | None = None
        self._sha256 = ""
        self._digest: str | None = None
        self._input_types: list[dict[str, Any]] = []
        self._output_types: list[dict[str, Any]] = []
        # As in KServe's own server for scikit-learn.
        probabilities = os.environ.get("PREDICT_PROBA", "false").lower() == "true"
        self._methods = {OUTPUT: "predict_proba" if probabilities else "predict"}

    def load(self) -> None:
        """Load the model and let it predict: only a model that has answered is ready.

        Raises:
            StartError: the folder, the description or the model file is unfit.
        """
        path = find_model_file(self._model_dir)
        try:
            with path.open("rb") as stream:
                self._sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            self._digest = read_digest(path, self._sha256, os.environ.get("MODEL_DIGEST"))
            description = read_description(path, self._sha256)
            self._estimator = import_module("joblib").load(path)
        except StartError:
            raise
        # Unpickling runs whatever code the file names, so any error can come out of it.
        except Exception as error:
            raise StartError(
                f"The model file {path} cannot be loaded ({type(error).__name__}: {_one_line(error)}): "
                "train it with the scikit-learn of this server."
            ) from error
        self._take_features(path, description)
        try:
            self._predict_first(path, description)
        except StartError:
            raise
        except Exception as error:
            raise StartError(
                f"The model in {path} failed at its first prediction ({type(error).__name__}: {_one_line(error)}): "
                "train it with the scikit-learn of this server."
            ) from error

    def _take_features(self, path: Path, description: Description | None) -> None:
        count = getattr(self._estimator, "n_features_in_", None)
        if not isinstance(count, int) or not hasattr(self._estimator, self._methods[OUTPUT]):
            raise StartError(
                f"The model file {path} holds no fitted scikit-learn model that takes rows of features "
                f"and has {self._methods[OUTPUT]}: store such a model."
            )
        # A model fitted on a pandas data frame finds its columns by name.
        self._framed = hasattr(self._estimator, "feature_names_in_")
        fitted = [str(name) for name in self._estimator.feature_names_in_] if self._framed else None
        if description:
            self.version, self._features = description.version, description.features(fitted, count)
            self._input_types = description.inputs
        else:
            self._features = [Feature(name) for name in fitted or generic_names(count)]
            self._input_types = [{"name": "input-0", "datatype": "FP64", "shape": [-1, count]}]
        if len(self._features) != count:
            raise StartError(
                f"The model in {path} takes {count} features where its description names {len(self._features)}: "
                "train it anew."
            )
        if hasattr(self._estimator, PROBABILITIES):
            self._methods[PROBABILITIES] = PROBABILITIES

    def _predict_first(self, path: Path, description: Description | None) -> None:
        """Predict the examples that are known, or zeros, and see what comes out."""
        if description and description.instances:
            columns = columns_from_instances({"instances": description.instances}, self._features)
            predicted = self.run(columns, "predict").tolist()
            if not _agree(description.predictions, predicted):
                raise StartError(
                    f"The model in {path} predicts {predicted!r:.80} for its own examples where its description says "
                    f"{description.predictions!r:.80}: train it with the versions of this server's libraries."
                )
        else:
            columns = [
                np.array([""], dtype=object) if feature.datatype == TEXT else np.zeros(1) for feature in self._features
            ]
        for name, method in self._methods.items():
            answer = self.run(columns, method)
            shape = [-1, *answer.shape[1:]]
            self._output_types.append({"name": name, "datatype": datatype_of(answer), "shape": shape})
        began = time.perf_counter()
        self.run(columns, self._methods[OUTPUT])
        self.seconds = time.perf_counter() - began

    def metadata(self) -> dict[str, Any]:
        """What GET /v2/models/NAME says; the version is known from the description only."""
        versions = {"versions": [self.version]} if self.version else {}
        digest = {"digest": self._digest} if self._digest else {}
        return {
            "name": self.name,
            **versions,
            "platform": "",
            # The protocol names a model's properties in its gRPC form only.
            "properties": {"sha256": self._sha256, **digest},
            "inputs": self._input_types,
            "outputs": self._output_types,
        }

    def predict(self, payload: Any) -> NDArray[Any]:
        """The predictions for a request of version 1.

        Raises:
            BadRequest: it holds no rows this model can take.
        """
        try:
            return self.run(columns_from_instances(payload, self._features), self._methods[OUTPUT])
        except InvalidRows as error:
            raise BadRequest(str(error)) from error

    def infer(self, request: InferRequest) -> list[tuple[Wanted, NDArray[Any]]]:
        """The outputs for a request of version 2.

        Raises:
            BadRequest: it holds no rows this model can take, or asks for what the model has not.
        """
        wanted = {output.name: output for output in request.wanted} or {OUTPUT: Wanted(OUTPUT, request.binary)}
        for name in wanted:
            if name not in self._methods:
                known = " and ".join(f"'{known}'" for known in self._methods)
                raise BadRequest(f"The model has no output {name!r:.40}, only {known}.")
        try:
            columns = columns_from_inputs(request.tensors, self._features)
            return [(output, self.run(columns, self._methods[name])) for name, output in wanted.items()]
        except InvalidRows as error:
            raise BadRequest(str(error)) from error

    @property
    def features(self) -> list[Feature]:
        """What a row holds, in its order."""
        return self._features

    @property
    def methods(self) -> list[str]:
        """What ``run`` can be asked for."""
        return ["predict", *(method for method in self._methods.values() if method != "predict")]

    def run(self, columns: Sequence[NDArray[Any]], method: str) -> NDArray[Any]:
        """The result of one of the model's methods, also for the batch program.

        Raises:
            InvalidRows: the model cannot take these rows.
        """
        rows = self._rows(columns)
        try:
            result: NDArray[Any] = np.asarray(getattr(self._estimator, method)(rows))
        except ValueError as error:
            # The model answers its examples at the start, so these rows are what it cannot take: a finite
            # number can still become infinite once it is scaled, and a category be unknown.
            raise InvalidRows(f"The model cannot take these rows: {_one_line(error)}") from error
        return result

    def _rows(self, columns: Sequence[NDArray[Any]]) -> Any:
        """The columns as the model was fitted on them: a data frame, numbers, or objects where there are texts."""
        if self._framed:
            named = zip((feature.name for feature in self._features), columns, strict=True)
            return _Pandas().DataFrame(dict(named))
        if all(column.dtype != object for column in columns):
            return np.column_stack(columns)
        rows = np.empty((len(columns[0]), len(columns)), dtype=object)
        for place, column in enumerate(columns):
            rows[:, place] = column
        return rows


def _agree(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(_agree, wanted, got))
    if isinstance(wanted, int | float) and isinstance(got, int | float):
        # Another kind of processor may round the last digits otherwise.
        return math.isclose(wanted, got, rel_tol=1e-6, abs_tol=1e-9)
    return bool(wanted == got)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
