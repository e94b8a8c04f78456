# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The digest of the model version in a folder, from the manifest that spaces_upload uploads with the files.

A folder without a manifest is from elsewhere; its digest is that of the model file, if that is the one required.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .errors import StartError

MANIFEST = "manifest.json"


def read_digest(model_file: Path, sha256: str, required: str | None) -> str | None:
    """``sha256:`` and the SHA-256 of the manifest, or None if no manifest lists the model file.

    Args:
        sha256: of the model file's content, in hexadecimal.
        required: the digest that the version must have, or None for any.

    Raises:
        StartError: the folder contains another version than required, or an incomplete one.
    """
    path = model_file.with_name(MANIFEST)
    hint = "upload the version again, or set MODEL_DIGEST to its digest"
    try:
        content = path.read_bytes()
    except OSError as error:
        if required == f"sha256:{sha256}" and isinstance(error, FileNotFoundError):
            return required
        if required:
            raise StartError(
                f"MODEL_DIGEST is {required}, but {path} cannot be read ({error.strerror}): {hint}."
            ) from error
        return None
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if required and digest != required:
        raise StartError(f"MODEL_DIGEST is {required}, but the version in {path.parent} has {digest}: {hint}.")
    try:
        listed = json.loads(content)["files"][model_file.name]["sha256"]
    except (ValueError, KeyError, TypeError):
        listed = None
    if listed == sha256:
        return digest
    if required:
        found = listed or "none"
        raise StartError(f"The model file {model_file} has the SHA-256 {sha256} but {MANIFEST} lists {found}: {hint}.")
    return None
