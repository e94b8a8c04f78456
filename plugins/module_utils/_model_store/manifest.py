# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest of a version: what makes many objects one atomic version.

It is the object C(manifest.json) below the version's prefix, JSON in UTF-8:

    {"files": {"model.joblib": {"sha256": "<64 hexadecimal digits>", "size": 5120}}, "schema": 1}

C(files) has every other object of the version, by its path below the prefix; C(size) is in bytes. Keys are in order,
there is no white space but one line feed at the end, and characters outside ASCII stand for themselves: so equal
files give equal bytes, and the sha256 of these bytes is the version's digest.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

MANIFEST = "manifest.json"
SCHEMA = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """A file of a version; sha256: hexadecimal; size: bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The files of a version by their path below its prefix."""

    files: dict[str, Entry]
    content: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        files = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in self.files.items()}
        text = json.dumps({"files": files, "schema": SCHEMA}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        object.__setattr__(self, "content", text.encode() + b"\n")

    @property
    def sha256(self) -> str:
        """The hexadecimal digest of the manifest's bytes."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def digest(self) -> str:
        """What the version is known by."""
        return f"sha256:{self.sha256}"

    @property
    def size(self) -> int:
        """The size of all files together, in bytes."""
        return sum(entry.size for entry in self.files.values())


def parse(content: bytes, where: str) -> Manifest:
    """Read a manifest.

    :param where: its address, for the error.
    :raises KServeError: it is not one, or not in the one form that gives its digest.
    """
    try:
        manifest = Manifest(_files(json.loads(content)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        manifest = None
    if manifest is None or manifest.content != content:
        raise KServeError(
            f"{where} is no manifest of schema {SCHEMA}, so nothing is known of this version; "
            "see who has written it, and upload the model under another version, or again with overwrite if it is not "
            "needed.",
            reason="InvalidManifest",
        )
    return manifest


def differences(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> str:
    """Name the files in which two versions differ, for an error."""
    kinds = {
        "changed": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
        "missing": sorted(old.keys() - new.keys()),
        "new": sorted(new.keys() - old.keys()),
    }
    return "; ".join(f"{kind}: {shortened(names)}" for kind, names in kinds.items() if names)


def shortened(names: list[str], most: int = 5) -> str:
    """Name the first of many files."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _files(data: Any) -> dict[str, Entry]:
    files = {}
    for name, entry in data["files"].items():
        # A name becomes a path where the version is downloaded to.
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name or name == MANIFEST:
            raise ValueError(name)
        if not _SHA256.fullmatch(entry["sha256"]) or not isinstance(entry["size"], int) or entry["size"] < 0:
            raise ValueError(name)
        files[name] = Entry(entry["sha256"], entry["size"])
    if not files:
        raise ValueError("no files")
    return files
