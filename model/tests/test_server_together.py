# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many clients of the real server at once: each gets what the model predicts for its own rows alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, scale
from sklearn.tree import DecisionTreeRegressor

from model.tests.serving import NAME, free_port, iris_folder, request, scrape, serving, start, wait_until_ready

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

V1 = f"/v1/models/{NAME}:predict"
V2 = f"/v2/models/{NAME}/infer"
CALLS = "model_server_requests_per_call"
IN_FLIGHT = f'model_server_requests_in_flight{{model_name="{NAME}"}}'
COLOURS = ["red", "green", "blue"]
CLIENTS, REQUESTS = 12, 25


class Served(NamedTuple):
    """A server of a model, and the model itself."""

    port: int
    predict: Callable[[list[Any]], list[Any]]


def numbers(rows: int, chance: random.Random) -> list[list[float]]:
    return [[chance.uniform(-3, 3), chance.uniform(-3, 3), chance.uniform(0, 9)] for _row in range(rows)]


def fitted_on_numbers(model: Any) -> Any:
    rows = np.array(numbers(300, random.Random(1)))
    return model.fit(rows, rows[:, 0] * 3 + rows[:, 1] ** 2)


@contextmanager
def served(
    folder: Path, fitted: Any, predict: Callable[[list[Any]], list[Any]], **environment: str
) -> Iterator[Served]:
    folder.mkdir(exist_ok=True)
    joblib.dump(fitted, folder / "model.joblib")
    with serving(folder, folder / "server.log", **environment) as port:
        yield Served(port, predict)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model that is so slow that it predicts in a thread; a result shows each row, to the last bit."""
    model = fitted_on_numbers(RandomForestRegressor(200, random_state=0))
    with served(tmp_path_factory.mktemp("forest"), model, lambda rows: model.predict(rows).tolist()) as found:
        yield found


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model of a string and two numbers, which may be missing; it rejects unknown strings."""
    pandas = pytest.importorskip("pandas")
    folder, chance = tmp_path_factory.mktemp("picky"), random.Random(2)
    names = ["a", "b", "colour"]
    known = [[*row[:2], chance.choice(COLOURS)] for row in numbers(300, chance)]
    encode = ColumnTransformer([("encode", OneHotEncoder(), ["colour"])], remainder="passthrough", sparse_threshold=0)
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=10))
    model.fit(pandas.DataFrame(known, columns=names), [f"{row[0] > 0}-{row[2]}" for row in known])

    def predict(rows: list[Any]) -> list[Any]:
        frame = pandas.DataFrame(rows, columns=names)
        return list(model.predict(frame.astype({"a": float, "b": float})).tolist())

    examples = [*known[:3], [None, 0.5, "blue"]]
    joblib.dump(model, folder / "model.joblib")
    description = {
        "version": "v1",
        "model_file": {"sha256": hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()},
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [-1]}
            for name, datatype in zip(names, ["FP64", "FP64", "BYTES"], strict=True)
        ],
        "examples": {"instances": examples, "predictions": predict(examples)},
    }
    (folder / "metadata.json").write_text(json.dumps(description))
    with served(folder, model, predict) as found:
        yield found


