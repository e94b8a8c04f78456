# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments in the cache, beside that of the checkout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from local.run import run
from local.settings import Settings

HINT = "check that PyPI is reachable, or set UV_INDEX_URL."


def ensure(config: Settings, name: str, lock: Path, python: str = sys.executable, packages: Sequence[str] = ()) -> Path:
    """Create the virtual environment, unless it is cached; return its folder.

    name: its folder in the cache, which contains a digest of everything that it depends on; lock: the packages with
    their hashes; python: its interpreter or version, as uv takes them; packages: further ones, with their versions.
    Raises LocalError if it cannot be created.
    """
    folder = config.cache / "environments" / name
    made = folder / "made"
    if not made.exists():
        uv = Path(sys.executable).with_name("uv")
        install: list[str | Path] = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            folder / "bin" / "python",
        ]
        run([uv, "venv", "--quiet", "--clear", "--python", python, folder], hint=HINT)
        run([*install, "--require-hashes", "-r", lock], hint=HINT)
        if packages:
            run([*install, *packages], hint=HINT)
        made.touch()
    return folder
