# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write a model folder atomically.

A model folder contains one model file and ``metadata.json``, nothing else. It is uploaded to
``bucket/name/version/``, so an incomplete folder must never be visible. Writing the same content
twice changes nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from model.errors import ModelError


def write_folder(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Write ``folder`` so that it contains exactly ``files`` (file name -> content).

    The files are written to a temporary folder in the same parent, which is then renamed. An
    interrupted run leaves the old folder, the new one or none, never a mixture. It may also leave
    a hidden ``.NAME.*`` folder, which can be deleted.

    Args:
        folder: the model folder; missing parents are created. An earlier model folder (no other file
            names than those in ``files``) is replaced.
        files: content by file name.

    Returns:
        False if the folder already had the same content and was not changed, else True.

    Raises:
        ModelError: the folder cannot be written, or contains files that do not belong to a model.
    """
    folder = folder.resolve()
    try:
        if folder.exists() and not folder.is_dir():
            raise ModelError(f"{folder} is a file: choose a folder for the model as --output.")
        if _contains(folder, files):
            return False
        _reject_foreign_files(folder, files)
        _replace(folder, files)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(
            f"The model cannot be written to {folder} ({reason}): free disk space, or choose another --output folder."
        ) from error
    return True


def _contains(folder: Path, files: Mapping[str, bytes]) -> bool:
    if not folder.is_dir() or {entry.name for entry in folder.iterdir()} != set(files):
        return False
    return all((folder / name).is_file() and (folder / name).read_bytes() == data for name, data in files.items())


def _reject_foreign_files(folder: Path, files: Mapping[str, bytes]) -> None:
    if not folder.is_dir():
        return
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in files)
    if foreign:
        raise ModelError(
            f"{folder} contains files that do not belong to a model ({', '.join(foreign[:3])}): "
            "choose an empty folder as --output."
        )


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        new = scratch / "new"
        new.mkdir()
        for file_name, data in files.items():
            with (new / file_name).open("wb") as stream:
                stream.write(data)
                # Otherwise the files could be empty after a power failure that follows the rename.
                stream.flush()
                os.fsync(stream.fileno())
        # rename(2) does not replace a folder that is not empty, so the old one is moved first.
        old = scratch / "old"
        if folder.is_dir():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.is_dir():
                old.rename(folder)
            raise
