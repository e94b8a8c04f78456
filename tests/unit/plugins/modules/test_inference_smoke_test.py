# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import transport
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import Answer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Unanswered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test import junit
from ansible_collections.hashfoundry.kserve.plugins.modules import inference_smoke_test

from ..module_utils.load_fixtures import World
from ..module_utils.scripted_server import Connection
from ..module_utils.scripted_server import Server as ScriptedServer

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


class Server(World):
    """A model server instead of the transport."""

    where: Any = None
    token: str | None = None

    def __call__(self, where: Any, token: str | None) -> Server:
        self.where, self.token = where, token
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing to close."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    def use(*answers: Answer | Unanswered) -> Server:
        server = Server(*answers)
        monkeypatch.setattr(transport, "HttpTransport", server)
        return server

    return use


@pytest.mark.parametrize("check_mode", [False, True])
def test_success(run_module, serve, check_mode: bool) -> None:
    server = serve(RIGHT)
    result = run_module(inference_smoke_test.main, ARGUMENTS, check_mode=check_mode)
    assert result["changed"] is False and "skipped" not in result
    assert (result["predictions"], result["attempts"], result["protocol"]) == ([0, 2], 1, "v2")
    assert result["url"] == "https://iris.example.com/v2/models/iris/infer"
    assert result["latency_ms"]["count"] == 2 and len(server.sent) == 3
    where = server.where
    assert (where.host, where.address, where.port, server.token) == (
        "iris.example.com",
        "10.0.0.1",
        443,
        "PLANTED-TOKEN",
    )


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_wrong_prediction_fails_in_check_mode_as_well(run_module, serve, check_mode: bool) -> None:
    serve(RIGHT)
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, "expected": [0, 1]}, check_mode=check_mode)
    assert (result["failed"], result["reason"]) == (True, "PredictionWrong")
    assert (
        result["msg"] == "Model iris predicts other values than expected. Row 2 of 2 differs: expected 1, predicted 2."
    )
    assert result["predictions"] == [0, 2]


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("token", {"token": "PLANTED\n"}),
        ("token", {"token": " PLANTED"}),
        ("proxy_headers.proxy_basic_auth", {"proxy_headers": {"proxy_basic_auth": "me:PLANTED\n"}}),
    ],
)
def test_credentials_with_white_space_are_rejected_by_name(
    run_module, serve, option: str, given: dict[str, Any]
) -> None:
    server = serve(Answer(200, b""))
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, **given})
    assert result["failed"] and result["reason"] == "InvalidOption" and not server.sent
    assert result["msg"].startswith(f"{option} has white space or a line end at an end")


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("answer", [Answer(404, b""), Unanswered("It cannot be reached.", retry=True)])
def test_an_unavailable_server_is_skipped_at_once_in_check_mode_only(
    run_module, serve, answer: Answer | Unanswered, check_mode: bool
) -> None:
    server = serve(answer)
    retry_for = 3600 if check_mode else 0  # check mode does not wait for it
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, "retry_for": retry_for}, check_mode=check_mode)
    assert (result.get("failed", False), result.get("skipped", False)) == (not check_mode, check_mode)
    assert (len(server.sent), result["attempts"]) == (1, 1)


def test_a_certificate_for_another_domain_is_no_failure_in_check_mode(run_module, serve) -> None:
    """The run that is checked may be what changes the domain."""
    message = "The certificate of https://iris.example.com is not accepted"
    serve(Unanswered(message, retry=False))
    result = run_module(inference_smoke_test.main, ARGUMENTS, check_mode=True)
    assert result["skipped"] and "failed" not in result
    assert message in result["msg"]


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
    assert result["failed"] is True and says in result["msg"] and server.sent == []


def test_either_url_or_host_is_required(run_module, serve) -> None:
    serve(RIGHT)
    arguments = {key: value for key, value in ARGUMENTS.items() if key != "host"}
    assert run_module(inference_smoke_test.main, arguments)["reason"] == "InvalidOption"


def test_a_key_requires_a_certificate(run_module, serve) -> None:
    serve(RIGHT)
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, "client_key": "/none"})
    assert (result["failed"], result["reason"]) == (True, "InvalidOption")


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_missed_threshold(run_module, serve, tmp_path, check_mode: bool) -> None:
    serve(RIGHT)
    reports = {"junit_path": str(tmp_path / "a.xml"), "svg_path": str(tmp_path / "a.svg")}
    arguments = {**ARGUMENTS, **reports, "thresholds": {"p95_ms": 5}}
    result = run_module(inference_smoke_test.main, arguments, check_mode=check_mode)
    assert (result["failed"], result["reason"]) == (True, "ThresholdMissed")
    assert result["latency_ms"]["p95"] == 10.0 and result["load"]["requests"] == 2
    assert [check["passed"] for check in result["checks"]] == [True, True, False]
    assert len(list(tmp_path.iterdir())) == (0 if check_mode else 2)


