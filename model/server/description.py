# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of the model in ``metadata.json``, in the same folder as the model file.

The training in this repository writes the file, and model/README.md describes it. If the file is missing or has
another format, the features are read from the model file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata as installed
from pathlib import Path
from typing import Any

from .errors import StartError
from .estimator import generic_names
from .rows import DATATYPES, TEXT, Feature

FILE = "metadata.json"


@dataclass(frozen=True)
class Description:
    """The part of ``metadata.json`` that the server needs.

    names: the feature names, or empty; inputs: one tensor for all features, or one per feature; predictions: the
    expected predictions for the instances.
    """

    version: str
    names: list[str]
    inputs: list[dict[str, Any]]
    instances: list[list[Any]]
    predictions: list[Any]

    @property
    def width(self) -> int:
        """The number of features, as far as the description has it."""
        if self.names:
            return len(self.names)
        shape = self.inputs[0]["shape"] if len(self.inputs) == 1 else []
        return int(shape[1]) if len(shape) == 2 and shape[1] > 0 else len(self.inputs)

    @property
    def texts(self) -> bool:
        """Whether all values are strings."""
        return all(tensor["datatype"] == TEXT for tensor in self.inputs)

    def features(self, fitted: Sequence[str] | None, count: int) -> list[Feature]:
        """Name and datatype of each column; defaults to the names that the model was fitted with.

        Args:
            fitted: the names that the model was fitted with, or None.
            count: the number of features of the model.

        Raises:
            StartError: a feature is missing in the inputs.
        """
        names = self.names or fitted
        if len(self.inputs) == 1 and len(self.inputs[0]["shape"]) == 2:
            return [Feature(name, self.inputs[0]["datatype"]) for name in names or generic_names(count)]
        datatypes = {tensor["name"]: tensor["datatype"] for tensor in self.inputs}
        for name in names or ():
            if name not in datatypes:
                raise StartError(f"The feature {name!r:.80} of the model is missing in the inputs of {FILE}: add it.")
        return [Feature(name, datatypes[name]) for name in names or datatypes]


def read_description(model_file: Path, sha256: str) -> Description | None:
    """The description of ``model_file``, or None if it is missing or has another format.

    Args:
        sha256: of the model file's content, in hexadecimal.

    Raises:
        StartError: the description is invalid, or does not match the model file or the scikit-learn version.
    """
    path = model_file.with_name(FILE)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be read ({type(error).__name__}): upload the version again.") from error
    if not (isinstance(content, dict) and "model_file" in content):
        return None
    try:
        described, libraries = str(content["model_file"]["sha256"]), content.get("libraries", {})
        # Without a version only the examples are checked.
        required = str(libraries["scikit-learn"]) if "scikit-learn" in libraries else None
        description = _description(content)
    except (KeyError, TypeError, ValueError) as error:
        raise StartError(
            f"{path} is not a valid model description ({type(error).__name__}: {error}): retrain the model."
        ) from error
    if described != sha256:
        raise StartError(
            f"The model file {model_file} has the SHA-256 {sha256} but {FILE} contains {described}: "
            "upload the version again."
        )
    found = installed.version("scikit-learn")
    if required and found != required:
        raise StartError(
            f"The model file {model_file} was written by scikit-learn {required}, but this server has {found}: "
            f"retrain the model with {found}, or serve it with an image that has {required}."
        )
    return description


def _description(content: dict[str, Any]) -> Description:
    inputs = [
        {"name": str(tensor["name"]), "datatype": tensor["datatype"], "shape": list(tensor["shape"])}
        for tensor in content["inputs"]
    ]
    for tensor in inputs:
        if tensor["datatype"] not in DATATYPES:
            raise ValueError(f"the datatype {tensor['datatype']!r:.40} of input {tensor['name']!r:.40}")
    return Description(
        version=str(content["version"]),
        names=[str(name) for name in content.get("features") or ()],
        inputs=inputs,
        instances=list(content["examples"]["instances"]),
        predictions=list(content["examples"]["predictions"]),
    )
