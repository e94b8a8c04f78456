# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role verifies and what it measures; its tolerance is that of the gate and of the model server."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Iterator
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
    tasks = [task.get("hashfoundry.kserve.inference_smoke_test") for task in yaml.safe_load(TASKS.read_text())]
    found = [options["tolerance"] for options in tasks if options]
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
    requests: Counter[tuple[str, str]] = Counter()

    def model_server(connection: Connection, _number: int) -> None:
        while (request := connection.request()) is not None:
            path = request[0].split()[1]
            host = request[0].partition("Host: ")[2].partition(".")[0]
            requests[host, path.rpartition("/")[2]] += 1
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
    return code, output, requests


LOADS: dict[str, tuple[dict[str, Any], set[str]]] = {
    # variables, and the models that are measured
    "verify.yml by itself": ({}, {"iris", "churn", "prices"}),
    "nothing changed": ({"model_serving_changed": []}, set()),
    "one changed": ({"model_serving_changed": ["churn", "inner"]}, {"churn"}),
    "always": ({"model_serving_changed": [], "model_verification_load": "always"}, {"iris", "churn", "prices"}),
    "never": ({"model_serving_changed": ["churn"], "model_verification_load": "never"}, set()),
}


@pytest.mark.parametrize("case", LOADS)
def test_all_models_are_queried_and_changed_ones_are_load_tested(tmp_path: Path, case: str) -> None:
    variables, measured = LOADS[case]
    code, output, requests = verified(tmp_path, **variables)
    assert code == 0, output
    for name in NAMES[:3]:
        load = 1 + 20 + 5 if name in measured else 0  # a prediction before it, and the warm-up
        assert requests[name, f"{name}:predict"] == requests[name, "infer"] == 1 + load, (name, requests)
    assert not [name for name, _path in requests if name == "inner"]


def test_a_wrong_prediction_of_an_unchanged_model_fails(tmp_path: Path) -> None:
    code, output, requests = verified(tmp_path, wrong="prices", model_serving_changed=[])
    assert code == 2 and "Model prices predicts other values than expected" in " ".join(output.split())
    assert requests["churn", "infer"] == 1


class ModelServer:
    """A server of both protocols whose model predicts 1, behind TLS; paths: what was requested of it."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[str] = []
        self._lock = threading.Lock()
        authority = Authority(folder)
        self.ca_file = authority.path
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.sign("iris.models.example.com"))
        self.server = Server(self._answer, context)

    def _answer(self, connection: Connection, _number: int) -> None:
        while request := connection.request():
            path = request[0].split()[1]
            with self._lock:
                self.paths.append(path)
            if path.endswith(":predict"):
                connection.answer(b'{"predictions": [1]}')
            elif path.endswith("/infer"):
                output = {"name": "output-0", "datatype": "INT64", "shape": [1], "data": [1]}
                connection.answer(json.dumps({"model_name": "iris", "outputs": [output]}).encode())
            elif path in ("/v1/models/iris", "/v2/health/live", "/v2/health/ready", "/v2/models/iris/ready"):
                connection.answer(b'{"name": "iris", "ready": true}')
            else:
                connection.answer(b"{}", "404 Not Found")


@pytest.fixture
def model_server(tmp_path: Path) -> Iterator[ModelServer]:
    found = ModelServer(tmp_path)
    with found.server:
        yield found


PLAY = """
- hosts: localhost
  gather_facts: false
  roles: [hashfoundry.kserve.model_verification]
"""


def verify(folder: Path, server: ModelServer, entry: dict[str, Any], *words: str) -> tuple[int, str]:
    """Run the role for one model, and return the exit code and the output in one line."""
    (folder / "play.yml").write_text(PLAY)
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
    variables = {
        "models": [model | entry],
        "model_verification_domain": "models.example.com",
        "model_verification_address": "127.0.0.1",
        "model_verification_port": server.server.port,
        "model_verification_ca_file": server.ca_file,
        "model_verification_requests": 2,
        "model_verification_warmup": 0,
        "platform_bucket": "models",
        "model_verification_retry_for": 2,
    }
    arguments = ("play.yml", *words, "-e", json.dumps(variables))
    env = environment("AWS_", "HASHFOUNDRY_", "SPACES_")
    code, output = exit_code_and_output("ansible-playbook", *arguments, folder=folder, env=env)
    return code, " ".join(output.split())


HEALTH = {"/v1/models/iris", "/v2/health/live", "/v2/health/ready", "/v2/models/iris/ready"}
COMPARED_NONE = "No prediction of iris was compared, because there is no metadata.json with examples"


@pytest.mark.parametrize("place", ["no metadata.json", "no examples", "no folder"])
def test_of_a_model_without_examples_the_health_is_verified(
    tmp_path: Path, model_server: ModelServer, place: str
) -> None:
    folder = tmp_path / "v1"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(b"model")
    if place == "no examples":
        (folder / "metadata.json").write_text('{"accuracy": 0.97}')
    image = {"storage": "oci", "image": "registry.example.com/iris:v1"}
    code, output = verify(
        tmp_path, model_server, image if place == "no folder" else {"source": {"folder": str(folder)}}
    )
    assert code == 0, output
    assert COMPARED_NONE in output
    assert set(model_server.paths) == HEALTH


def test_with_examples_predictions_are_compared(tmp_path: Path, model_server: ModelServer) -> None:
    folder = tmp_path / "v1"
    folder.mkdir()
    for prediction, code in ((1, 0), (0, 2)):
        examples = {"instances": [[1.5, 2]], "predictions": [prediction]}
        (folder / "metadata.json").write_text(json.dumps({"examples": examples}))
        found, output = verify(tmp_path, model_server, {"source": {"folder": str(folder)}})
        assert found == code, output
        assert COMPARED_NONE not in output
        assert ("predicts other values than expected" in output) is bool(code)
