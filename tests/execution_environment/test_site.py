# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hashfoundry.kserve.site in the execution environment, by ansible-runner and ansible-navigator, without a home.

The user has no entry in /etc/passwd, and only the project, the artifacts and /tmp are writable. ansible-runner creates
its artifacts with mode 0700 for the user of the container, so it runs as that user itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import engine
from local.execution_environment import REF, tools
from local.settings import Settings
from tests.integration.conftest import ended
from tests.integration.test_from_tarball import INVENTORY, NAME, answer, trained

USER = 4321
OPTIONS = ("--network=host", "--read-only", "--tmpfs=/tmp")
# Root becomes the user, and can still read the environment with the tools, and the socket of the engine.
AS_USER = ("setpriv", f"--reuid={USER}", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
INSIDE = "/project"  # the project's path on both sides


@pytest.fixture(scope="module")
def folder(settings: Settings) -> Iterator[Path]:
    """A folder in the layout of ansible-runner, with a short inventory and a model."""
    # Not below pytest's folder, which root alone may enter: ansible-navigator checks what its real user may do.
    with tempfile.TemporaryDirectory(prefix="runner-", ignore_cleanup_errors=True) as name:
        prepare(settings, Path(name))
        yield Path(name)


def prepare(settings: Settings, folder: Path) -> None:
    """Lay out the folder, and give it to the user."""
    project = folder / "project"
    state = project / "state"
    (state / "bin").mkdir(parents=True)
    shutil.copyfile(settings.kubeconfig, state / "kubeconfig")
    (state / "bin" / "helm").symlink_to("/usr/local/bin/helm")
    for name in ("kserve/charts", "contour/examples/render"):
        shutil.copytree(settings.state / "sources" / name, state / "sources" / name, symlinks=False)
    key = settings.state / "s3-secret-key"
    (state / "s3-secret-key").write_text(key.read_text() if key.exists() else "of-the-test-in-a-container")
    trained(NAME, project / "model")
    text = INVENTORY.format(
        state=f"{INSIDE}/state",
        https_port=settings.https_port,
        s3_port=settings.s3_port,
        folder=f"{INSIDE}/model",
    )
    (folder / "inventory").mkdir()
    # The default path of ansible-runner, which is also passed to ansible-navigator.
    for place in (folder / "inventory" / "hosts.yml", project / "inventory.yml"):
        # The image has another Python than the serving image, and no scikit-learn, so the model is not validated in it.
        place.write_text(
            f"{text}    platform_state_folder: {INSIDE}/state\n"
            '    model_storage_gate: {load: false, python_version: "3.11"}\n'
        )
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, USER, 0, follow_symlinks=False)


def run(settings: Settings, folder: Path, program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ansible-runner or ansible-navigator as the user, on the container engine of the cluster."""
    docker = engine.answering(settings)
    assert docker is not None
    # Both pass the ANSIBLE_* variables of their environment on.
    env = {name: value for name, value in docker.env.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [*AS_USER, tools(settings) / program, *words],
        cwd=folder / "project",
        env={**env, "PATH": f"{tools(settings)}:{os.environ['PATH']}", "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def changed(result: subprocess.CompletedProcess[str]) -> int:
    """Assert that a run has succeeded, and return its number of changed tasks."""
    assert result.returncode == 0, result.stdout[-4000:]
    assert re.findall(r"failed=(\d+)", result.stdout)[-1] == "0"
    return int(re.findall(r"changed=(\d+)", result.stdout)[-1])


def by_runner(settings: Settings, folder: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = ["run", folder, "--playbook", "hashfoundry.kserve.site"]
    command += ["--process-isolation", "--container-image", REF]
    command += ["--process-isolation-executable", "docker"]
    command += ["--container-volume-mount", f"{folder}/project:{INSIDE}"]
    for option in OPTIONS:
        command.append(f"--container-option={option}")
    return run(settings, folder, "ansible-runner", *command)


def by_a_user_without_a_home(settings: Settings, folder: Path) -> subprocess.CompletedProcess[str]:
    docker = engine.answering(settings)
    assert docker is not None
    command = ["docker", "run", "--rm", *OPTIONS, f"--user={USER}", f"--volume={folder}/project:{INSIDE}"]
    command += [f"--workdir={INSIDE}", REF, "ansible-playbook", "hashfoundry.kserve.site", "-i", "inventory.yml"]
    return ended(command, folder, docker.env, timeout=None)


@pytest.fixture(scope="module")
def served(settings: Settings, folder: Path) -> None:
    """site.yml, as a user without a home."""
    changed(by_a_user_without_a_home(settings, folder))


@pytest.mark.usefixtures("served")
def test_the_model_answers(settings: Settings, folder: Path) -> None:
    shutil.copyfile(folder / "project" / "state" / "ca.crt", settings.state / "ca.crt")
    assert answer(settings, NAME) == {"predictions": [0, 2]}


@pytest.mark.usefixtures("served")
def test_a_second_run_changes_nothing(settings: Settings, folder: Path) -> None:
    assert changed(by_a_user_without_a_home(settings, folder)) == 0


@pytest.mark.usefixtures("served")
def test_ansible_runner_runs_it_too(settings: Settings, folder: Path) -> None:
    assert changed(by_runner(settings, folder)) == 0


@pytest.mark.usefixtures("served")
def test_ansible_navigator_runs_it_too(settings: Settings, folder: Path) -> None:
    words = ["run", "hashfoundry.kserve.site", "--mode=stdout", "--container-engine=docker", f"--eei={REF}"]
    words += ["--pull-policy=never", "--playbook-artifact-enable=false", "--display-color=false"]
    words += [f"--container-options={option}" for option in (*OPTIONS, f"--user={USER}")]
    words += [f"--eev={folder}/project:{INSIDE}", "-i", f"{INSIDE}/inventory.yml"]
    assert changed(run(settings, folder, "ansible-navigator", *words)) == 0
