# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder in which a download is completed before it takes the place of its destination, for one run at a time.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError


@contextmanager
def staging_folder(dest: Path) -> Iterator[Path | None]:
    """Yield the staging folder beside dest, as the only run; one that a killed run has left is reused.

    Whoever may not write there gets None, and finds out whether there is anything to write.
    """
    folder = dest.with_name(f".{dest.name}.download")
    lock = _lock(folder, dest)
    if lock is None:
        yield None
        return
    try:
        yield folder
    except OSError as error:
        subject = error.filename or folder
        raise KServeError(
            f"{subject} cannot be written: {error.strerror}; see the disk and run again.", reason="FileNotWritable"
        ) from error
    finally:
        with suppress(OSError):
            # Only an empty one is removed: nothing was to be done.
            if _is_at(lock, folder):
                folder.rmdir()
        os.close(lock)


def _lock(folder: Path, dest: Path) -> int | None:
    """Create and lock the staging folder; return its descriptor, or None where that is not permitted."""
    while True:
        try:
            folder.mkdir(exist_ok=True)
            lock = _opened(folder)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return None
            raise _unusable(folder, error) from error
        if lock is None:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise KServeError(
                f"Another download to {dest} is under way; wait for its end.", reason="ConcurrentRun"
            ) from None
        if _is_at(lock, folder):
            return lock
        # Another run has put it in the place of dest before it was locked here.
        os.close(lock)


def _opened(folder: Path) -> int | None:
    """Open the folder; return None if another run has just finished with it."""
    with suppress(FileNotFoundError):
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def not_writable(folder: Path) -> KServeError:
    """Return the error for a folder in which this user may write nothing."""
    return _unusable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _unusable(path: Path, error: OSError) -> KServeError:
    return KServeError(
        f"{path} cannot be used: {error.strerror}; correct dest or its permissions.", reason="FileNotReadable"
    )
