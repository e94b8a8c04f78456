# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The message of a module for missing requirements of its environment: one sentence with the fix."""

from __future__ import annotations

import os
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_run import ROOT, run_play

FailureMessage = Callable[..., str]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without packages."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture
def failure_message(tmp_path: Path) -> FailureMessage:
    """Run one task with only the given environment variables, and return its message."""

    def run(module: str, options: dict[str, Any], python: Path | str = sys.executable, **env: str) -> str:
        task = {"name": "Try", f"hashfoundry.kserve.{module}": options, "register": "tried", "ignore_errors": True}
        show = {"name": "Show", "ansible.builtin.debug": {"msg": "SAID {{ tried.msg | default('nothing') }}"}}
        play = {"name": "Try", "hosts": "localhost", "gather_facts": False, "tasks": [task, show]}
        words = ("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={python}")
        paths = {"PATH": os.defpath, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
        output = run_play(tmp_path, play, *words, env={**paths, **env})
        assert "Traceback" not in output
        (line,) = (line for line in output.splitlines() if "SAID " in line)
        return line.partition("SAID ")[2].strip('"')

    return run


@pytest.mark.parametrize(
    ("module", "options", "package"),
    [
        ("platform_info", {"kubeconfig": "/dev/null"}, "kubernetes"),
        ("inference_service_info", {"kubeconfig": "/dev/null", "namespace": "x"}, "kubernetes"),
        (
            "spaces_info",
            {"bucket": "models", "name": "iris", "access_key": "PLANTED1", "secret_key": "PLANTED2"},
            "boto3",
        ),
    ],
)
def test_a_missing_package_of_the_interpreter_is_named(
    failure_message: FailureMessage, bare: Path, module: str, options: dict[str, Any], package: str
) -> None:
    assert failure_message(module, options, bare) == (
        f"The Python package {package} is missing from {bare}: install it there with pip, or set "
        "ansible_python_interpreter to a Python that has it."
    )


@pytest.mark.parametrize("env", [{"LANG": "C"}, {"LANG": "C", "HOME": "/"}, {}], ids=["C", "root", "no-home"])
def test_neither_home_nor_locale_is_needed(
    failure_message: FailureMessage, env: dict[str, str], tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "größe"
    message = failure_message("platform_info", {"kubeconfig": str(kubeconfig)}, **env)
    assert message.startswith("There is no usable Kubernetes configuration")
    assert message.endswith("set kubeconfig and context, or host and api_key.")


def test_a_missing_helm_is_named(failure_message: FailureMessage) -> None:
    options = {"charts": [{"ref": "/tmp", "release": "x", "namespace": "x"}], "helm": "/nowhere/helm"}
    options |= {"kubeconfig": "/dev/null", "field_manager": "x"}
    message = failure_message("manifests", options)
    assert message == "/nowhere/helm cannot be run (No such file or directory); install Helm, or set helm to its path."
