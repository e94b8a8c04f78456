# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``metadata.json`` beside the model file says of the model.

The training in this repository writes it; the file is described in model/README.md. A folder may also hold
none, or one that another program wrote for itself: then the model file alone says what it takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata as installed
from pathlib import Path
from typing import Any

from .errors import StartError
from .rows import DATATYPES, Feature

FILE = "metadata.json"


@dataclass(frozen=True)
class Description:
    """What the server needs of it.

    names: of the features, empty where it does not say them; inputs: one tensor for all features, or one for each;
    predictions: those that the model must give for the instances.
    """

    version: str
    names: list[str]
    inputs: list[dict[str, Any]]
    instances: list[list[Any]]
    predictions: list[Any]

    def features(self, fitted: Sequence[str] | None, count: int) -> list[Feature]:
        """Name and datatype of each column; where the description has no names, those that the model has.

        Args:
            fitted: the names that the model was fitted with, if it was.
            count: how many features it takes.

        Raises:
            StartError: the inputs do not have a feature.
        """
        names = self.names or fitted
        if len(self.inputs) == 1 and len(self.inputs[0]["shape"]) == 2:
            return [Feature(name, self.inputs[0]["datatype"]) for name in names or generic_names(count)]
        datatypes = {tensor["name"]: tensor["datatype"] for tensor in self.inputs}
        for name in names or ():
            if name not in datatypes:
                raise StartError(
                    f"The model has the feature {name!r:.80}, which its description's inputs do not have: "
                    f"correct them in {FILE}."
                )
        return [Feature(name, datatypes[name]) for name in names or datatypes]


def generic_names(count: int) -> list[str]:
    """What scikit-learn itself calls features that have no names."""
    return [f"x{place}" for place in range(count)]


def read_description(model_file: Path, sha256: str) -> Description | None:
    """The description beside ``model_file``, or None where there is none of this kind.

    Args:
        sha256: of the model file's content, in hexadecimal.

    Raises:
        StartError: the file is broken, or belongs to another model file or another scikit-learn.
    """
    path = model_file.with_name(FILE)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be read ({type(error).__name__}): store the model's version again.") from error
    if not (isinstance(content, dict) and "model_file" in content):
        return None
    try:
        described, libraries = str(content["model_file"]["sha256"]), content.get("libraries", {})
        # A description that does not name it leaves it to the examples whether the model is right here.
        wanted = str(libraries["scikit-learn"]) if "scikit-learn" in libraries else None
        description = _description(content)
    except (KeyError, TypeError, ValueError) as error:
        raise StartError(
            f"{path} does not describe a model as this server knows it ({type(error).__name__}: {error}): "
            "train the model anew."
        ) from error
    if described != sha256:
        raise StartError(
            f"The model file {model_file} has the SHA-256 {sha256} where {FILE} says {described}: "
            "store the model's version again."
        )
    found = installed.version("scikit-learn")
    if wanted and found != wanted:
        raise StartError(
            f"The model file {model_file} was written by scikit-learn {wanted} and this server has {found}: "
            "train the model with that, or serve it with an image that has the other."
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
