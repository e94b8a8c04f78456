#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the metadata.json of a model folder."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_metadata
short_description: Write the metadata.json of a scikit-learn model
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Writes C(metadata.json) next to the model file of a folder, as M(hashfoundry.kserve.spaces_upload) validates it and
    the model server reads it.
  - The model is loaded in a process without network. Features, their datatypes and categories, classes, inputs and
    outputs are read from the fitted model, versions from the interpreter that loads it, SHA-256 and size from the file.
  - The expected predictions and probabilities of the examples are those of the model itself. They verify that the
    served model predicts the same as the stored one, not that its predictions are right. Without examples the module
    chooses one row that the model accepts.
  - The module describes any fitted classifier, regressor or pipeline with C(predict). It rejects a model that no server
    can serve, with the reason.
notes:
  - A model is a pickle, and a pickle is code. This module runs it. See the notes of
    M(hashfoundry.kserve.spaces_upload) on what O(gate.isolated) prevents.
  - C(python -m model.describe model.pkl --name NAME --version VERSION) does the same without Ansible.
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  source:
    description:
      - Folder with exactly one C(*.joblib), C(*.pkl) or C(*.pickle), on the host that runs the module.
      - If it contains a C(metadata.json), all keys that the module does not write are retained, such as how the model
        was trained. So are the rows of its C(examples), if neither O(examples) nor O(examples_path) is set.
    type: path
    required: true
  name:
    description: Name of the model.
    type: str
    required: true
  version:
    description: Version of the model.
    type: str
    required: true
  description:
    description: What the model is for, in words.
    type: str
  examples:
    description:
      - Rows to predict, each a list in the order of the features, or a dictionary with a value for each feature's name.
        For a model of text each is a string. A missing value is null.
    type: list
    elements: raw
  examples_path:
    description:
      - A CSV file in UTF-8 with the columns' names in its first line, of which the first ten rows are the examples.
      - For a model that was fitted on a data frame, other columns than those of the data frame are ignored. For any
        other model the columns are its features in their order, and the names of the columns become the names of the
        features.
      - An empty value is a missing one.
    type: path
  gate:
    description: How the model is loaded, as O(hashfoundry.kserve.spaces_upload#module:gate).
    type: dict
    default: {}
    suboptions:
      isolated:
        description: As O(hashfoundry.kserve.spaces_upload#module:gate.isolated).
        type: bool
        default: true
      python:
        description: As O(hashfoundry.kserve.spaces_upload#module:gate.python).
        type: path
      timeout:
        description: As O(hashfoundry.kserve.spaces_upload#module:gate.timeout).
        type: float
        default: 60.0
      memory:
        description: As O(hashfoundry.kserve.spaces_upload#module:gate.memory).
        type: str
        default: 2Gi
seealso:
  - module: hashfoundry.kserve.spaces_upload
"""

EXAMPLES = r"""
- name: Describe a model
  hashfoundry.kserve.model_metadata:
    source: /srv/models/iris/v1
    name: iris
    version: v1
    description: Species of iris by the size of the flower
    examples:
      - [5.1, 3.5, 1.4, 0.2]
      - [6.7, 3.0, 5.2, 2.3]

- name: Describe a model with rows of its test data, under the packages of the serving image
  hashfoundry.kserve.model_metadata:
    source: /srv/models/churn/v1
    name: churn
    version: v1
    examples_path: /srv/data/churn-test.csv
    gate:
      python: /srv/serving-environment/bin/python
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
  sample: /srv/models/iris/v1/metadata.json
metadata:
  description: Its content.
  type: dict
  returned: success
  sample: {name: iris, version: v1, model_format: sklearn}
output:
  description: The end of the model's output while it was loaded, with secrets masked.
  type: str
  returned: when the model was rejected and printed something
  sample: "ModuleNotFoundError: No module named 'xgboost'"
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: ModelRejected
"""

from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.describe import (
    PACKAGES,
    Request,
    describe_model,
    result,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.gate import trial_of
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import (
    LOAD_ARGUMENTS,
    GateOptions,
    OptionNames,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "source": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "description": {"type": "str"},
    "examples": {"type": "list", "elements": "raw"},
    "examples_path": {"type": "path"},
    "gate": {"type": "dict", "options": LOAD_ARGUMENTS, "default": {}},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Have the folder contain the metadata.json that describes its model."""
    names = {key: options[key] for key in ("name", "version", "description", "examples")}
    rows = options["examples_path"]
    request = Request(Path(options["source"]), examples_file=Path(rows) if rows else None, **names)
    gate = GateOptions(**options["gate"], names=OptionNames(not_loaded=""))
    before, after = describe_model(request, trial_of(gate, PACKAGES))
    return result(request, before, after, run.check_mode, run.diff)


USE_CASE = UseCase(ARGUMENT_SPEC, run, {"mutually_exclusive": [("examples", "examples_path")]})


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
