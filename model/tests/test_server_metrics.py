# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics of the real server in its own process, over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from model.tests.serving import (
    NAME,
    free_port,
    iris_folder,
    raw,
    request,
    scrape,
    serving,
    start,
    start_error,
    wait_until_ready,
)

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

ROOT = Path(__file__).parents[2]
INSTANCES = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]
FLAT = [value for row in INSTANCES for value in row]
V1 = f"/v1/models/{NAME}:predict"
V2 = f"/v2/models/{NAME}/infer"
REQUESTS = "model_server_requests_total"
REJECTED = "model_server_rejected_total"
DURATION = "model_server_request_duration_seconds"
ROWS = "model_server_rows_total"
CALLS = f'model_server_requests_per_call_count{{model_name="{NAME}"}}'
IN_FLIGHT = f'model_server_requests_in_flight{{model_name="{NAME}"}}'
BOUNDS = ["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0"]


class Ports(NamedTuple):
    """The port of the API, and that of the metrics."""

    api: int
    metrics: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return iris_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def ports(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    metrics = free_port()
    with serving(folder, tmp_path_factory.mktemp("log") / "server.log", METRICS_PORT=str(metrics)) as api:
        yield Ports(api, metrics)


@contextmanager
def stoppable(folder: Path, **environment: str) -> Iterator[tuple[Any, Ports]]:
    """A separate server that the test may stop."""
    ports = Ports(free_port(), free_port())
    process = start(folder, ports.api, environment={"METRICS_PORT": str(ports.metrics), **environment})
    try:
        wait_until_ready(process, ports.api)
        yield process, ports
    finally:
        process.kill()
        process.communicate()


def requests(protocol: str, code: int) -> str:
    return f'{REQUESTS}{{code="{code}",model_name="{NAME}",protocol="{protocol}"}}'


def rejected(reason: str) -> str:
    return f'{REJECTED}{{model_name="{NAME}",reason="{reason}"}}'


def observed(protocol: str) -> str:
    return f'{DURATION}_count{{model_name="{NAME}",protocol="{protocol}"}}'


def changes(port: int, action: Callable[[], object]) -> dict[str, float]:
    """The counters that an action increases, and by how much; without the sums of durations, and of the process."""
    before = scrape(port)
    action()
    after = scrape(port)
    return {
        series: value - before.get(series, 0.0)
        for series, value in after.items()
        if value != before.get(series, 0.0)
        and series.startswith((REQUESTS, REJECTED, ROWS, f"{DURATION}_count", "request_predict_seconds_count", CALLS))
    }


PREDICTED = f'request_predict_seconds_count{{model_name="{NAME}"}}'
ROWS_OF_MODEL = f'{ROWS}{{model_name="{NAME}"}}'


def tensor(**changed: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "input-0", "shape": [2, 4], "datatype": "FP64", "data": FLAT} | changed]}


def test_a_prediction_is_counted_with_its_rows_and_duration(ports: Ports) -> None:
    assert changes(ports.metrics, lambda: request(ports.api, "POST", V1, {"instances": INSTANCES})) == {
        requests("v1", 200): 1,
        observed("v1"): 1,
        PREDICTED: 1,
        CALLS: 1,
        ROWS_OF_MODEL: 2,
    }
    assert changes(ports.metrics, lambda: request(ports.api, "POST", V2, tensor())) == {
        requests("v2", 200): 1,
        observed("v2"): 1,
        PREDICTED: 1,
        CALLS: 1,
        ROWS_OF_MODEL: 2,
    }
    versioned = f"/v2/models/{NAME}/versions/v1/infer"
    probabilities = tensor() | {"outputs": [{"name": "predict_proba", "parameters": {"binary_data": True}}]}
    with_version = changes(ports.metrics, lambda: raw_post(ports.api, versioned, json.dumps(probabilities).encode()))
    assert with_version == {requests("v2", 200): 1, observed("v2"): 1, PREDICTED: 1, CALLS: 1, ROWS_OF_MODEL: 2}


