# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scikit-learn model: loading, validation and predictions."""

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
from .protocol import InferRequest, RequestedOutput, datatype_of
from .rows import TEXT, Feature, InvalidRows, columns_from_inputs, columns_from_instances

EXTENSIONS = (".joblib", ".pkl", ".pickle")
# Names of outputs: the default one as in KServe's sklearnserver, the probabilities as in MLServer.
OUTPUT = "output-0"
PROBABILITIES = "predict_proba"


class _LazyPandas:
    """The package pandas, imported on first use."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("pandas"), name)


def import_scikit_learn() -> None:
    """Import it without pandas, which takes a fifth of the time and is needed by one function that few models use."""
    if "pandas" in sys.modules:
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # an import of it then fails
    try:
        fixes: Any = import_module("sklearn.utils.fixes")
        fixes.pd = _LazyPandas()
    finally:
        del sys.modules["pandas"]


def find_model_file(folder: Path) -> Path:
    """The one model file in ``folder``.

    Raises:
        StartError: the folder is missing, or does not contain exactly one model file.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(EXTENSIONS))
    except OSError as error:
        raise StartError(f"The model folder {folder} cannot be read ({error.strerror}): check --model_dir.") from error
    endings = ", ".join(f"*{extension}" for extension in EXTENSIONS)
    if not files:
        raise StartError(f"The model folder {folder} contains no model file: add exactly one of {endings}.")
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise StartError(f"The model folder {folder} contains {len(files)} model files ({names}): delete all but one.")
    return files[0]


