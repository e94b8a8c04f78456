# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an object store contains what was uploaded.

A listing decides where it agrees. It need not: lists of some stores lag, and an ETag may be missing, weakened by a
proxy, or another for equal content that a second run has stored. Then the content decides.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import ObjectStore, StoredObject

# Seconds between listings while they show something else: 8 altogether.
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)
_BLOCK = 16 * 1024 * 1024


@dataclass(frozen=True)
class Wanted:
    """An object as it was stored; etag: without its quotes, empty where the store has given none."""

    size: int
    etag: str
    sha256: str


def differing(
    store: ObjectStore, prefix: str, wanted: Mapping[str, Wanted], listed: Callable[[], Mapping[str, StoredObject]]
) -> list[str]:
    """Return the names below the prefix at which the store contains something else, or something more.

    :param listed: lists the objects below the prefix by name.
    """
    found = listed()
    for pause in PAUSES:
        if found.keys() == wanted.keys() and all(_may_be(one, found[name]) for name, one in wanted.items()):
            break
        time.sleep(pause)
        found = listed()
    wrong = found.keys() ^ wanted.keys()
    wrong |= {name for name in found.keys() & wanted.keys() if not _is(store, prefix + name, wanted[name], found[name])}
    return sorted(wrong)


def contains(store: ObjectStore, key: str, size: int, sha256: str) -> bool:
    """Read an object of this size, and tell whether it has this content."""
    digest = hashlib.sha256()
    for start in range(0, size, _BLOCK):
        digest.update(store.read(key, start, min(_BLOCK, size - start)))
    return digest.hexdigest() == sha256


def _may_be(wanted: Wanted, found: StoredObject) -> bool:
    """Tell whether a listing shows it, or says too little to wait for another one."""
    return found.size == wanted.size and (found.etag == wanted.etag or not (found.etag and wanted.etag))


def _is(store: ObjectStore, key: str, wanted: Wanted, found: StoredObject) -> bool:
    if found.size != wanted.size or (found.etag and found.etag == wanted.etag):
        return found.size == wanted.size
    return contains(store, key, wanted.size, wanted.sha256)
