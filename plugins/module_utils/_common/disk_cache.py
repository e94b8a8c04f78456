# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cache of computed results on disk, keyed by a digest of all inputs.

Whoever keeps something here sees to it that nothing in it is secret. Any entry can be deleted at any time. This file is
private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from . import atomic_file

T = TypeVar("T")

_DAYS = 30  # so long an entry is of use; versions of charts come and go
_DAY = 86400  # seconds


def cached(
    made_from: Iterable[bytes], make: Callable[[], T], of: type[T], keep: Callable[[T], bool] = lambda _made: True
) -> T:
    """Return the cached result for the same inputs, or else compute and cache it.

    An entry that another user could have written is ignored.

    :param made_from: all that the result depends on.
    :param make: returns what JSON can express; anything else is not kept. So it is where there can be no cache.
    :param of: the type of the result; an entry that holds anything else is ignored.
    :param keep: says of what was made whether to keep it.
    """
    digest = hashlib.sha256()
    for part in made_from:
        digest.update(len(part).to_bytes(8, "big") + part)
    with suppress(OSError, RuntimeError, ValueError):
        content = _content(_entry(digest.hexdigest()))
        if content is not None and isinstance(found := json.loads(content), of):
            return found
    made = make()
    with suppress(OSError, RuntimeError, TypeError, ValueError):
        if keep(made):
            entry = _entry(digest.hexdigest())
            entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_own(entry.parent.lstat(), stat.S_ISDIR):
                _tidy(entry.parent)
                atomic_file.write(entry, json.dumps(made).encode())
    return made


def _entry(name: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(cache) if cache else Path.home() / ".cache") / "hashfoundry-kserve" / "made"
    return folder / f"{name}.json"


def _content(entry: Path) -> bytes | None:
    """Return what an entry of this user holds, or None where there is none or it is too old.

    :raises OSError: there is no such entry, or it is a link.
    """
    if not _is_own(entry.parent.lstat(), stat.S_ISDIR):
        return None
    # What is verified is what is read.
    with os.fdopen(os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        return file.read() if _is_own(state, stat.S_ISREG) and not _is_past(state) else None


def _is_own(state: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Say whether only this user can have written a file or folder."""
    return is_kind(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & 0o022


def _is_past(state: os.stat_result) -> bool:
    return state.st_mtime < time.time() - _DAYS * _DAY


def _tidy(folder: Path) -> None:
    for entry in folder.glob("*.json"):
        with suppress(FileNotFoundError):  # another run may tidy, too
            if _is_past(entry.lstat()):
                entry.unlink()
