# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A play with this checkout's collection, whatever Ansible is told by the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]


def played(folder: Path, play: dict[str, Any], *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the play in the folder, which must not fail.

    :param words: further words of the command, such as the inventory's.
    :param settings: further variables of the environment.
    """
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        **settings,
    }
    command = [Path(sys.executable).with_name("ansible-playbook"), *words, "play.yml"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
