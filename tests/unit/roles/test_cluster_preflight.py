# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each failure of the preflight has its own reason and cure; only an API server without an answer "does not answer"."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.unit.ansible_run import environment, exit_code_and_output


class Unauthorized(BaseHTTPRequestHandler):
    """An API server that does not accept the token."""

    def do_GET(self) -> None:
        body = json.dumps({"kind": "Status", "status": "Failure", "message": "Unauthorized", "code": 401}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Print nothing."""


@pytest.fixture
def unauthorized() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Unauthorized) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def closed() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def preflight(folder: Path, text: str | None, **variables: object) -> str:
    """Run the role with a kubeconfig, or without one, and return the last error in one line."""
    if text is not None:
        (folder / "kubeconfig").write_text(text)
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["hashfoundry.kserve.cluster_preflight"]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    given = {"platform_kubeconfig": str(folder / "kubeconfig"), "platform_domain": "models.example.com", **variables}
    env = environment("K8S_", "HASHFOUNDRY_", "KUBECONFIG")
    words = ("play.yml", "-e", json.dumps(given))
    code, output = exit_code_and_output("ansible-playbook", *words, folder=folder, env=env)
    assert code == 2, output
    return " ".join(output.split("Assert that the cluster")[-1].split())


def kubeconfig(server: str) -> str:
    context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
    cluster = {"name": "one", "cluster": {"server": server}}
    user = {"name": "one", "user": {"token": "PLANTED"}}
    return yaml.safe_dump(
        {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "one", "kind": "Config"}
    )


def test_an_api_server_that_cannot_be_reached(tmp_path: Path, closed: str) -> None:
    output = preflight(tmp_path, kubeconfig(closed))
    assert "does not answer" in output and "(APIServerUnreachable)" in output


def test_credentials_that_are_not_accepted(tmp_path: Path, unauthorized: str) -> None:
    output = preflight(tmp_path, kubeconfig(unauthorized))
    assert (
        "does not answer" not in output and "does not accept the credentials" in output and "(Unauthorized)" in output
    )


def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    output = preflight(tmp_path, "kind: Config\n")
    assert "does not answer" not in output and "(InvalidKubeconfig)" in output
    assert f"in {tmp_path}/kubeconfig" in output


def test_a_fault_of_the_list_of_models_comes_before_that_of_the_kubeconfig(tmp_path: Path) -> None:
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtme": "kserve-sklearnserver"}
    output = preflight(tmp_path, None, models=[model])
    assert "Model iris: runtme is not a key of a model; the keys are: digest, exposure" in output
    assert "is missing" not in output


def test_a_missing_kubeconfig_names_each_place_to_set_another(tmp_path: Path) -> None:
    output = preflight(tmp_path, None, models=[])
    assert f"The kubeconfig {tmp_path}/kubeconfig of localhost is missing; create the cluster" in output
    for place in ("platform_kubeconfig", "K8S_AUTH_KUBECONFIG", "KUBECONFIG or ~/.kube/config"):
        assert place in output
    assert "(KubeconfigMissing)" in output


@pytest.mark.parametrize("place", ["option", "K8S_AUTH_KUBECONFIG", "KUBECONFIG", "home"])
def test_each_place_of_a_kubeconfig_is_read(
    tmp_path: Path, unauthorized: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    file = tmp_path / ".kube" / "config"
    file.parent.mkdir()
    file.write_text(kubeconfig(unauthorized))
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["hashfoundry.kserve.cluster_preflight"]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    if place != "home":
        monkeypatch.setenv("HOME", str(tmp_path / "other"))
    env = environment("K8S_", "HASHFOUNDRY_", "KUBECONFIG")
    env |= {place: str(file)} if place.isupper() else {"HOME": str(tmp_path)} if place == "home" else {}
    given = {"platform_domain": "models.example.com"}
    if place != "K8S_AUTH_KUBECONFIG":
        given["platform_kubeconfig"] = str(file) if place == "option" else ""
    code, output = exit_code_and_output(
        "ansible-playbook", "play.yml", "-e", json.dumps(given), folder=tmp_path, env=env
    )
    assert code == 2 and "does not accept the credentials" in " ".join(output.split())
