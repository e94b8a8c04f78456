# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON Schema of metadata.json and the example of the documentation agree with what the gate accepts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.metadata import describe
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan
from model.iris.recipe import RECIPE
from model.training import train

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "metadata.schema.json").read_text())
MODEL = b"a model"


@pytest.fixture
def minimal() -> dict[str, Any]:
    """The example of the documentation, for this model file."""
    guide = (ROOT / "docs" / "docsite" / "rst" / "own_model.rst").read_text()
    document: dict[str, Any] = json.JSONDecoder().raw_decode(guide.partition(".. code-block:: json")[2].lstrip())[0]
    file = {"sha256": hashlib.sha256(MODEL).hexdigest(), "size_bytes": len(MODEL)}
    return document | {"model_file": document["model_file"] | file}


def accepted(folder: Path, document: dict[str, Any]) -> bool:
    (folder / "model.pkl").write_bytes(MODEL)
    (folder / "metadata.json").write_text(json.dumps(document))
    try:
        describe(scan(folder), "wine-classifier", "v1")
    except KServeError:
        return False
    return True


def valid(document: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def test_the_schema_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_example_of_the_documentation_is_minimal(tmp_path: Path, minimal: dict[str, Any]) -> None:
    assert valid(minimal)
    assert accepted(tmp_path, minimal)
    for key in minimal:
        less = {name: value for name, value in minimal.items() if name != key}
        assert not valid(less), key
        assert not accepted(tmp_path, less), key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 1),
        ("description", ["words"]),
        ("model_file", {"name": "model.pkl"}),
        ("libraries", {"python": 3.11}),
        ("inputs", []),
        ("inputs", [{"name": "input-0", "datatype": "FLOAT", "shape": [-1, 2]}]),
        ("outputs", [{"name": "output-0", "datatype": "INT64", "shape": []}]),
        ("outputs", [{"name": "output-0", "datatype": "INT64", "shape": [-2]}]),
        ("examples", {"instances": [[1, 2]]}),
        ("examples", {"instances": [], "predictions": []}),
    ],
)
def test_the_schema_rejects_what_the_gate_rejects(
    tmp_path: Path, minimal: dict[str, Any], key: str, value: Any
) -> None:
    assert not valid(minimal | {key: value})
    assert not accepted(tmp_path, minimal | {key: value})


def test_the_metadata_of_the_training_is_valid() -> None:
    written = json.loads(train(RECIPE, RECIPE.load(42), "v1", 42, 0.95)["metadata.json"])
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
