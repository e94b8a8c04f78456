# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests share: the cluster that the HASHFOUNDRY_* variables name, which site.yml has converged.

By hand, on the demo's cluster: `python -m pytest tests/integration`. In `make molecule`, on the scenario's own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from local import demo
from local import settings as local_settings
from local.settings import REPOSITORY, Settings

Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
Kubectl = Callable[..., str]


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
    """The environment in which playbooks run, without the ANSIBLE_* variables of a Molecule around the tests."""
    env = demo.playbook_env(settings)
    return {name: value for name, value in env.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_CONFIG"}


@pytest.fixture(scope="session")
def playbook(playbook_env: dict[str, str]) -> Playbook:
    """Run ansible-playbook: playbook("playbooks/verify.yml", "-e", "a=b", env={"NAME": "value"}).

    stdout of what is returned holds standard output and standard error as a person would see them.
    """

    def run(
        *words: str | Path, env: Mapping[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("ansible-playbook")
        return subprocess.run(
            [program, "-i", "inventories/local", *words],
            cwd=REPOSITORY,
            env={**playbook_env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def kubectl(settings: Settings) -> Kubectl:
    """Run kubectl on the cluster under test and return what it prints: kubectl("get", "pods", "-n", "ml-models")."""

    def run(*words: str, check: bool = True) -> str:
        command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}", "--request-timeout=30s"]
        done = subprocess.run([*command, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if check and done.returncode:
            pytest.fail(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    return run