class SklearnModel:
    """An estimator or pipeline whose input is rows of numbers and strings.

    Args:
        name: the model's name in the endpoints' paths.
        model_dir: a local folder; in a pod, the one to which the storage initializer downloads the model.
    """

    def __init__(self, name: str, model_dir: Path) -> None:
        self.name = name
        self.seconds = 0.0  # duration of a prediction
        self._model_dir = model_dir
        self._estimator: Any = None
        self._on_data_frame = False
        self._features: list[Feature] = []
        self.version: str | None = None
        self._sha256 = ""
        self._digest: str | None = None
        self._input_types: list[dict[str, Any]] = []
        self._output_types: list[dict[str, Any]] = []
        # As in KServe's sklearnserver.
        probabilities = os.environ.get("PREDICT_PROBA", "false").lower() == "true"
        self._methods = {OUTPUT: "predict_proba" if probabilities else "predict"}

    def load(self) -> None:
        """Load the model and predict once, because only a model that predicts is ready.

        Raises:
            StartError: the folder, the description or the model file is invalid.
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
        # Unpickling runs code of the file, so any error is possible.
        except Exception as error:
            raise StartError(
                f"The model file {path} cannot be loaded ({type(error).__name__}: {_one_line(error)}): "
                "retrain it with the scikit-learn version of this server."
            ) from error
        self._set_features(path, description)
        try:
            self._predict_examples(path, description)
        except StartError:
            raise
        except Exception as error:
            raise StartError(
                f"The model in {path} failed at its first prediction ({type(error).__name__}: {_one_line(error)}): "
                "retrain it with the scikit-learn version of this server."
            ) from error

    def _set_features(self, path: Path, description: Description | None) -> None:
        count = getattr(self._estimator, "n_features_in_", None)
        if not isinstance(count, int) or not hasattr(self._estimator, self._methods[OUTPUT]):
            raise StartError(
                f"The model file {path} contains no fitted scikit-learn model with {self._methods[OUTPUT]}: "
                "upload a fitted estimator or pipeline."
            )
        # A model fitted on a pandas data frame finds its columns by name.
        self._on_data_frame = hasattr(self._estimator, "feature_names_in_")
        fitted = [str(name) for name in self._estimator.feature_names_in_] if self._on_data_frame else None
        if description:
            self.version, self._features = description.version, description.features(fitted, count)
            self._input_types = description.inputs
        else:
            self._features = [Feature(name) for name in fitted or generic_names(count)]
            self._input_types = [{"name": "input-0", "datatype": "FP64", "shape": [-1, count]}]
        if len(self._features) != count:
            raise StartError(
                f"The model in {path} has {count} features, but its description lists {len(self._features)}: "
                "retrain it."
            )
        if hasattr(self._estimator, PROBABILITIES):
            self._methods[PROBABILITIES] = PROBABILITIES

    def _predict_examples(self, path: Path, description: Description | None) -> None:
        """Predict the examples of the description, or zeros, and set the types of the outputs."""
        if description and description.instances:
            columns = columns_from_instances({"instances": description.instances}, self._features)
            predicted = self.run(columns, "predict").tolist()
            if not _is_close(description.predictions, predicted):
                raise StartError(
                    f"The model in {path} predicts {predicted!r:.80} for its examples, but its description expects "
                    f"{description.predictions!r:.80}: retrain it with the library versions of this server."
                )
        else:
            columns = [
                np.array([""], dtype=object) if feature.datatype == TEXT else np.zeros(1) for feature in self._features
            ]
        for name, method in self._methods.items():
            result = self.run(columns, method)
            shape = [-1, *result.shape[1:]]
            self._output_types.append({"name": name, "datatype": datatype_of(result), "shape": shape})
        started = time.perf_counter()
        self.run(columns, self._methods[OUTPUT])
        self.seconds = time.perf_counter() - started

    def metadata(self) -> dict[str, Any]:
        """The response to GET /v2/models/NAME; the version is that of the description."""
        versions = {"versions": [self.version]} if self.version else {}
        digest = {"digest": self._digest} if self._digest else {}
        return {
            "name": self.name,
            **versions,
            "platform": "",
            # The protocol defines the properties of a model only for gRPC.
            "properties": {"sha256": self._sha256, **digest},
            "inputs": self._input_types,
            "outputs": self._output_types,
        }

    def predict(self, payload: Any) -> NDArray[Any]:
        """The predictions for a v1 request.

        Raises:
            BadRequest: it contains no valid rows for this model.
        """
        try:
            return self.run(columns_from_instances(payload, self._features), self._methods[OUTPUT])
        except InvalidRows as error:
            raise BadRequest(str(error)) from error

    def infer(self, request: InferRequest) -> list[tuple[RequestedOutput, NDArray[Any]]]:
        """The outputs for a v2 request.

        Raises:
            BadRequest: it contains no valid rows for this model, or requests an unknown output.
        """
        outputs = {output.name: output for output in request.outputs} or {
            OUTPUT: RequestedOutput(OUTPUT, request.binary)
        }
        for name in outputs:
            if name not in self._methods:
                known = " or ".join(f"'{known}'" for known in self._methods)
                raise BadRequest(f"The model has no output {name!r:.40}: request {known}.")
        try:
            columns = columns_from_inputs(request.tensors, self._features)
            return [(output, self.run(columns, self._methods[name])) for name, output in outputs.items()]
        except InvalidRows as error:
            raise BadRequest(str(error)) from error

    @property
    def features(self) -> list[Feature]:
        """The features of a row, in order."""
        return self._features

    @property
    def methods(self) -> list[str]:
        """The methods that ``run`` accepts."""
        return ["predict", *(method for method in self._methods.values() if method != "predict")]

    def run(self, columns: Sequence[NDArray[Any]], method: str) -> NDArray[Any]:
        """The result of one of the model's methods, also for batch predictions.

        Raises:
            InvalidRows: the model rejects these rows.
        """
        rows = self._rows(columns)
        try:
            result: NDArray[Any] = np.asarray(getattr(self._estimator, method)(rows))
        except ValueError as error:
            # The model has predicted its examples, so these rows are the reason: a finite number can become infinite
            # by scaling, and a category can be unknown.
            raise InvalidRows(f"The model rejected these rows: {_one_line(error)}") from error
        return result

    def _rows(self, columns: Sequence[NDArray[Any]]) -> Any:
        """The columns as the model was fitted on them: a data frame, numbers, or objects if some are strings."""
        if self._on_data_frame:
            named = zip((feature.name for feature in self._features), columns, strict=True)
            return _LazyPandas().DataFrame(dict(named))
        if all(column.dtype != object for column in columns):
            return np.column_stack(columns)
        rows = np.empty((len(columns[0]), len(columns)), dtype=object)
        for place, column in enumerate(columns):
            rows[:, place] = column
        return rows


def _is_close(expected: Any, predicted: Any) -> bool:
    if isinstance(expected, list) and isinstance(predicted, list):
        return len(expected) == len(predicted) and all(map(_is_close, expected, predicted))
    if isinstance(expected, int | float) and isinstance(predicted, int | float):
        # Another type of processor may round the last digits differently.
        return math.isclose(expected, predicted, rel_tol=1e-6, abs_tol=1e-9)
    return bool(expected == predicted)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
