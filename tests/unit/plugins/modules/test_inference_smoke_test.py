# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _http
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import Answer, Unanswered
from ansible_collections.hashfoundry.kserve.plugins.modules import inference_smoke_test

ARGUMENTS = {
    "host": "iris.example.com",
    "address": "10.0.0.1",
    "model_name": "iris",
    "instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]],
    "expected": [0, 2],
    "requests": 2,
    "retry_for": 0,
    "token": "PLANTED-TOKEN",
}
RIGHT = Answer(200, json.dumps({"outputs": [{"name": "output-0", "data": [0, 2]}]}).encode())


class Server:
    """A model server in the place of the transport."""

    def __init__(self, answer: Answer | Exception) -> None:
        self.answer = answer
        self.requests = 0
        self.arguments: tuple[Any, ...] = ()

    def __call__(self, *arguments: Any) -> Server:
        self.arguments = arguments
        return self

    def post(self, path: str, body: bytes) -> Answer:
        self.requests += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    def use(answer: Answer | Exception) -> Server:
        server = Server(answer)
        monkeypatch.setattr(_http, "HttpTransport", server)
        return server

    return use


@pytest.mark.parametrize("check_mode", [False, True])
def test_success(run_module, serve, check_mode: bool) -> None:
    server = serve(RIGHT)
    result = run_module(inference_smoke_test.main, ARGUMENTS, check_mode=check_mode)
    assert result["changed"] is False and "skipped" not in result
    assert (result["predictions"], result["attempts"], result["protocol"]) == ([0, 2], 1, "v2")
    assert result["url"] == "https://iris.example.com/v2/models/iris/infer"
    assert result["latency_ms"]["count"] == 2 and server.requests == 3
    where, token = server.arguments
    assert (where.host, where.address, where.port, token) == ("iris.example.com", "10.0.0.1", 443, "PLANTED-TOKEN")


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_wrong_prediction_fails_in_check_mode_as_well(run_module, serve, check_mode: bool) -> None:
    serve(RIGHT)
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, "expected": [0, 1]}, check_mode=check_mode)
    assert result["failed"] is True
    assert result["msg"] == "Model iris predicts something else. Row 2 of 2 differs: expected 1, predicted 2."
    assert result["predictions"] == [0, 2]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("answer", [Answer(404, b""), Unanswered("It cannot be reached.", retry=True)])
def test_what_does_not_answer_is_skipped_at_once_in_check_mode_only(
    run_module, serve, answer: Answer | Exception, check_mode: bool
) -> None:
    server = serve(answer)
    retry_for = 3600 if check_mode else 0  # check mode does not wait for it
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, "retry_for": retry_for}, check_mode=check_mode)
    assert (result.get("failed", False), result.get("skipped", False)) == (not check_mode, check_mode)
    assert (server.requests, result["attempts"]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"url": "https://iris"}, "mutually exclusive: url|host"),
        ({"host": None}, "url is not valid"),
        ({"instances": [["a"]], "expected": [0]}, "Row 1 of instances is not a list of numbers"),
        ({"expected": [0]}, "2 instances and 1 expected values"),
    ],
)
def test_wrong_arguments(run_module, serve, change: dict[str, Any], says: str) -> None:
    server = serve(RIGHT)
    arguments = {**ARGUMENTS, **change}
    if arguments["host"] is None:
        arguments = {**arguments, "url": "iris"}
        del arguments["host"]
    result = run_module(inference_smoke_test.main, arguments)
    assert result["failed"] is True and says in result["msg"] and server.requests == 0


def test_one_of_url_and_host_is_needed(run_module, serve) -> None:
    serve(RIGHT)
    arguments = {key: value for key, value in ARGUMENTS.items() if key != "host"}
    assert "one of the following is required: url, host" in run_module(inference_smoke_test.main, arguments)["msg"]


def test_a_missing_library_is_named(run_module, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(RIGHT)
    monkeypatch.setattr(_http, "URLLIB3_IMPORT_ERROR", "none")
    assert "urllib3" in run_module(inference_smoke_test.main, ARGUMENTS)["msg"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b"Authorization: Bearer PLANTED-TOKEN"),
        Answer(401, b'{"error": "token PLANTED-TOKEN is not known"}'),
        Answer(503, b"api_key=PLANTED-OTHER"),
        RIGHT,
    ],
)
def test_planted_secrets_are_in_no_output(run_module, serve, answer: Answer) -> None:
    serve(answer)
    result = run_module(inference_smoke_test.main, ARGUMENTS, diff=True)
    assert "PLANTED" not in json.dumps(result)
    assert "Traceback" not in json.dumps(result)
