# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``metadata.json`` beside the model file says of the model.

The training in this repository writes it; the file is described in model/README.md. A folder may also hold
none, or one that another program wrote for itself: then the model file alone says what it takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata as installed
from pathlib import Path
from typing import Any

from .errors import StartError
from .rows import DATATYPES, Feature

FILE = "metadata.json"


@dataclass(frozen=True)
class Description:
    """What the server needs of it; the predictions are those the model must give for the instances."""

    version: str
    features: list[Feature]
    instances: list[list[Any]]
    predictions: list[Any]


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
        described, wanted = str(content["model_file"]["sha256"]), str(content["libraries"]["scikit-learn"])
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
    if found != wanted:
        raise StartError(
            f"The model file {model_file} was written by scikit-learn {wanted} and this server has {found}: "
            "train the model with that, or serve it with an image that has the other."
        )
    return description


def _description(content: dict[str, Any]) -> Description:
    return Description(
        version=str(content["version"]),
        features=_features(content["features"], content["inputs"]),
        instances=list(content["examples"]["instances"]),
        predictions=list(content["examples"]["predictions"]),
    )


def _features(names: list[str], tensors: list[dict[str, Any]]) -> list[Feature]:
    """Name and datatype of each column: the inputs are one tensor for all features, or one for each."""
    if len(tensors) == 1 and len(tensors[0]["shape"]) == 2:
        datatypes = dict.fromkeys(names, tensors[0]["datatype"])
    else:
        datatypes = {tensor["name"]: tensor["datatype"] for tensor in tensors}
    for name in names:
        if datatypes[name] not in DATATYPES:
            raise ValueError(f"the datatype {datatypes[name]!r:.40} of feature {name!r:.40}")
    return [Feature(str(name), datatypes[name]) for name in names]