def raw_post(port: int, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw(port, head.encode() + body)


def test_the_duration_is_within_the_time_that_the_client_waited(ports: Ports) -> None:
    def total() -> float:
        return scrape(ports.metrics)[f'{DURATION}_sum{{model_name="{NAME}",protocol="v1"}}']

    before, body = total(), {"instances": INSTANCES * 50_000}
    started = time.monotonic()
    assert request(ports.api, "POST", V1, body)[0] == 200
    waited = time.monotonic() - started
    assert 0.02 < total() - before < waited


def test_the_duration_of_a_slow_client_is_not_the_servers(ports: Ports) -> None:
    series = f'{DURATION}_sum{{model_name="{NAME}",protocol="v1"}}'
    before = scrape(ports.metrics)[series]
    body = json.dumps({"instances": INSTANCES}).encode()
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", ports.api), timeout=30) as connection:
        connection.sendall(head + body[:10])
        time.sleep(1)
        connection.sendall(body[10:])
        assert b"200 OK" in connection.recv(65536)
    assert scrape(ports.metrics)[series] - before < 0.5


def test_requests_that_wait_for_others_are_measured_with_the_wait(ports: Ports) -> None:
    """Several requests that arrive at once are answered one after the other."""
    # 16 KiB are predicted in the event loop. 20 of them arrive together while a first one is predicted.
    body = json.dumps({"instances": [[1.0, 2.0, 3.0, 4.0]] * 700}).encode()
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    series = f'{DURATION}_sum{{model_name="{NAME}",protocol="v1"}}'
    count = 20
    connections = [socket.create_connection(("127.0.0.1", ports.api), timeout=30) for _number in range(count)]
    before = scrape(ports.metrics)
    for connection in connections:
        connection.sendall(head + body)
    for connection in connections:
        answer = b""
        while b"]}" not in answer:
            answer += connection.recv(65536)
        connection.close()
    after = scrape(ports.metrics)
    assert after[observed("v1")] - before[observed("v1")] == count
    mean = (after[series] - before[series]) / count
    steps = sum(after[name] - before[name] for name in STEP_SUMS) / count
    # Each waits for those before it, which is more than its own steps take.
    assert mean > steps


STEP_SUMS = [f'request_{step}_seconds_sum{{model_name="{NAME}"}}' for step in ("preprocess", "predict", "postprocess")]

BAD: dict[str, tuple[str, Any, dict[str, str], int, str]] = {
    "gzip": (V1, b"no gzip", {"Content_Encoding": "gzip"}, 400, "InvalidGzip"),
    "truncated gzip": (V2, gzip.compress(b"{}")[:-9], {"Content_Encoding": "gzip"}, 400, "InvalidGzip"),
    "encoding": (V1, b"{}", {"Content_Encoding": "br"}, 415, "UnsupportedEncoding"),
    "large": (V2, gzip.compress(bytes(9 * 1024 * 1024)), {"Content_Encoding": "gzip"}, 413, "BodyTooLarge"),
    "no JSON": (V1, b"{", {}, 400, "InvalidJSON"),
    "no JSON, v2": (V2, b"", {}, 400, "InvalidJSON"),
    "event": (
        V1,
        b"{}",
        {"ce_specversion": "9.9", "ce_id": "1", "ce_source": "s", "ce_type": "t"},
        400,
        "InvalidCloudEvent",
    ),
    "v2 to v1": (V1, tensor(), {}, 400, "InvalidRequest"),
    "null": (V1, b"null", {}, 400, "InvalidRequest"),
    "no inputs": (V2, {}, {}, 400, "InvalidRequest"),
    "id": (V2, tensor() | {"id": 5}, {}, 400, "InvalidRequest"),
    "length": (V2, b"{}", {"Inference_Header_Content_Length": "9"}, 400, "InvalidRequest"),
    "short row": (V1, {"instances": [[1, 2, 3]]}, {}, 400, "InvalidRows"),
    "no rows": (V1, {"instances": []}, {}, 400, "InvalidRows"),
    "shape": (V2, tensor(shape=[4, 2]), {}, 400, "InvalidRows"),
    "null value": (V1, {"instances": [[1, 2, 3, None]]}, {}, 400, "InvalidValue"),
    "too large for its datatype": (V2, tensor(datatype="FP32", data=[1e300] * 8), {}, 400, "InvalidValue"),
    "datatype": (V2, tensor(datatype="BYTES", data=["a"] * 8), {}, 400, "InvalidValue"),
    "infinite once scaled": (V1, {"instances": [[1, 2, 3, 1.7e308]]}, {}, 400, "RejectedByModel"),
    "output": (V2, tensor() | {"outputs": [{"name": "x"}]}, {}, 400, "UnknownOutput"),
}


@pytest.mark.parametrize(("path", "body", "headers", "code", "reason"), BAD.values(), ids=BAD)
def test_rejected_input_is_counted_by_its_reason(
    ports: Ports, path: str, body: Any, headers: dict[str, str], code: int, reason: str
) -> None:
    found = changes(ports.metrics, lambda: request(ports.api, "POST", path, body, **headers))
    protocol = "v1" if path == V1 else "v2"
    assert found.pop(observed(protocol), 1) == 1  # not of a request that is answered before its end
    assert found.pop(CALLS, 0) == (1 if reason == "RejectedByModel" else 0)
    assert found == {requests(protocol, code): 1, rejected(reason): 1}


def test_every_reason_is_documented_and_tested() -> None:
    from model.server.errors import REASONS

    assert {bad[-1] for bad in BAD.values()} == set(REASONS)
    text = (ROOT / "model" / "README.md").read_text()
    assert [reason for reason in REASONS if f"| `{reason}` |" not in text] == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_rejected_before_its_end(ports: Ports, chunked: bool) -> None:
    size = 8 * 1024 * 1024 + 1
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode()
    rest = f"{size:x}\r\n".encode() + b"1" * size if chunked else b""
    found = changes(ports.metrics, lambda: raw(ports.api, head + rest))
    assert found == {requests("v1", 413): 1, rejected("BodyTooLarge"): 1}


def test_a_client_that_disconnects_is_no_failure_of_the_server(ports: Ports) -> None:
    def leave(*parts: bytes) -> None:
        with socket.create_connection(("127.0.0.1", ports.api), timeout=30) as connection:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.2)  # the server must have started to read the request
        time.sleep(0.2)

    # The first is invalid JSON so far, the second would be valid.
    body = json.dumps({"instances": INSTANCES}).encode()
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 1}\r\n\r\n".encode()
    assert changes(ports.metrics, lambda: leave(head + body[:10])) == {requests("v1", 499): 1}
    assert changes(ports.metrics, lambda: leave(head, body)) == {requests("v1", 499): 1}
    assert changes(ports.metrics, lambda: leave(head[:30])) == {}
    assert scrape(ports.metrics)[IN_FLIGHT] == 0


