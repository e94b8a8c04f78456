# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Without HOME the default paths are in the user's home folder, or in the temporary folder, and never below /."""

from __future__ import annotations

from pathlib import Path

from tests.unit.ansible_run import environment, run_play


def test_the_default_paths_without_home(tmp_path: Path) -> None:
    roles = ("platform", "platform_upgrade")
    names = ("platform_manifest_cache", "platform_upgrade_backup_folder", "platform_state_folder")
    show = [{"ansible.builtin.debug": {"msg": f"{name}={{{{ {name} }}}}"}} for name in names]
    paths = [str(Path(__file__).resolve().parents[3] / "roles" / role / "defaults" / "main.yml") for role in roles]
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": paths, "tasks": show}
    env = environment("HOME", "XDG_", "HASHFOUNDRY_", ANSIBLE_LOCAL_TEMP=str(tmp_path / "tmp"))
    output = run_play(tmp_path, play, env=env)
    for name in names:
        assert f"{name}=/" in output and f"{name}=/." not in output
