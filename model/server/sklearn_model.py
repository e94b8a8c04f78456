# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scikit-learn model: loading, validation and predictions."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .description import Description, read_description
from .digest import read_digest
from .errors import BadRequest, StartError
from .estimator import PROBABILITIES, Estimator, NotServable, Output, by_row
from .joint import Call
from .protocol import InferRequest, RequestedOutput, json_values
from .rows import (
    Columns,
    Feature,
    InvalidRows,
    columns_from_inputs,
    columns_from_instances,
    datatype_of_floats,
    has_missing,
)
from .trial import is_independent, rows_like

EXTENSIONS = (".joblib", ".pkl", ".pickle")
# A model is slow if it takes longer for its examples. With the second limit it is tried after the start of the server.
SLOW_SECONDS, TOO_SLOW_SECONDS = 0.005, 0.2
# How many rows are predicted to find whether rows are independent of each other: many by a model that takes less time.
MANY, FEW, FEW_SECONDS = 24, 6, 0.001

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ModelInput(Generic[Result]):
    """What a request needs from the model: the results of methods for columns.

    answer: makes the predictions of the results.
    """

    columns: Columns
    methods: tuple[str, ...]
    answer: Callable[[Mapping[str, Sequence[NDArray[Any]]]], Result]

    def predict(self, call: Call) -> Result:
        """The answer by calls for this request alone."""
        return self.answer({method: call(self.columns, method) for method in self.methods})


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
        self._estimator: Estimator | None = None
        self._features: list[Feature] = []
        self._floats: str | None = None
        self.version: str | None = None
        self._sha256 = ""
        self.digest: str | None = None
        self._input_types: list[dict[str, Any]] = []
        self._output_types: list[dict[str, Any]] = []
        # As in KServe's sklearnserver.
        probabilities = os.environ.get("PREDICT_PROBA", "false").lower() == "true"
        self._default = PROBABILITIES if probabilities else "predict"
        self._outputs: dict[str, Output] = {}
        # Examples with missing values; by method, and whether there are missing values, whether rows are independent.
        self._with_missing: list[NDArray[Any]] = []
        self._independent: dict[tuple[str, bool], bool] = {}

    def load(self) -> None:
        """Load the model and predict once, because only a model that predicts is ready.

        Raises:
            StartError: the folder, the description or the model file is invalid.
        """
        path = find_model_file(self._model_dir)
        try:
            with path.open("rb") as stream:
                self._sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            self.digest = read_digest(path, self._sha256, os.environ.get("MODEL_DIGEST"))
            description = read_description(path, self._sha256)
            model = import_module("joblib").load(path)
        except StartError:
            raise
        # Unpickling runs code of the file, so any error is possible.
        except Exception as error:
            raise StartError(
                f"The model file {path} cannot be loaded ({type(error).__name__}: {_one_line(error)}): "
                "retrain it with the scikit-learn version of this server."
            ) from error
        try:
            known = (description.width, description.texts) if description else (None, None)
            estimator = Estimator(model, self._default, *known)
            self._estimator = estimator
            self._set_features(path, description, estimator)
            self._predict_examples(path, description, estimator)
        except StartError:
            raise
        except NotServable as error:
            raise StartError(f"The model in {path} cannot be served: {error}.") from error
        except Exception as error:
            raise StartError(
                f"The model in {path} failed at its first prediction ({type(error).__name__}: {_one_line(error)}): "
                "retrain it with the scikit-learn version of this server."
            ) from error

    def _set_features(self, path: Path, description: Description | None, estimator: Estimator) -> None:
        count = len(estimator.columns)
        if description:
            self.version = description.version
            described = description.features(estimator.names, count)
            self._input_types = description.inputs
            if len(described) != count:
                raise StartError(
                    f"The model in {path} has {count} features, but its description lists {len(described)}: retrain it."
                )
            estimator.assume([feature.datatype for feature in described])
        else:
            described = [Feature(column.name, column.datatype) for column in estimator.columns]
            self._input_types = input_types(described)
        self._features = [
            Feature(feature.name, feature.datatype, column.ignored and not description, partial(estimator.missing, n))
            for n, (feature, column) in enumerate(zip(described, estimator.columns, strict=True))
        ]
        self._floats = datatype_of_floats(self._features)

    def _predict_examples(self, path: Path, description: Description | None, estimator: Estimator) -> None:
        """Predict the examples of the description, or a row that the model accepts, and set the outputs."""
        if description and description.instances:
            # What comes first, since finding what stands for null needs rows without it.
            known = [row for row in description.instances if not has_null(row)]
            if known:
                estimator.typical(list(columns_from_instances({"instances": known}, self._features)))
            columns = columns_from_instances({"instances": description.instances}, self._features)
            self._with_missing = list(columns) if has_missing(columns) else []
            predicted = self.run(columns, "predict").tolist()
            if not _is_close(description.predictions, predicted):
                raise StartError(
                    f"The model in {path} predicts {predicted!r:.80} for its examples, but its description expects "
                    f"{description.predictions!r:.80}: retrain it with the library versions of this server."
                )
        columns = estimator.typical(method=self._default)
        self._outputs = {output.name: output for output in estimator.outputs(self._default)}
        self._output_types = [
            {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
            for output in self._outputs.values()
        ]
        # Again, if it was slow, since a busy machine makes the first slow.
        self.seconds = math.inf
        for _attempt in range(3):
            started = time.perf_counter()
            estimator.run(columns, self._default)
            self.seconds = min(self.seconds, time.perf_counter() - started)
            if not self.is_slow:
                break

    @property
    def is_slow(self) -> bool:
        """Whether a prediction takes so long that other requests should not wait for it."""
        return self.seconds > SLOW_SECONDS

    def metadata(self) -> dict[str, Any]:
        """The response to GET /v2/models/NAME; the version is that of the description."""
        versions = {"versions": [self.version]} if self.version else {}
        digest = {"digest": self.digest} if self.digest else {}
        return {
            "name": self.name,
            **versions,
            "platform": "",
            # The protocol defines the properties of a model only for gRPC.
            "properties": {"sha256": self._sha256, **digest},
            "inputs": self._input_types,
            "outputs": self._output_types,
        }

    def predict(self, payload: Any) -> list[Any]:
        """The predictions for a v1 request, one for each row.

        Raises:
            BadRequest: it contains no valid rows for this model.
            NotFinite: a prediction is NaN or infinity.
        """
        return self.instances(payload).predict(self.call)

    def infer(self, request: InferRequest) -> list[tuple[RequestedOutput, NDArray[Any]]]:
        """The outputs for a v2 request.

        Raises:
            BadRequest: it contains no valid rows for this model, or requests an unknown output.
        """
        return self.tensors(request).predict(self.call)

    def instances(self, payload: Any) -> ModelInput[list[Any]]:
        """The input of a v1 request; its answer has the predictions, one for each row.

        Raises:
            BadRequest: it contains no valid rows for this model.
        """
        try:
            columns = columns_from_instances(payload, self._features, self._floats)
        except InvalidRows as error:
            raise BadRequest(str(error), error.reason) from error
        return ModelInput(columns, (self._default,), self._by_row)

    def _by_row(self, results: Mapping[str, Sequence[NDArray[Any]]]) -> list[Any]:
        return by_row([json_values(array, "predictions") for array in results[self._default]])

    def tensors(self, request: InferRequest) -> ModelInput[list[tuple[RequestedOutput, NDArray[Any]]]]:
        """The input of a v2 request; its answer has the outputs.

        Raises:
            BadRequest: it contains no valid rows for this model, or requests an unknown output.
        """
        # By default those of one method, of which there are several for several targets.
        requested = {output.name: output for output in request.outputs} or {
            output.name: RequestedOutput(output.name, request.binary)
            for output in self._outputs.values()
            if output.name.startswith("output-")
        }
        for name in requested:
            if name not in self._outputs:
                known = " or ".join(f"'{known}'" for known in self._outputs)
                raise BadRequest(f"The model has no output {name!r:.40}: request {known}.", "UnknownOutput")
        try:
            columns = columns_from_inputs(request.tensors, self._features, self._floats)
        except InvalidRows as error:
            raise BadRequest(str(error), error.reason) from error
        methods = tuple(dict.fromkeys(self._outputs[name].method for name in requested))
        return ModelInput(columns, methods, partial(self._chosen, requested))

    def _chosen(
        self, requested: Mapping[str, RequestedOutput], results: Mapping[str, Sequence[NDArray[Any]]]
    ) -> list[tuple[RequestedOutput, NDArray[Any]]]:
        found = [(output, self._outputs[name]) for name, output in requested.items()]
        return [(output, results[known.method][known.target]) for output, known in found]

    def try_together(self) -> None:
        """Find whether rows are independent of each other, before the first request."""
        for missing in (False, True) if self._with_missing else (False,):
            if self.seconds < TOO_SLOW_SECONDS:
                self._try_independent(self._default, missing)
            else:
                self._try_later(self._default, missing)

    def is_independent(self, columns: Columns, method: str) -> bool:
        """Whether the results of a method for these columns are the same, whatever other rows a call has."""
        key = method, has_missing(columns)
        if key not in self._independent:
            (self._try_later if self.is_slow else self._try_independent)(*key)
        return self._independent[key]

    def _try_later(self, method: str, missing: bool) -> None:
        """Predict each request alone until a thread has found whether they may be predicted together."""
        self._independent[method, missing] = False
        Thread(target=self._try_independent, args=(method, missing), daemon=True).start()

    def _try_independent(self, method: str, missing: bool) -> None:
        estimator = self._estimator
        assert estimator
        examples = self._with_missing if missing else estimator.typical()
        rows = rows_like(examples, estimator.columns, estimator.texts) if examples else iter(())
        try:
            found = is_independent(estimator.run, method, rows, FEW if self.seconds > FEW_SECONDS else MANY)
        except Exception:
            # Requests are predicted one by one, as without the trial.
            logger.warning("Whether requests can be predicted together was not found (%s)", method, exc_info=True)
            found = False
        self._independent[method, missing] = found
        which, how = " with missing values" * missing, "together" if found else "one by one"
        logger.info("Requests%s that wait at the same time are predicted %s (%s)", which, how, method)

    @property
    def features(self) -> list[Feature]:
        """The features of a row, in order."""
        return self._features

    @property
    def methods(self) -> list[str]:
        """The methods that ``run`` accepts."""
        return list(dict.fromkeys(["predict", *(output.method for output in self._outputs.values())]))

    def run(self, columns: Columns, method: str) -> NDArray[Any]:
        """The result of one of the model's methods, also for batch predictions.

        The probabilities of several targets are beside each other, in the order of the targets.

        Raises:
            InvalidRows: the model rejects these rows.
        """
        try:
            arrays = self.call(columns, method)
        except BadRequest as error:
            raise InvalidRows(str(error), error.reason) from error
        result: NDArray[Any] = arrays[0] if len(arrays) == 1 else np.hstack(arrays)
        return result

    def call(self, columns: Columns, method: str) -> list[NDArray[Any]]:
        """The results of one of the model's methods, one for each target.

        Raises:
            BadRequest: the model rejects these rows.
        """
        assert self._estimator
        try:
            return self._estimator.run(columns, method)
        except ValueError as error:
            # The model has predicted its examples, so these rows are the reason: a finite number can become infinite
            # by scaling, and a category can be unknown.
            raise BadRequest(f"The model rejected these rows: {_one_line(error)}", "RejectedByModel") from error


def input_types(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """The inputs of a model without a description: one tensor if all are numbers, else one for each feature."""
    if all(feature.datatype == "FP64" for feature in features):
        return [{"name": "input-0", "datatype": "FP64", "shape": [-1, len(features)]}]
    return [{"name": feature.name, "datatype": feature.datatype, "shape": [-1]} for feature in features]


def has_null(row: Any) -> bool:
    """Whether a row of examples has a missing value."""
    values = row.values() if isinstance(row, dict) else row if isinstance(row, list) else [row]
    return any(value is None for value in values)


def _is_close(expected: Any, predicted: Any) -> bool:
    if isinstance(expected, list) and isinstance(predicted, list):
        return len(expected) == len(predicted) and all(map(_is_close, expected, predicted))
    if isinstance(expected, int | float) and isinstance(predicted, int | float):
        # Another type of processor may round the last digits differently.
        return math.isclose(expected, predicted, rel_tol=1e-6, abs_tol=1e-9)
    return bool(expected == predicted)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