def test_a_request_in_progress_is_in_flight(ports: Ports) -> None:
    body = json.dumps({"instances": INSTANCES}).encode()
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", ports.api), timeout=30) as connection:
        connection.sendall(head + body[:10])
        time.sleep(0.2)
        assert scrape(ports.metrics)[IN_FLIGHT] == 1
        connection.sendall(body[10:])
        assert b"200 OK" in connection.recv(65536)
    assert scrape(ports.metrics)[IN_FLIGHT] == 0


def test_metrics_are_scraped_during_load(ports: Ports) -> None:
    before = scrape(ports.metrics)
    rows = 200_000
    with ThreadPoolExecutor(4) as pool:
        large = [pool.submit(request, ports.api, "POST", V1, {"instances": INSTANCES * (rows // 2)}) for _n in range(2)]
        small = [pool.submit(request, ports.api, "POST", V1, {"instances": INSTANCES}) for _n in range(200)]
        in_flight = []
        while not all(sent.done() for sent in (*large, *small)):
            in_flight.append(scrape(ports.metrics)[IN_FLIGHT])
    assert [sent.result()[0] for sent in (*large, *small)] == [200] * 202
    after = scrape(ports.metrics)
    assert max(in_flight) >= 1
    assert after[IN_FLIGHT] == 0
    assert after[requests("v1", 200)] - before[requests("v1", 200)] == 202
    assert after[observed("v1")] - before[observed("v1")] == 202
    assert after[ROWS_OF_MODEL] - before[ROWS_OF_MODEL] == 2 * rows + 400


def test_other_requests_are_counted_apart(ports: Ports) -> None:
    for method, path, code in [
        ("GET", "/v2/health/live", 200),
        ("GET", f"/v1/models/{NAME}", 200),
        ("GET", "/v1/models/another", 404),
        ("POST", "/v1/models/another:predict", 404),
        ("GET", V1, 405),
        ("POST", "/v2/repository/index", 200),
        ("POST", f"/v2/repository/models/{NAME}/unload", 403),
    ]:
        found = changes(ports.metrics, lambda method=method, path=path: request(ports.api, method, path))
        assert found == {requests("other", code): 1}, (method, path)


def test_no_client_can_add_series(ports: Ports) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "PROPFIND"):
        request(ports.api, method, "/v2/health/live")
        request(ports.api, method, V1)
        request(ports.api, method, "/nowhere")
    before = scrape(ports.metrics)
    for number in range(50):
        request(ports.api, "GET", f"/v1/models/model-{number}")
        request(ports.api, "POST", f"/v2/models/{NAME}/versions/{number}/infer", tensor())
        request(ports.api, "POST", V1, b"%d" % number, Content_Type=f"text/x-{number}", User_Agent=f"agent-{number}")
        request(ports.api, "POST", V2, tensor() | {"outputs": [{"name": f"output-{number}"}]})
        request(ports.api, "POST", V2, tensor(datatype=f"FP{number}", name=f"input-{number}"))
        request(ports.api, "POST", V1, b"{}", Content_Encoding=f"coding-{number}")
    assert set(scrape(ports.metrics)) == set(before)


def test_series_exist_before_the_first_request(folder: Path) -> None:
    with stoppable(folder) as (_process, ports):
        found = scrape(ports.metrics)
    own = {series: value for series, value in found.items() if series.startswith(("model_server_", "request_"))}
    codes = [200, 400, 413, 415, 499, 500]
    assert {series for series in own if series.startswith(REQUESTS)} - {requests("other", 200)} == {
        requests(protocol, code) for protocol in ("v1", "v2") for code in codes
    }
    assert {value for series, value in own.items() if "_info" not in series and "_load_" not in series} <= {
        0.0,
        own[requests("other", 200)],  # the probes of the test
    }
    for protocol in ("v1", "v2"):
        bounds = [
            re.search(r'le="([^"]+)"', series)[1]  # type: ignore[index]
            for series in own
            if series.startswith(f"{DURATION}_bucket") and f'protocol="{protocol}"' in series
        ]
        assert bounds == [*BOUNDS, "10.0", "+Inf"]
    assert "process_cpu_seconds_total" in found
    assert not any("_created" in series for series in found)
    assert len(found) < 150


def test_the_model_is_described_with_its_version_and_digest(folder: Path, tmp_path: Path) -> None:
    for file in ("model.joblib", "metadata.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    sha256 = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    manifest = json.dumps({"files": {"model.joblib": {"sha256": sha256}}})
    (tmp_path / "manifest.json").write_text(manifest)
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    with stoppable(tmp_path, MODEL_DIGEST=digest, MODEL_VERSION="2026-11") as (_process, ports):
        found = scrape(ports.metrics)
    assert found[f'model_server_model_info{{digest="{digest}",model_name="{NAME}",version="2026-11"}}'] == 1
    assert 0 < found[f'model_server_model_load_seconds{{model_name="{NAME}"}}'] < 60


def test_the_version_is_that_of_the_description_by_default(ports: Ports) -> None:
    assert scrape(ports.metrics)[f'model_server_model_info{{digest="",model_name="{NAME}",version="v1"}}'] == 1


def test_the_port_of_the_metrics_has_only_metrics(ports: Ports) -> None:
    assert request(ports.api, "GET", "/metrics")[0] == 404
    for method, path, body in [
        ("GET", "/", None),
        ("GET", "/v2/health/ready", None),
        ("POST", V1, {"instances": INSTANCES}),
        ("POST", V2, tensor()),
        ("POST", "/metrics", None),
    ]:
        found = changes(
            ports.metrics,
            lambda method=method, path=path, body=body: check_not_found(ports.metrics, method, path, body),
        )
        assert found == {}, path


def check_not_found(port: int, method: str, path: str, body: Any) -> None:
    assert request(port, method, path, body) == (404, {"error": "This port has only GET /metrics."})


def test_the_metrics_are_at_the_port_of_the_api_by_default(folder: Path, tmp_path: Path) -> None:
    with serving(folder, tmp_path / "server.log") as port:
        assert changes(port, lambda: request(port, "POST", V1, {"instances": INSTANCES}))[requests("v1", 200)] == 1
        assert request(port, "POST", "/metrics")[0] == 405
    same = free_port()
    process = start(folder, same, environment={"METRICS_PORT": str(same)})
    try:
        wait_until_ready(process, same)
        assert IN_FLIGHT in scrape(same)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("value", ["", "8082/tcp", "-1", "0", "65536"])
def test_no_start_with_an_invalid_port_of_the_metrics(folder: Path, value: str) -> None:
    assert f"METRICS_PORT is {value!r}: set it to a port" in start_error(folder, METRICS_PORT=value)


def test_a_port_of_the_metrics_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        message = start_error(folder, METRICS_PORT=str(number))
    assert message.startswith(f"Error: The port {number} cannot be opened (Address already in use")
    assert message.endswith(": choose another METRICS_PORT.")


def test_metrics_are_served_until_the_drain_ends(folder: Path) -> None:
    with stoppable(folder, DRAIN_SECONDS="3") as (process, ports):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert request(ports.api, "POST", V1, {"instances": INSTANCES})[0] == 200
        assert request(ports.api, "GET", "/v2/health/ready")[0] == 503
        found = scrape(ports.metrics)
        assert (found[requests("v1", 200)], found[requests("other", 503)]) == (1, 1)
        # A scraper's idle connection does not delay the end.
        with socket.create_connection(("127.0.0.1", ports.metrics), timeout=30) as idle:
            idle.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in idle.recv(65536)
            assert process.wait(15) == 0
        with pytest.raises(ConnectionError):
            scrape(ports.metrics)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2", "openmetrics-text"),
    ],
)
def test_the_scraper_chooses_the_format(ports: Ports, accept: str, content_type: str) -> None:
    head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
    answer = raw(ports.metrics, head.encode()).decode()
    assert content_type in answer.partition("\r\n\r\n")[0]
    assert f'{ROWS}{{model_name="{NAME}"}}' in answer
