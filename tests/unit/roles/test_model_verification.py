# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role verifies, and that its tolerance is that of the gate and of the model server."""

from __future__ import annotations

import json
import ssl
import threading
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
    task = yaml.safe_load(TASKS.read_text())[0]
    return Tolerance(**task["hashfoundry.kserve.inference_smoke_test"]["tolerance"])


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
    code, said = verify(tmp_path, model_server, image if place == "no folder" else {"source": {"folder": str(folder)}})
    assert code == 0, said
    assert COMPARED_NONE in said
    assert set(model_server.paths) == HEALTH


def test_with_examples_predictions_are_compared(tmp_path: Path, model_server: ModelServer) -> None:
    folder = tmp_path / "v1"
    folder.mkdir()
    for prediction, code in ((1, 0), (0, 2)):
        examples = {"instances": [[1.5, 2]], "predictions": [prediction]}
        (folder / "metadata.json").write_text(json.dumps({"examples": examples}))
        found, said = verify(tmp_path, model_server, {"source": {"folder": str(folder)}})
        assert found == code, said
        assert COMPARED_NONE not in said
        assert ("predicts other values than expected" in said) is bool(code)
