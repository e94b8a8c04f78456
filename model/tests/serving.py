# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real server as its own process, and requests to it, for the tests over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from model.folder import write_folder
from model.iris.recipe import RECIPE
from model.training import train

# As in the image of the model server, where the folder is the package server.
MODEL = Path(__file__).parents[1]
NAME = "model"


def iris_folder(parent: Path) -> Path:
    """Train the iris model, and write its version v1 below the parent folder."""
    path = parent / "v1"
    write_folder(path, train(RECIPE, RECIPE.load(42), "v1", 42, 0.95))
    return path


def start(
    folder: Path, port: int, log: int | TextIO = subprocess.PIPE, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "server", "--model_name", NAME, "--model_dir", str(folder)]
    command += ["--http_port", str(port)]
    # The tests do not need the drain.
    env = os.environ | {"DRAIN_SECONDS": "0"} | (environment or {})
    return subprocess.Popen(command, cwd=MODEL, stdout=log, stderr=log, encoding="utf-8", env=env)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def request(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and parsed response. A body that is not bytes is sent as JSON; only the given headers are sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def raw(port: int, *parts: bytes, host: str = "127.0.0.1") -> bytes:
    """What the server answers to bytes, each part in a packet of its own."""
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05 if len(parts) > 1 else 0)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


def scrape(port: int) -> dict[str, float]:
    """The value of each series that the server exposes, by its name and labels as they are written."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
    finally:
        connection.close()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _space, value in lines}


def wait_until_ready(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail("the server stopped")
        try:
            assert request(port, "GET", f"/v2/models/{NAME}/ready") == (200, {"name": NAME, "ready": True})
            return
        except ConnectionError:
            time.sleep(0.1)
    pytest.fail("the server did not start in 120 s")


def start_error(folder: Path, **environment: str) -> str:
    process = start(folder, free_port(), environment=environment)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, output + errors
    (line,) = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in output + errors
    return line


@contextmanager
def serving(folder: Path, log_file: Path, **environment: str) -> Iterator[int]:
    """The port of a server that serves the folder, and that must survive all requests."""
    number = free_port()
    log = log_file.open("w+")
    process = start(folder, number, log, environment)
    try:
        wait_until_ready(process, number)
        yield number
        assert process.poll() is None, "the server did not survive the bad requests"
        log.seek(0)
        text = log.read()
        assert "Traceback" not in text
    finally:
        process.terminate()
        process.wait(30)
        log.close()
