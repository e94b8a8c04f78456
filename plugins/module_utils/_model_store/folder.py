# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A local model folder: which files belong to a version, and their digests.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

# Amazon S3 user guide, "Multipart upload limits": at most 10,000 parts and 5 TiB.
MAX_FILE_SIZE = 5 * 1024**4
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class LocalFile:
    """One file of a model folder.

    name: path below the folder with forward slashes; size: bytes, as it was found.
    """

    name: str
    path: Path
    size: int

    @cached_property
    def sha256(self) -> str:
        """The hexadecimal digest of the content, which is read when this is first asked for."""
        digest = hashlib.sha256()
        # Blocks into one buffer: no memory is allotted for each, and a block stays in the processor's cache.
        view = memoryview(bytearray(_BLOCK))
        try:
            with self.path.open("rb", buffering=0) as stream:
                while size := stream.readinto(view):
                    digest.update(view[:size])
        except OSError as error:
            raise unreadable(self.path, error) from error
        return digest.hexdigest()

    @property
    def known_sha256(self) -> str | None:
        """The digest where it was asked for before."""
        return self.__dict__.get("sha256")


def digest_all(files: Iterable[LocalFile]) -> None:
    """Read the files, several at once, so that each knows its sha256."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # The largest first: none is left to be read alone in the end.
        for _sha256 in pool.map(lambda file: file.sha256, sorted(files, key=lambda file: -file.size)):
            pass


def scan(folder: Path) -> list[LocalFile]:
    """Find every file of the folder, in the order of the names; their content is not read.

    :raises KServeError: the folder is missing, empty or unreadable, or leads out of itself.
    """
    if not folder.exists():
        raise KServeError(
            f"The source {folder} does not exist; set source to the folder with the model.", reason="SourceNotFound"
        )
    if not folder.is_dir():
        raise KServeError(
            f"The source {folder} is not a folder; set source to the folder that holds the model.",
            reason="SourceNotFound",
        )
    files = scan_any(folder)
    if not files:
        raise KServeError(
            f"The source {folder} contains no file; put the model into it or set source to another folder.",
            reason="SourceEmpty",
        )
    return files


def scan_any(folder: Path) -> list[LocalFile]:
    """Find every file of a folder that may be empty."""
    root = folder.resolve()
    return sorted((_find(root, path) for path in _walk(root)), key=lambda file: file.name)


def unreadable(path: Path, error: OSError) -> KServeError:
    """Return the sentence for a file that cannot be read."""
    return KServeError(
        f"{path} cannot be read: {error.strerror}; repair it or change its permissions.", reason="FileNotReadable"
    )


def _walk(root: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise KServeError(
            f"The folder {error.filename} cannot be read: {error.strerror}; change its permissions.",
            reason="FileNotReadable",
        )

    paths: list[Path] = []
    for base, folders, names in os.walk(root, onerror=refuse):
        for name in folders:
            if Path(base, name).is_symlink():
                raise KServeError(
                    f"{Path(base, name)} is a symbolic link to a folder; put a copy in its place.",
                    reason="FileUnsupported",
                )
        paths += [Path(base, name) for name in names]
    return paths


def _find(root: Path, path: Path) -> LocalFile:
    name = path.relative_to(root).as_posix()
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(root):
            raise KServeError(
                f"{path} is a symbolic link out of the source folder; put a copy in its place.",
                reason="FileUnsupported",
            )
        if not target.is_file():
            raise KServeError(
                f"{path} is not a regular file; remove it from the source folder.", reason="FileUnsupported"
            )
        name.encode("utf-8")
        size = target.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeEncodeError as error:
        raise KServeError(
            f"The file name {name!r} is not UTF-8, which S3 needs; rename the file.", reason="FileUnsupported"
        ) from error
    if size > MAX_FILE_SIZE:
        raise KServeError(
            f"{path} is larger than {MAX_FILE_SIZE} bytes, the most one object can have; split it.",
            reason="FileUnsupported",
        )
    return LocalFile(name, path, size)
