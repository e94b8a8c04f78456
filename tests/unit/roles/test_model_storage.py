# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload in check mode on a bare cluster, whose object store is still to be installed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: localhost
  gather_facts: false
  roles: [hashfoundry.kserve.model_storage]
"""
# The folder has no real model.
GATE = {"load": False, "metadata": False}
Run = Callable[..., tuple[int, str]]
NOT_INSTALLED = "The in-cluster object store is not installed yet, so check mode could not compare iris with it."


class Refuses(BaseHTTPRequestHandler):
    """An object store that does not know the access key."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>Unknown</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Be quiet."""


@pytest.fixture
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the role with a model's folder, and return the exit code and all that was said, in one line."""
    folder = tmp_path / "v1"
    folder.mkdir()
    (folder / "model.joblib").write_bytes(b"model")
    (folder / "metadata.json").write_text("{}")
    (tmp_path / "play.yml").write_text(PLAY)
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
    variables = {
        "models": [
            {**model, "storage": "s3", "source": {"folder": str(folder)}, "gate": {"load": False, "metadata": False}}
        ],
        "platform_bucket": "models",
        "platform_access_key": "the-access-key",
        "platform_secret_key": "the-secret-key",
    }
    left_out = ("ANSIBLE_", "AWS_", "HASHFOUNDRY_", "SPACES_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    env |= {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_LOCALHOST_WARNING": "false"}

    def play(*words: str, **more: object) -> tuple[int, str]:
        command = [Path(sys.executable).with_name("ansible-playbook"), "play.yml", *words]
        command += ["-e", json.dumps({**variables, **more})]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return play


def test_check_mode_goes_on_while_the_store_is_to_be_installed(run: Run, nobody: str) -> None:
    code, said = run("--check", platform_endpoint_url=nobody, platform_object_storage=True)
    assert code == 0, said
    assert NOT_INSTALLED in said


@pytest.mark.parametrize(
    ("words", "in_cluster"), [((), True), (("--check",), False)], ids=["no check mode", "another store"]
)
def test_an_unreachable_store_fails_elsewhere(run: Run, nobody: str, words: tuple[str, ...], in_cluster: bool) -> None:
    code, said = run(*words, platform_endpoint_url=nobody, platform_object_storage=in_cluster)
    assert code == 2
    assert f"{nobody} cannot be reached" in said


def test_wrong_credentials_fail_in_check_mode_too(run: Run, refusing: str) -> None:
    code, said = run("--check", platform_endpoint_url=refusing, platform_object_storage=True)
    assert code == 2
    assert NOT_INSTALLED not in said
