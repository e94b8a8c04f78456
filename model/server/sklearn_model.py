# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scikit-learn model as KServe's server wants it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from kserve import InferRequest, InferResponse, Model
from kserve.utils.numpy_codec import from_np_dtype
from kserve.utils.utils import get_predict_response
from numpy.typing import NDArray

from .errors import BadRequest, StartError
from .rows import InvalidRows, rows_from_instances, rows_from_tensor

EXTENSIONS = (".joblib", ".pkl", ".pickle")
OUTPUT = "output-0"  # the name kserve's get_predict_response gives


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


class SklearnModel(Model):
    """One estimator, or pipeline, that takes rows of numbers.

    Args:
        name: the model's name in the endpoints' paths.
        model_dir: a local folder; in a pod, where the storage initializer has put the model.
    """

    def __init__(self, name: str, model_dir: Path) -> None:
        super().__init__(name)
        self._model_dir = model_dir
        self._estimator: Any = None
        self._features = 0
        self._first_answer: NDArray[Any] = np.empty(0)
        # As in KServe's own server for scikit-learn.
        self._probabilities = os.environ.get("PREDICT_PROBA", "false").lower() == "true"

    def load(self) -> bool:
        """Load the model and let it predict once: only a model that has answered is ready.

        Raises:
            StartError: the folder or the model file is unfit.
        """
        path = find_model_file(self._model_dir)
        try:
            self._estimator = joblib.load(path)
        # Unpickling runs whatever code the file names, so any error can come out of it.
        except Exception as error:
            raise StartError(
                f"The model file {path} cannot be loaded ({type(error).__name__}: {_one_line(error)}): "
                "train it with the scikit-learn of this server."
            ) from error
        features = getattr(self._estimator, "n_features_in_", None)
        if not isinstance(features, int) or not hasattr(self._estimator, self._method):
            raise StartError(
                f"The model file {path} holds no fitted scikit-learn model that takes rows of numbers "
                f"and has {self._method}: store such a model."
            )
        self._features = features
        try:
            self._first_answer = self._run(np.zeros((1, features)))
        except Exception as error:
            raise StartError(
                f"The model in {path} failed at its first prediction ({type(error).__name__}: {_one_line(error)}): "
                "train it with the scikit-learn of this server."
            ) from error
        self.ready = True
        return True

    def validate(self, payload: Any) -> Any:
        """Nothing: kserve checks a little here, ``predict`` checks all and says more."""
        return payload

    def get_input_types(self) -> list[dict[str, Any]]:
        """What GET /v2/models/NAME says of the input."""
        return [{"name": "input-0", "datatype": "FP64", "shape": [-1, self._features]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """What GET /v2/models/NAME says of the output, seen on the first prediction."""
        datatype = from_np_dtype(self._first_answer.dtype)
        return [{"name": OUTPUT, "datatype": datatype, "shape": [-1, *self._first_answer.shape[1:]]}]

    async def predict(
        self,
        payload: Any,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answer a v1 payload (dict) with ``{"predictions": [...]}``, a v2 request with an InferResponse.

        A prediction for a few rows takes less than a millisecond, but one request may hold a
        hundred thousand. In a thread, the event loop goes on answering probes meanwhile.

        Raises:
            BadRequest: the payload holds no rows this model can take.
        """
        return await asyncio.to_thread(self._answer, payload)

    def _answer(self, payload: Any) -> dict[str, Any] | InferResponse:
        try:
            rows = self._rows(payload)
        except InvalidRows as error:
            raise BadRequest(str(error)) from error
        try:
            result = self._run(rows)
        except ValueError as error:
            # The model has answered at its start, so these rows are what it cannot take:
            # a finite number can still become infinite once it is scaled.
            raise BadRequest(f"The model cannot take these rows: {_one_line(error)}") from error
        return get_predict_response(payload, result, self.name)

    def _rows(self, payload: Any) -> NDArray[np.float64]:
        if not isinstance(payload, InferRequest):
            return rows_from_instances(payload, self._features)
        _check_envelope(payload)
        (tensor,) = payload.inputs
        return rows_from_tensor(str(tensor.name), tensor.datatype, tensor.shape, tensor.data, self._features)

    @property
    def _method(self) -> str:
        return "predict_proba" if self._probabilities else "predict"

    def _run(self, rows: NDArray[np.float64]) -> NDArray[Any]:
        result: NDArray[Any] = np.asarray(getattr(self._estimator, self._method)(rows))
        # The v2 protocol calls class names BYTES, for which kserve knows NumPy's objects only, not its strings.
        return result.astype(object) if result.dtype.kind in "US" else result


def _check_envelope(request: InferRequest) -> None:
    """Check what surrounds the tensor: kserve copies it into its answer, and fails on wrong types."""
    if len(request.inputs) != 1:
        raise InvalidRows(f"The request must have exactly one of 'inputs', not {len(request.inputs)}.")
    if not isinstance(request.id, str | None):
        raise InvalidRows("The request's 'id' must be a string.")
    outputs = request.request_outputs or []
    for output in outputs:
        if output.name != OUTPUT:
            raise InvalidRows(f"The model has no output {output.name!r:.40}, only '{OUTPUT}'.")
    for parameters in (request.parameters, *(output.parameters for output in outputs)):
        if not isinstance(parameters, dict | None):
            raise InvalidRows("'parameters' must be an object.")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
