# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scikit-learn model as KServe's server wants it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.utils.numpy_codec import from_np_dtype
from kserve.utils.utils import generate_uuid
from numpy.typing import NDArray

from .description import Description, read_description
from .errors import BadRequest, StartError
from .rows import TEXT, Feature, InvalidRows, Tensor, columns_from_inputs, columns_from_instances

EXTENSIONS = (".joblib", ".pkl", ".pickle")
# The outputs' names: of what the model answers by default as KServe's own server for scikit-learn calls it, and
# of the probabilities as MLServer, KServe's other one, does.
OUTPUT = "output-0"
PROBABILITIES = "predict_proba"


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
    """One estimator, or pipeline, that takes rows of numbers and texts.

    Args:
        name: the model's name in the endpoints' paths.
        model_dir: a local folder; in a pod, where the storage initializer has put the model.
    """

    def __init__(self, name: str, model_dir: Path) -> None:
        super().__init__(name)
        self._model_dir = model_dir
        self._estimator: Any = None
        self._framed = False
        self._features: list[Feature] = []
        self._version: str | None = None
        self._sha256 = ""
        self._output_types: list[dict[str, Any]] = []
        # As in KServe's own server for scikit-learn.
        probabilities = os.environ.get("PREDICT_PROBA", "false").lower() == "true"
        self._methods = {OUTPUT: "predict_proba" if probabilities else "predict"}

    def load(self) -> bool:
        """Load the model and let it predict once: only a model that has answered is ready.

        Raises:
            StartError: the folder, the description or the model file is unfit.
        """
        path = find_model_file(self._model_dir)
        try:
            with path.open("rb") as stream:
                self._sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            description = read_description(path, self._sha256)
            self._estimator = joblib.load(path)
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
        self.ready = True
        return True

    def _take_features(self, path: Path, description: Description | None) -> None:
        count = getattr(self._estimator, "n_features_in_", None)
        if not isinstance(count, int) or not hasattr(self._estimator, self._methods[OUTPUT]):
            raise StartError(
                f"The model file {path} holds no fitted scikit-learn model that takes rows of features "
                f"and has {self._methods[OUTPUT]}: store such a model."
            )
        # A model fitted on a pandas data frame finds its columns by name.
        self._framed = hasattr(self._estimator, "feature_names_in_")
        if description:
            self._version, self._features = description.version, description.features
        else:
            # Else scikit-learn itself calls them x0, x1 and so on.
            names = self._estimator.feature_names_in_ if self._framed else [f"x{place}" for place in range(count)]
            self._features = [Feature(str(name)) for name in names]
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
            predicted = self._run(columns, "predict").tolist()
            if predicted != description.predictions:
                raise StartError(
                    f"The model in {path} predicts {predicted!r:.80} for its own examples where its description says "
                    f"{description.predictions!r:.80}: train it with the versions of this server's libraries."
                )
        else:
            columns = [
                np.array([""], dtype=object) if feature.datatype == TEXT else np.zeros(1) for feature in self._features
            ]
        for name, method in self._methods.items():
            answer = self._run(columns, method)
            shape = [-1, *answer.shape[1:]]
            self._output_types.append({"name": name, "datatype": from_np_dtype(answer.dtype), "shape": shape})

    def validate(self, payload: Any) -> Any:
        """Nothing: kserve checks a little here, ``predict`` checks all and says more."""
        return payload

    def get_input_types(self) -> list[dict[str, Any]]:
        """What GET /v2/models/NAME says of the inputs: one tensor where all features are floats, else one for each."""
        if all(feature.datatype == "FP64" for feature in self._features):
            return [{"name": "input-0", "datatype": "FP64", "shape": [-1, len(self._features)]}]
        return [{"name": feature.name, "datatype": feature.datatype, "shape": [-1]} for feature in self._features]

    def get_output_types(self) -> list[dict[str, Any]]:
        """What GET /v2/models/NAME says of the outputs, seen on the first prediction."""
        return self._output_types

    def identity(self) -> dict[str, Any]:
        """What GET /v2/models/NAME says of which model this is; the version is known from the description only."""
        versions = {"versions": [self._version]} if self._version else {}
        # The protocol names a model's properties in its gRPC form only.
        return {**versions, "properties": {"sha256": self._sha256}}

    async def predict(
        self,
        payload: Any,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answer a v1 payload (dict) with ``{"predictions": [...]}``, a v2 request with an InferResponse.

        A prediction for a few rows takes a millisecond, but one request may hold a
        hundred thousand. In a thread, the event loop goes on answering probes meanwhile.

        Raises:
            BadRequest: the payload holds no rows this model can take.
        """
        return await asyncio.to_thread(self._answer, payload)

    def _answer(self, payload: Any) -> dict[str, Any] | InferResponse:
        try:
            if isinstance(payload, InferRequest):
                return self._answer_request(payload)
            columns = columns_from_instances(payload, self._features)
            return {"predictions": self._run(columns, self._methods[OUTPUT]).tolist()}
        except InvalidRows as error:
            raise BadRequest(str(error)) from error

    def _answer_request(self, request: InferRequest) -> InferResponse:
        _check_envelope(request, list(self._methods))
        tensors = [Tensor(str(tensor.name), tensor.datatype, tensor.shape, tensor.data) for tensor in request.inputs]
        columns = columns_from_inputs(tensors, self._features)
        outputs = []
        for name in dict.fromkeys(output.name for output in request.request_outputs or []) or [OUTPUT]:
            result = self._run(columns, self._methods[name])
            output = InferOutput(name, list(result.shape), from_np_dtype(result.dtype))
            output.set_data_from_numpy(result, binary_data=request.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            response_id=request.id or generate_uuid(),
            model_name=self.name,
            model_version=self._version,
            infer_outputs=outputs,
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )

    def _run(self, columns: Sequence[NDArray[Any]], method: str) -> NDArray[Any]:
        """The result of one of the model's methods.

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
        # The v2 protocol calls class names BYTES, for which kserve knows NumPy's objects only, not its strings.
        return result.astype(object) if result.dtype.kind in "US" else result

    def _rows(self, columns: Sequence[NDArray[Any]]) -> Any:
        """The columns as the model was fitted on them: a data frame, numbers, or objects where there are texts."""
        if self._framed:
            return pd.DataFrame({feature.name: column for feature, column in zip(self._features, columns, strict=True)})
        if all(column.dtype != object for column in columns):
            return np.column_stack(columns)
        rows = np.empty((len(columns[0]), len(columns)), dtype=object)
        for place, column in enumerate(columns):
            rows[:, place] = column
        return rows


def _check_envelope(request: InferRequest, names: list[str]) -> None:
    """Check what surrounds the tensors: kserve copies it into its answer, and fails on wrong types."""
    if not isinstance(request.id, str | None):
        raise InvalidRows("The request's 'id' must be a string.")
    outputs = request.request_outputs or []
    for output in outputs:
        if output.name not in names:
            known = " and ".join(f"'{name}'" for name in names)
            raise InvalidRows(f"The model has no output {output.name!r:.40}, only {known}.")
    for parameters in (request.parameters, *(output.parameters for output in outputs)):
        if not isinstance(parameters, dict | None):
            raise InvalidRows("'parameters' must be an object.")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