@pytest.fixture(scope="module")
def dependent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model that scales by the rows of its call."""
    model = fitted_on_numbers(make_pipeline(FunctionTransformer(scale), DecisionTreeRegressor()))
    with served(tmp_path_factory.mktemp("dependent"), model, lambda rows: model.predict(rows).tolist()) as found:
        yield found


def head(path: str, body: bytes, more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    return int(lines[0].split()[1]), json.loads(await reader.readexactly(length))


class Client:
    """Sends random requests over one connection after the other, and compares each answer."""

    def __init__(self, to: Served, seed: int, mixed: bool) -> None:
        self.to = to
        self.mixed = mixed
        self.chance = random.Random(seed)
        self.compared = 0
        self.left = 0

    def rows(self) -> list[list[Any]]:
        # Few, more than a joint call may have, and more than are predicted in the event loop.
        size = self.chance.choice([1, 1, 1, 2, 2, 3, 5, 9, 40, 200, 1500])
        rows: list[list[Any]] = numbers(size, self.chance)
        if self.mixed:
            for row in rows:
                row[2] = self.chance.choice(COLOURS)
                if self.chance.random() < 0.2:
                    row[self.chance.randrange(2)] = None
        return rows

    def request(self) -> tuple[bytes, int, Any]:
        """A request, the status of its answer, and the predictions or a part of the error."""
        kind, rows = self.chance.random(), self.rows()
        if kind < 0.08:
            return head(V1, b'{"instances": [[1, 2'), 400, "is not valid JSON"
        if kind < 0.16:
            return head(V1, json.dumps({"instances": [*rows, [1]]}).encode()), 400, "has 1 values"
        if kind < 0.3 and self.mixed:
            rows[self.chance.randrange(len(rows))][2] = "violet"
            return head(V1, json.dumps({"instances": rows}).encode()), 400, "Found unknown categories ['violet']"
        expected = self.to.predict(rows)
        if kind < 0.65:
            return head(V1, json.dumps({"instances": rows}).encode()), 200, expected
        if self.mixed:
            names = zip(["a", "b", "colour"], ["FP64", "FP64", "BYTES"], zip(*rows, strict=True), strict=True)
            inputs = [{"name": n, "datatype": d, "shape": [len(rows)], "data": column} for n, d, column in names]
        else:
            inputs = [{"name": "x", "datatype": "FP64", "shape": [len(rows), 3], "data": rows}]
        return head(V2, json.dumps({"inputs": inputs}).encode()), 200, expected

    async def run(self) -> None:
        done = 0
        while done < REQUESTS:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.to.port)
            try:
                for _number in range(self.chance.randint(1, 10)):
                    done += 1
                    if await self._leaves(reader, writer):
                        break
            finally:
                writer.close()

    async def _leaves(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one or two requests; whether the client has gone without an answer."""
        requests = [self.request() for _number in range(1 if self.chance.random() < 0.8 else 2)]
        sent, manner = b"".join(data for data, _status, _expected in requests), self.chance.random()
        if manner < 0.15:
            # A slow client among fast ones.
            for part in (sent[:30], sent[30:-20], sent[-20:]):
                writer.write(part)
                await asyncio.sleep(self.chance.uniform(0, 0.05))
        elif manner < 0.3:
            writer.write(sent if manner < 0.25 else sent[: len(sent) // 2])
            await writer.drain()
            if manner < 0.2:
                await asyncio.sleep(self.chance.uniform(0, 0.01))
            self.left += 1
            return True
        else:
            writer.write(sent)
        for _data, status, expected in requests:
            found, content = await asyncio.wait_for(answer(reader), 60)
            assert found == status, content
            if status == 200:
                predictions = content["predictions"] if "predictions" in content else content["outputs"][0]["data"]
                assert predictions == expected
            else:
                assert expected in content["error"]
            self.compared += 1
        return False


def counts(port: int) -> tuple[float, float]:
    """The number of calls of the model, and of the requests in them."""
    found = scrape(port)
    return found[f'{CALLS}_count{{model_name="{NAME}"}}'], found[f'{CALLS}_sum{{model_name="{NAME}"}}']


@pytest.mark.parametrize("name", ["forest", "picky", "dependent"])
def test_each_of_many_clients_gets_the_predictions_of_its_own_rows(name: str, request: pytest.FixtureRequest) -> None:
    to: Served = request.getfixturevalue(name)
    clients = [Client(to, seed, name == "picky") for seed in range(CLIENTS)]
    before = counts(to.port)

    async def run() -> None:
        await asyncio.gather(*(client.run() for client in clients))

    asyncio.run(run())
    assert sum(client.compared for client in clients) > CLIENTS * REQUESTS / 2
    assert sum(client.left for client in clients) > CLIENTS
    calls, requests = (after - first for after, first in zip(counts(to.port), before, strict=True))
    if name == "dependent":
        assert calls == requests
    else:
        assert calls < requests
    deadline = time.monotonic() + 30
    while scrape(to.port)[IN_FLIGHT]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def send(port: int, count: int, rows: Callable[[int], list[Any]]) -> list[socket.socket]:
    """Connections, each of which has sent a request."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _number in range(count)]
    for number, connection in enumerate(connections):
        body = json.dumps({"instances": rows(number)}).encode()
        connection.sendall(head(V1, body, "Connection: close\r\n"))
    return connections


def received(connection: socket.socket) -> Any:
    data = b""
    with connection:
        while part := connection.recv(65536):
            data += part
    assert data.startswith(b"HTTP/1.1 200"), data
    return json.loads(data.partition(b"\r\n\r\n")[2])["predictions"]


def of_number(number: int) -> list[list[float]]:
    return numbers(2, random.Random(number))


def test_a_quick_model_is_also_called_for_several_requests(tmp_path: Path) -> None:
    with serving(iris_folder(tmp_path), tmp_path / "server.log") as port:
        rows = {0: [[5.1, 3.5, 1.4, 0.2]], 2: [[6.7, 3.1, 5.6, 2.4]]}
        deadline, before = time.monotonic() + 60, counts(port)
        while True:
            connections = send(port, 30, lambda number: rows[number % 2 * 2] * (1 + number % 3))
            for number, connection in enumerate(connections):
                assert received(connection) == [number % 2 * 2] * (1 + number % 3)
            calls, requests = (after - first for after, first in zip(counts(port), before, strict=True))
            if calls < requests:
                break
            assert time.monotonic() < deadline, "no call had several requests"


def test_together_can_be_turned_off(tmp_path: Path) -> None:
    model = fitted_on_numbers(RandomForestRegressor(200, random_state=0))

    def predict(rows: list[Any]) -> list[Any]:
        return list(model.predict(rows).tolist())

    with served(tmp_path / "model", model, predict, PREDICT_TOGETHER="false") as to:
        connections = send(to.port, 20, of_number)
        assert [received(connection) for connection in connections] == [predict(of_number(n)) for n in range(20)]
        calls, requests = counts(to.port)
        assert calls == requests == 20


def slow(folder: Path, trees: int = 700, **environment: str) -> Any:
    """A server whose calls take so long that a test can act during one; with the model."""
    folder.mkdir()
    model = fitted_on_numbers(RandomForestRegressor(trees, max_depth=4, random_state=0))
    joblib.dump(model, folder / "model.joblib")
    port = free_port()
    process = start(folder, port, environment=environment)
    wait_until_ready(process, port)
    return process, port, lambda rows: model.predict(rows).tolist()


def wait_for(port: int, series: str, value: float) -> None:
    deadline = time.monotonic() + 60
    while scrape(port).get(series, 0) < value:
        assert time.monotonic() < deadline, series
        time.sleep(0.001)


def test_sigterm_during_a_joint_call_loses_no_request(tmp_path: Path) -> None:
    process, port, predict = slow(tmp_path / "model", DRAIN_SECONDS="0")
    try:
        (first,) = send(port, 1, of_number)
        wait_for(port, f'{CALLS}_count{{model_name="{NAME}"}}', 1)
        # These wait for the first, and are then predicted together.
        connections = send(port, 20, of_number)
        wait_for(port, IN_FLIGHT, 15)
        process.send_signal(signal.SIGTERM)
        assert received(first) == predict(of_number(0))
        assert [received(connection) for connection in connections] == [predict(of_number(n)) for n in range(20)]
        assert process.wait(60) == 0
    finally:
        process.kill()
        _output, errors = process.communicate()
        assert "Traceback" not in errors


def test_requests_of_clients_that_have_gone_are_not_predicted(tmp_path: Path) -> None:
    process, port, predict = slow(tmp_path / "model")
    try:
        (first,) = send(port, 1, of_number)
        wait_for(port, f'{CALLS}_count{{model_name="{NAME}"}}', 1)
        connections = send(port, 20, of_number)
        for connection in connections[::2]:
            connection.close()
        # While calls run in their thread, probes are answered.
        assert request(port, "GET", "/v2/health/ready")[0] == 200
        assert received(first) == predict(of_number(0))
        for number in range(1, 20, 2):
            assert received(connections[number]) == predict(of_number(number))
        found = scrape(port)
        gone = found[f'model_server_requests_total{{code="499",model_name="{NAME}",protocol="v1"}}']
        assert 0 < gone <= 10
        assert found[f'model_server_rows_total{{model_name="{NAME}"}}'] == 2 * (21 - gone)
        assert found[IN_FLIGHT] == 0
    finally:
        process.kill()
        _output, errors = process.communicate()
        assert "Traceback" not in errors


def test_one_of_100_000_rows_holds_no_small_ones(forest: Served) -> None:
    """It is predicted in a call of its own; those that come during it are answered before it."""
    large = numbers(100_000, random.Random(5))
    before = counts(forest.port)[0]
    (slow_one,) = send(forest.port, 1, lambda _number: large)
    wait_for(forest.port, f'{CALLS}_count{{model_name="{NAME}"}}', before + 1)
    for number in range(5):
        connections = send(forest.port, 10, of_number)
        for place, connection in enumerate(connections):
            assert received(connection) == forest.predict(of_number(place)), number
    slow_one.setblocking(False)
    with pytest.raises(BlockingIOError):
        slow_one.recv(1)
    slow_one.setblocking(True)
    assert received(slow_one) == forest.predict(large)


def test_a_thousand_connections(forest: Served) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(connection) for connection in send(forest.port, 400, of_number)]
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", forest.port), timeout=60)) for _n in range(600)
        ]
        expected = forest.predict([row for number in range(400) for row in of_number(number)])
        for number, connection in enumerate(connections):
            assert received(connection) == expected[2 * number : 2 * number + 2]
        for number, connection in enumerate(idle[::100]):
            connection.sendall(head(V1, json.dumps({"instances": of_number(number)}).encode(), "Connection: close\r\n"))
            assert received(connection) == forest.predict(of_number(number))


@pytest.mark.parametrize("value", ["", "yes", "1"])
def test_no_start_with_an_invalid_choice(tmp_path: Path, value: str) -> None:
    from model.tests.serving import start_error

    error = start_error(tmp_path, PREDICT_TOGETHER=value)
    assert error == f"Error: PREDICT_TOGETHER is {value!r}: set it to true or false."
