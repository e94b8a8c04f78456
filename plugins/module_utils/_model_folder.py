# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A local model folder: which files belong to a version, and the digests that a store knows them by.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError

# 64 MiB: with S3's limit of 10,000 parts a single file may have 625 GiB, and most models are one request.
PART_SIZE = 64 * 1024 * 1024
MAX_FILE_SIZE = 10_000 * PART_SIZE
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class LocalFile:
    """One file of a model folder.

    name: path below the folder with forward slashes; size: bytes; sha256: hexadecimal;
    etag: the ETag that S3 gives this content when it is stored unencrypted or with SSE-S3, in
    parts of PART_SIZE: MD5 of the content, or for several parts MD5 of the parts' MD5s, a
    hyphen and the number of parts (Amazon S3 user guide, "Checking object integrity").
    """

    name: str
    path: Path
    size: int
    sha256: str
    etag: str


def scan(folder: Path) -> list[LocalFile]:
    """Read every file of the folder, in the order of the names.

    :raises KServeError: the folder is missing, empty or unreadable, or leads out of itself.
    """
    if not folder.exists():
        raise KServeError(f"The source {folder} does not exist; set source to the folder with the model.")
    if not folder.is_dir():
        raise KServeError(f"The source {folder} is not a folder; set source to the folder that holds the model.")
    root = folder.resolve()
    files = [_read(root, path) for path in _walk(root)]
    if not files:
        raise KServeError(f"The source {folder} holds no file; put the model into it or set source to another folder.")
    return sorted(files, key=lambda file: file.name)


def _walk(root: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise KServeError(f"The folder {error.filename} cannot be read: {error.strerror}; change its permissions.")

    paths: list[Path] = []
    for base, folders, names in os.walk(root, onerror=refuse):
        for name in folders:
            if Path(base, name).is_symlink():
                raise KServeError(f"{Path(base, name)} is a symbolic link to a folder; put a copy in its place.")
        paths += [Path(base, name) for name in names]
    return paths


def _read(root: Path, path: Path) -> LocalFile:
    name = path.relative_to(root).as_posix()
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(root):
            raise KServeError(f"{path} is a symbolic link out of the source folder; put a copy in its place.")
        if not target.is_file():
            raise KServeError(f"{path} is not a regular file; remove it from the source folder.")
        name.encode("utf-8")
        return _digest(name, path)
    except OSError as error:
        raise KServeError(f"{path} cannot be read: {error.strerror}; repair it or change its permissions.") from error
    except UnicodeEncodeError as error:
        raise KServeError(f"The file name {name!r} is not UTF-8, which S3 needs; rename the file.") from error


def _digest(name: str, path: Path) -> LocalFile:
    sha256 = hashlib.sha256()
    parts: list[bytes] = []
    size = 0
    with path.open("rb") as stream:
        while True:
            part = hashlib.md5(usedforsecurity=False)
            left = PART_SIZE
            while left and (block := stream.read(min(_BLOCK, left))):
                part.update(block)
                sha256.update(block)
                left -= len(block)
            if left == PART_SIZE and parts:
                break
            parts.append(part.digest())
            size += PART_SIZE - left
            if left:
                break
    if size > MAX_FILE_SIZE:
        raise KServeError(f"{path} is larger than {MAX_FILE_SIZE} bytes, the most one object can have; split it.")
    # A client that sends in parts does so from the part size on, so a file of exactly one part is
    # still a multipart object and has the composite ETag.
    if size >= PART_SIZE:
        etag = f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"
    else:
        etag = parts[0].hex()
    return LocalFile(name=name, path=path, size=size, sha256=sha256.hexdigest(), etag=etag)
