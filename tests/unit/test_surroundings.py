# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-playbook says where the machine around it lacks something: one sentence with the cure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Said = Callable[..., str]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with nothing but its standard library."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture
def said(tmp_path: Path) -> Said:
    """Run one task in an environment of nothing but what is given, and return its message."""

    def run(module: str, options: dict[str, Any], python: Path | str = sys.executable, **env: str) -> str:
        task = {"name": "Try", f"hashfoundry.kserve.{module}": options, "register": "tried", "ignore_errors": True}
        show = {"name": "Show", "ansible.builtin.debug": {"msg": "SAID {{ tried.msg | default('nothing') }}"}}
        play = [{"name": "Try", "hosts": "localhost", "gather_facts": False, "tasks": [task, show]}]
        (tmp_path / "play.yml").write_text(json.dumps(play))
        command = [Path(sys.executable).with_name("ansible-playbook"), "play.yml", "-i", "localhost,", "-c", "local"]
        done = subprocess.run(
            [*command, "-e", f"ansible_python_interpreter={python}"],
            cwd=tmp_path,
            env={"PATH": os.defpath, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert "Traceback" not in done.stdout
        (line,) = (line for line in done.stdout.splitlines() if "SAID " in line)
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
def test_a_package_that_the_interpreter_lacks_is_named(
    said: Said, bare: Path, module: str, options: dict[str, Any], package: str
) -> None:
    assert said(module, options, bare) == (
        f"The Python package {package} is missing from {bare}: install it there with pip, or set "
        "ansible_python_interpreter to a Python that has it."
    )


@pytest.mark.parametrize("env", [{"LANG": "C"}, {"LANG": "C", "HOME": "/"}, {}], ids=["C", "root", "no-home"])
def test_neither_a_home_nor_a_language_is_needed(said: Said, env: dict[str, str], tmp_path: Path) -> None:
    kubeconfig = tmp_path / "größe"
    message = said("platform_info", {"kubeconfig": str(kubeconfig)}, **env)
    assert message.startswith("There is no usable Kubernetes configuration")
    assert message.endswith("set kubeconfig and context, or host and api_key.")


def test_a_helm_that_is_not_there_is_named(said: Said) -> None:
    options = {"charts": [{"ref": "/tmp", "release": "x", "namespace": "x"}], "helm": "/nowhere/helm"}
    options |= {"kubeconfig": "/dev/null", "field_manager": "x"}
    message = said("manifests", options)
    assert message == "/nowhere/helm cannot be run (No such file or directory); install Helm, or set helm to its path."
