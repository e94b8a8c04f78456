# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models are asked and which are measured; their tolerance is that of the gate and of the model server."""

from __future__ import annotations

import json
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.codec import (
    Tolerance,
    first_difference,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate import sandbox
from tests.unit.ansible_run import environment, exit_code_and_output
from tests.unit.plugins.module_utils.scripted_server import Authority, Connection, Server

TASKS = Path(__file__).resolve().parents[3] / "roles" / "model_verification" / "tasks" / "smoke_test.yml"


def tolerance() -> Tolerance:
    """The tolerance that the role passes to inference_smoke_test."""
    found = [task["hashfoundry.kserve.inference_smoke_test"]["tolerance"] for task in yaml.safe_load(TASKS.read_text())]
    assert found[0] == found[1]
    return Tolerance(**found[0])


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        (412.123456789, 412.123456788),
        (412.1, 412.11),
        (0.0, 1e-10),
        (0.0, 1e-6),
        ([0.25, 0.75], [0.2500000001, 0.7499999999]),
        ([0.25, 0.75], [0.26, 0.74]),
        (2, 2),
        (2, 1),
        ("setosa", "setosa"),
        ("setosa", "virginica"),
    ],
)
def test_predictions_are_compared_as_in_the_gate(wanted: Any, got: Any) -> None:
    assert (first_difference([wanted], [got], tolerance()) is None) is sandbox._agree([wanted], [got])


NAMES = ("iris", "churn", "prices", "inner")


def verified(folder: Path, *, wrong: str = "", **variables: Any) -> tuple[int, str, Counter[tuple[str, str]]]:
    """Run the role for three models and one that is not exposed; return what was asked of each, by its path's end.

    :param wrong: the model that predicts something else.
    """
    authority = Authority(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.sign("*.models.example.com"))
    asked: Counter[tuple[str, str]] = Counter()

    def model_server(connection: Connection, _number: int) -> None:
        while (request := connection.request()) is not None:
            path = request[0].split()[1]
            host = request[0].partition("Host: ")[2].partition(".")[0]
            asked[host, path.rpartition("/")[2]] += 1
            value = 1e-05 if host != wrong else 2
            answer = {"predictions": [value], "outputs": [{"name": "output-0", "datatype": "FP64", "data": [value]}]}
            connection.answer(json.dumps(answer).encode())

    models = []
    for name in NAMES:
        (folder / name).mkdir()
        examples = {"instances": [[1e-05, 3.5]], "predictions": [1e-05]}
        (folder / name / "metadata.json").write_text(json.dumps({"examples": examples}))
        source = {"source": {"folder": str(folder / name)}, "format": "sklearn", "runtime": "kserve-sklearnserver"}
        models.append({"name": name, "version": "v1", **source, **({"exposure": "none"} if name == "inner" else {})})
    with Server(model_server, context) as server:
        given = {
            "platform_models": models,
            "platform_domain": "models.example.com",
            "model_verification_bucket": None,
            "model_verification_address": "127.0.0.1",
            "model_verification_port": server.port,
            "model_verification_ca_file": authority.path,
            "model_verification_requests": 20,
            "model_verification_warmup": 5,
            "model_verification_thresholds": {},
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        play = {"hosts": "localhost", "gather_facts": False, "roles": ["hashfoundry.kserve.model_verification"]}
        (folder / "play.yml").write_text(yaml.safe_dump([play]))
        env = environment("K8S_", "HASHFOUNDRY_", HOME=str(folder))
        code, output = exit_code_and_output(
            "ansible-playbook", "play.yml", "-e", json.dumps(given), folder=folder, env=env
        )
    return code, output, asked


LOADS: dict[str, tuple[dict[str, Any], set[str]]] = {
    # variables, and the models that are measured
    "verify.yml by itself": ({}, {"iris", "churn", "prices"}),
    "nothing changed": ({"model_serving_changed": []}, set()),
    "one changed": ({"model_serving_changed": ["churn", "inner"]}, {"churn"}),
    "always": ({"model_serving_changed": [], "model_verification_load": "always"}, {"iris", "churn", "prices"}),
    "never": ({"model_serving_changed": ["churn"], "model_verification_load": "never"}, set()),
}


@pytest.mark.parametrize("case", LOADS)
def test_all_models_are_asked_and_those_that_have_changed_are_measured(tmp_path: Path, case: str) -> None:
    variables, measured = LOADS[case]
    code, output, asked = verified(tmp_path, **variables)
    assert code == 0, output
    for name in NAMES[:3]:
        load = 1 + 20 + 5 if name in measured else 0  # a prediction before it, and the warm-up
        assert asked[name, f"{name}:predict"] == asked[name, "infer"] == 1 + load, (name, asked)
    assert not [name for name, _path in asked if name == "inner"]


def test_a_wrong_prediction_of_an_unchanged_model_fails(tmp_path: Path) -> None:
    code, output, asked = verified(tmp_path, wrong="prices", model_serving_changed=[])
    assert code == 2 and "Model prices predicts other values than expected" in " ".join(output.split())
    assert asked["churn", "infer"] == 1
