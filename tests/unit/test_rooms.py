# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""import-linter.toml holds the rooms of plugins/module_utils to their floors: an import upwards is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path("ansible_collections", "hashfoundry", "kserve", "plugins", "module_utils")
ROOM = "from ansible_collections.hashfoundry.kserve.plugins.module_utils"


def lint(packages: Path) -> subprocess.CompletedProcess[str]:
    """Check the rooms that are found below a folder."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo", ROOT / "import-linter.toml"],
        cwd=packages,
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_rooms_keep_to_their_floors() -> None:
    done = lint(ROOT / "collections")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("_kube/objects.py", f"{ROOM}._apply.options import Options", "A room imports only rooms of lower floors"),
        ("_health/pod.py", f"{ROOM}._manifest_source.load import load", "A room imports only rooms of lower floors"),
        ("_new/module.py", "", "A room imports only rooms of lower floors"),
        ("_common/redact.py", "from ansible.module_utils.basic import AnsibleModule", "Rooms know nothing of Ansible"),
    ],
    ids=["upwards", "beside", "a-room-without-a-floor", "ansible"],
)
def test_what_breaks_a_contract_is_found(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "plugins" / "module_utils", tmp_path / PACKAGE)
    path = tmp_path / PACKAGE / file
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a") as text:
        text.write(f"{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    broken = [said for said in done.stdout.splitlines() if " BROKEN" in said]
    assert [said.startswith(contract) for said in broken] == [True], done.stdout
