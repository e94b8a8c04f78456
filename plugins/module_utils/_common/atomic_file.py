# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing files atomically.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put the file in place atomically, with its mode from the beginning; its folder must exist.

    :param mode: who may read it, by default its owner only.
    :raises OSError: it cannot be written; what was there is left as it was.
    """
    # mkstemp makes a file for the owner only.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def write_if_changed(path: Path, content: bytes, dry_run: bool, mode: int = 0o600, folder_mode: int = 0o700) -> bool:
    """Have the file contain the content, and say whether it did not.

    :param mode: who may read it where it is written, by default its owner only.
    :param folder_mode: likewise of its folder, where that does not exist.
    :raises OSError: it cannot be read or written.
    """
    if path.exists() and path.read_bytes() == content:
        return False
    if not dry_run:
        path.parent.mkdir(parents=True, exist_ok=True, mode=folder_mode)
        write(path, content, mode)
    return True
