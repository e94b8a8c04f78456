# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""import-linter.toml enforces the layers of the rooms of plugins/module_utils: an import of a higher floor is found."""

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
    """Check the rooms below a folder."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo", ROOT / "import-linter.toml"],
        cwd=packages,
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_rooms_import_only_lower_layers() -> None:
    result = lint(ROOT / "collections")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("_kube/objects.py", f"{ROOM}._apply.options import Options", "A room imports only rooms of lower floors"),
        ("_health/pod.py", f"{ROOM}._manifest_source.load import load", "A room imports only rooms of lower floors"),
        ("_load_test/plan.py", f"{ROOM}._apply.options import Options", "_load_test: only what it needs"),
        (
            "_common/redact.py",
            "from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._model_list import checked",
            "Rooms know nothing of the plugins",
        ),
        ("_new/module.py", "", "A room imports only rooms of lower floors"),
        ("_common/redact.py", "from ansible.module_utils.basic import AnsibleModule", "Rooms know nothing of Ansible"),
    ],
    ids=["upwards", "same layer", "room that it does not need", "plugins", "room without a layer", "ansible"],
)
def test_an_import_that_violates_a_contract_is_found(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "plugins", tmp_path / PACKAGE.parent)
    path = tmp_path / PACKAGE / file
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a") as text:
        text.write(f"{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    broken = [output_line for output_line in result.stdout.splitlines() if " BROKEN" in output_line]
    assert any(line.startswith(contract) for line in broken), result.stdout
