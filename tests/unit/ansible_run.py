# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of Ansible's commands with the collection of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def run_ansible(command: str, *words: str | Path, folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command of Ansible in a folder, assert that it succeeds, and return its output.

    :param command: the name, such as ansible-playbook.
    :param env: the environment, by default environment().
    """
    code, output = exit_code_and_output(command, *words, folder=folder, env=env)
    assert code == 0, output
    return output


def exit_code_and_output(
    command: str, *words: str | Path, folder: Path, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command of Ansible in a folder; parameters as of run_ansible."""
    result = subprocess.run(
        [Path(sys.executable).with_name(command), *words],
        cwd=folder,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


def run_play(folder: Path, play: dict[str, Any], *words: str, env: Mapping[str, str] | None = None) -> str:
    """Run a play in a folder, assert that it succeeds, and return its output.

    :param words: further arguments of ansible-playbook, such as the inventory.
    """
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    return run_ansible("ansible-playbook", *words, "play.yml", folder=folder, env=env)


def environment(*without: str, **settings: str) -> dict[str, str]:
    """The environment of this process with this checkout's collection, and these as Ansible's only settings.

    :param without: prefixes of further variables that are removed.
    """
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", *without))},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        **settings,
    }
