# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which version of a model lies in the folder, by the manifest that spaces_upload puts beside the files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .errors import StartError

MANIFEST = "manifest.json"


def read_digest(model_file: Path, sha256: str, wanted: str | None) -> str | None:
    """The version's digest, ``sha256:`` and that of the manifest, or None where no manifest names the model file.

    Args:
        sha256: of the model file's content, in hexadecimal.
        wanted: the digest that the version must have, or None for any.

    Raises:
        StartError: the folder holds another version than the wanted one, or what is no whole version.
    """
    path = model_file.with_name(MANIFEST)
    again = "store the model's version again, or ask for the digest that it has"
    try:
        content = path.read_bytes()
    except OSError as error:
        if wanted:
            raise StartError(
                f"MODEL_DIGEST is {wanted} and {path} cannot be read ({error.strerror}): {again}."
            ) from error
        return None
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if wanted and digest != wanted:
        raise StartError(f"MODEL_DIGEST is {wanted} and the version in {path.parent} has {digest}: {again}.")
    try:
        named = json.loads(content)["files"][model_file.name]["sha256"]
    except (ValueError, KeyError, TypeError):
        named = None
    if named == sha256:
        return digest
    if wanted:
        what = f"the SHA-256 {named}" if named else "none"
        raise StartError(f"The model file {model_file} has the SHA-256 {sha256} where {MANIFEST} has {what}: {again}.")
    return None
