# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the integration tests, for the cluster of the HASHFOUNDRY_* variables, which site.yml has converged.

Manually, on the cluster of `make demo`: `python -m pytest tests/integration`. `make molecule` runs them on its cluster.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from local import demo, engine
from local import settings as local_settings
from local.settings import REPOSITORY, Settings

Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
Kubectl = Callable[..., str]
Docker = Callable[..., str]
OnNode = Callable[..., str]


def ended(
    command: Sequence[str | Path], folder: Path, env: Mapping[str, str], timeout: float | None
) -> subprocess.CompletedProcess[str]:
    """Run a command without input until it exits; stdout includes standard error, as in a terminal."""
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def errors(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of Ansible's errors."""
    return [line for line in result.stdout.splitlines() if line.startswith("[ERROR]: ")]


def reason(result: subprocess.CompletedProcess[str]) -> str:
    """Why a playbook failed: Ansible's errors in the first line, for pytest's summary, then the end of the log."""
    return "\n".join([" / ".join(errors(result)), result.stdout[-3000:]])


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the cluster under test."""
    return local_settings.load()


@pytest.fixture(scope="session")
def playbook_env(settings: Settings) -> dict[str, str]:
    """The environment of playbooks, without the ANSIBLE_* variables that Molecule sets."""
    env = demo.playbook_env(settings)
    return {name: value for name, value in env.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_CONFIG"}


@pytest.fixture(scope="session")
def playbook(playbook_env: dict[str, str]) -> Playbook:
    """Run ansible-playbook: playbook("playbooks/verify.yml", "-e", "a=b", env={"NAME": "value"}).

    The timeout is longer than that of any role, so that the role reports what is wrong.
    """

    def run(
        *words: str | Path, env: Mapping[str, str] | None = None, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [program, "-i", "inventories/local", *words]
        return ended(command, REPOSITORY, {**playbook_env, **(env or {})}, timeout)

    return run


@pytest.fixture(scope="session")
def kubectl(settings: Settings) -> Kubectl:
    """Run kubectl on the cluster under test and return its output: kubectl("get", "pods", "-n", "ml-models")."""

    def run(*words: str, check: bool = True) -> str:
        command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}", "--request-timeout=30s"]
        result = subprocess.run(
            [*command, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            pytest.fail(f"kubectl {' '.join(words)}: {result.stderr.strip()}")
        return result.stdout

    return run


@pytest.fixture(scope="session")
def node(settings: Settings) -> str:
    """The container that is the cluster's only node."""
    return f"{settings.cluster}-control-plane"


@pytest.fixture(scope="session")
def docker(settings: Settings) -> Docker:
    """Run docker on the engine of the cluster under test and return its output: docker("restart", node)."""
    found = engine.answering(settings)
    assert found is not None
    return found.docker


@pytest.fixture(scope="session")
def on_node(docker: Docker, node: str) -> OnNode:
    """Run a command on the node and return its output: on_node("ls", "/srv")."""

    def run(*words: str) -> str:
        return docker("exec", node, *words)

    return run


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that is reserved and at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