def test_all_options_at_once(run_module, serve, tmp_path) -> None:
    metadata = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]}
    metadata["outputs"] = [{"name": "output-0", "datatype": "INT64", "shape": [-1]}]
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(metadata))
    one = Answer(200, b'{"outputs": [{"name": "output-0", "datatype": "INT64", "shape": [1], "data": [0]}]}')
    server = serve(one)
    arguments = {
        **ARGUMENTS, "expected": [0, 0.1], "batch_size": 1, "tolerance": {"absolute": 0.2}, "metadata_path": str(path),
        "health": ["v2"], "rate": 10, "seconds": 1, "warmup": 3, "concurrency": 2,
        "thresholds": {"p999_ms": 50, "error_rate": 0.5}, "proxy": "http://proxy:3128",
        "proxy_headers": {"proxy_basic_auth": "me:PLANTED"},
        "client_cert": "/c.pem", "client_key": "/k.pem",
    }  # fmt: skip
    result = run_module(inference_smoke_test.main, arguments)
    assert "failed" not in result, result
    assert (result["load"]["model"], result["load"]["requests"]) == ("open", 10)
    assert [check["name"] for check in result["checks"]][3:] == [
        "predictions", "schema", "load", "threshold p999_ms", "threshold error_rate",
    ]  # fmt: skip
    # Health, batches, model metadata, warm-up and load.
    assert len(server.sent) == 3 + 2 + 1 + 3 + 10
    assert (server.where.proxy.host, server.where.client_key) == ("proxy", "/k.pem")
    assert "PLANTED" not in json.dumps(result)


def test_a_missing_library_is_named_before_anything_is_sent(
    run_module, serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(junit, "JUNITPARSER_IMPORT_ERROR", "no junitparser")
    server = serve(RIGHT)
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, "junit_path": str(tmp_path / "a.xml")})
    assert "The Python package junitparser is missing" in result["msg"] and server.sent == []
    assert run_module(inference_smoke_test.main, ARGUMENTS)["changed"] is False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rate": 0}, "rate is 0; give more than 0"),
        ({"concurrency": 0}, "concurrency is 0; give at least 1"),
        ({"metadata_path": "/none/metadata.json"}, "/none/metadata.json cannot be read"),
        ({"junit_path": "/none/a.xml"}, "There is no folder /none for junit_path"),
        ({"proxy": "socks5://proxy"}, "The proxy is not one that is spoken to by HTTP"),
        ({"thresholds": {"p90_ms": 1}}, "p90_ms"),
    ],
)
def test_invalid_options(run_module, serve, change: dict[str, Any], says: str) -> None:
    server = serve(RIGHT)
    result = run_module(inference_smoke_test.main, {**ARGUMENTS, **change})
    assert result["failed"] is True and says in result["msg"] and server.sent == []


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


def several(*names: str, **changes: Any) -> dict[str, Any]:
    same = {key: ARGUMENTS[key] for key in ("instances", "expected")}
    models = [{"host": f"{name}.example.com", "model_name": name, **same} for name in names]
    return {"models": models, "retry_for": 0, "token": "PLANTED-TOKEN", **changes}


def test_several_models_are_queried_in_parallel_and_without_load(run_module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answers only once all have been asked."""
    names = [f"model-{number}" for number in range(inference_smoke_test.AT_ONCE)]
    all_requested = threading.Barrier(len(names), timeout=20)
    paths = []

    class Together(Server):
        def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
            paths.append(path)
            all_requested.wait()
            return RIGHT

    monkeypatch.setattr(transport, "HttpTransport", lambda _where, _token: Together(RIGHT))
    result = run_module(inference_smoke_test.main, several(*names, requests=100, thresholds={"p95_ms": 0.0001}))
    assert [model["model_name"] for model in result["models"]] == names
    assert all(model["predictions"] == [0, 2] and "load" not in model for model in result["models"])
    assert sorted(paths) == [f"/v2/models/{name}/infer" for name in names]
    assert result["changed"] is False and "PLANTED" not in json.dumps(result)


def test_several_models_over_real_connections(run_module) -> None:
    def script(connection: Connection, _number: int) -> None:
        while connection.request() is not None:
            connection.answer(RIGHT.body)

    with ScriptedServer(script) as server:
        where = {"address": "127.0.0.1", "port": server.port, "scheme": "http", "proxy": ""}
        result = run_module(inference_smoke_test.main, several(*map(str, range(24)), **where))
        assert server.connections == 24
    assert [model["predictions"] for model in result["models"]] == [[0, 2]] * 24


def test_all_models_are_tested_though_one_fails(run_module, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(where: Any, _token: str) -> Server:
        return Server(Answer(500, b"broken") if where.host.startswith("b") else RIGHT)

    monkeypatch.setattr(transport, "HttpTransport", connect)
    result = run_module(inference_smoke_test.main, several("a", "b", "c"))
    assert (result["failed"], result["reason"]) == (True, "RequestRejected")
    assert result["msg"].startswith("The server answered 500 (broken)")
    assert [model.get("failed", False) for model in result["models"]] == [False, True, False]
    result = run_module(inference_smoke_test.main, several("a", "b1", "b2"))
    assert "b1 v2: The server answered 500" in result["msg"] and "b2 v2: The server answered 500" in result["msg"]


@pytest.mark.parametrize("change", [{"model_name": "iris"}, {"host": "iris"}, {"svg_path": "/a.svg"}])
def test_options_that_several_models_do_not_share(run_module, serve, change: dict[str, Any]) -> None:
    server = serve(RIGHT)
    result = run_module(inference_smoke_test.main, several("a", **change))
    assert (result["failed"], result["reason"]) == (True, "InvalidOption") and server.sent == []
