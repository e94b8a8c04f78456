# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A custom play uses the cluster of platform_kubeconfig, and not the current context of kubectl."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from tests.unit.ansible_run import environment, exit_code_and_output

from .http_cluster import serving, write_kubeconfig

Run = Callable[..., str]


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Two ports at which nothing listens."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        yield one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def run(tmp_path: Path, ports: tuple[int, int]) -> Run:
    """Run a role while kubectl would use the second cluster, and return the output in one line."""
    own = write_kubeconfig(tmp_path / "own.yml", f"https://127.0.0.1:{ports[0]}")
    other = write_kubeconfig(tmp_path / "other.yml", f"https://127.0.0.1:{ports[1]}")
    env = environment("K8S_", "HASHFOUNDRY_", KUBECONFIG=str(other), XDG_CACHE_HOME=str(tmp_path / "cache"))

    def play(role: str, **words: object) -> str:
        task = {"ansible.builtin.include_role": {"name": f"hashfoundry.kserve.{role}"}}
        (tmp_path / "play.yml").write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
        )
        given = {"platform_kubeconfig": str(own), "platform_domain": "models.example.com", **words}
        arguments = ("play.yml", "-e", json.dumps(given))
        code, output = exit_code_and_output("ansible-playbook", *arguments, folder=tmp_path, env=env)
        assert code == 2, output
        return " ".join(output.split())

    return play


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("model_namespace", {"platform_access_key": "a", "platform_secret_key": "b"}),
        # Its tasks are in an entry point of the role platform.
        ("kserve", {"kserve_state": "existing"}),
        ("platform_teardown", {}),
    ],
)
def test_the_tasks_of_a_role_use_the_cluster_of_platform_kubeconfig(
    run: Run, ports: tuple[int, int], role: str, words: dict[str, str]
) -> None:
    output = run(role, **words)
    assert str(ports[0]) in output
    assert str(ports[1]) not in output


def test_a_manifest_is_downloaded_to_the_cache_before_it_is_applied(
    run: Run, ports: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "contour.yaml").write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: projectcontour}\n"
    )
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with serving(handler) as server:
        url = f"{server}/contour.yaml"
        output = run("gateway", gateway_manifest=url)
    name = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    cached = tmp_path / "cache" / "hashfoundry-kserve" / "manifests" / f"{name}.yaml"
    assert "projectcontour" in cached.read_text()
    assert str(ports[0]) in output
