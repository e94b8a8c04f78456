# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that run roles on the in-memory API server."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import environment, exit_code_and_output

from .http_cluster import MODEL, Answer, Cluster, answering, cluster, serving

Run = Callable[..., tuple[int, str]]
Serve = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with these answers, and return its URL."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(serving(answering(answer)))


@pytest.fixture
def closed_url() -> Iterator[str]:
    """A URL at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as made:
        yield made


@pytest.fixture
def run(tmp_path: Path, api: Cluster) -> Run:
    """Run roles on the cluster with a version of iris, and return the exit code and the output in one line."""

    def play(roles: list[str], version: str, *words: str, **more: object) -> tuple[int, str]:
        return run_roles(tmp_path, api, roles, version, *words, **more)

    return play


@pytest.fixture(scope="session")
def objects_of_v1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The objects of a cluster on which the role model_serving has run with v1, once for all tests that begin so."""
    folder = tmp_path_factory.mktemp("v1")
    with cluster(folder) as made:
        code, output = run_roles(folder, made, ["model_serving"], "v1")
    assert code == 2, output
    return made.objects


@pytest.fixture
def serves_v1(api: Cluster, objects_of_v1: dict[str, Any]) -> None:
    """The role model_serving has run on the cluster with v1."""
    api.objects.update(copy.deepcopy(objects_of_v1))


def run_roles(
    folder: Path, api: Cluster, roles: list[str], version: str, *words: str, **more: object
) -> tuple[int, str]:
    """Run roles on a cluster; parameters and result as of the fixture run, folder: where the play is written."""
    names = [f"hashfoundry.kserve.{role}" for role in roles]
    content = [{"hosts": "localhost", "gather_facts": False, "roles": names}]
    (folder / "play.yml").write_text(yaml.safe_dump(content))
    variables = {
        "models": [{**MODEL, "version": version}],
        "platform_kubeconfig": str(api.kubeconfig),
        "platform_domain": "localhost",
        # The API server has no nodes.
        "platform_capacity": "ignore",
        "platform_bucket": "models",
        "platform_model_namespace": "models",
        "platform_access_key": "the-access-key",
        "platform_secret_key": "the-secret-key",
        "model_serving_digests": {f"s3://models/iris/{at}/": f"sha256:{at}" for at in ("v1", "v2")},
        # There is no controller, so nothing will ever serve.
        "model_serving_timeout": 1,
    }
    env = environment("AWS_", "HASHFOUNDRY_", "SPACES_", "K8S_", "KUBECONFIG")
    arguments = ("play.yml", *words, "-e", json.dumps({**variables, **more}))
    code, output = exit_code_and_output("ansible-playbook", *arguments, folder=folder, env=env)
    return code, " ".join(output.split())
