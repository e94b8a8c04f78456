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
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from . import atomic_file

T = TypeVar("T")

_DAYS = 30  # so long an entry is of use; versions of charts come and go
_DAY = 86400  # seconds


def cached(made_from: Iterable[bytes], make: Callable[[], T], keep: Callable[[T], bool] = lambda _made: True) -> T:
    """Return the cached result for the same inputs, or else compute and cache it.

    :param made_from: all that the result depends on.
    :param make: returns what JSON can express; anything else is not kept. So it is where there can be no cache.
    :param keep: says of what was made whether to keep it.
    """
    digest = hashlib.sha256()
    for part in made_from:
        digest.update(len(part).to_bytes(8, "big") + part)
    with suppress(OSError, RuntimeError, ValueError):
        entry = _entry(digest.hexdigest())
        if not _is_old(entry):
            found: T = json.loads(entry.read_bytes())
            return found
    made = make()
    with suppress(OSError, RuntimeError, TypeError, ValueError):
        if keep(made):
            entry = _entry(digest.hexdigest())
            entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _tidy(entry.parent)
            atomic_file.write(entry, json.dumps(made).encode())
    return made


def _entry(name: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(cache) if cache else Path.home() / ".cache") / "hashfoundry-kserve" / "made"
    return folder / f"{name}.json"


def _is_old(entry: Path) -> bool:
    return entry.stat().st_mtime < time.time() - _DAYS * _DAY


def _tidy(folder: Path) -> None:
    for entry in folder.glob("*.json"):
        with suppress(FileNotFoundError):  # another run may tidy, too
            if _is_old(entry):
                entry.unlink()
