# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build products and cache them, each under a name that contains a digest of its inputs."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.errors import DISK_FULL, LocalError
from local.progress import Progress

NEEDED_BYTES = 12 * 2**30  # the Go build cache, the images and the node together, measured at 9 GiB


@dataclass(frozen=True)
class Product:
    """A cached file and the function that builds it.

    make writes the product to the path it is given. An incomplete product is never moved to `path`.
    """

    path: Path
    title: str
    make: Callable[[Path], None]


def digest(*parts: str | bytes | Path) -> str:
    """The first 12 hex digits of a SHA-256 over strings, bytes and the contents of files and folders."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = sorted(part.rglob("*")) if part.is_dir() else [part]
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    sha.update(file.relative_to(part.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
        else:
            sha.update((part.encode() if isinstance(part, str) else part) + b"\0")
    return sha.hexdigest()[:12]


@contextmanager
def locked(cache: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of the cache, so that two runs do not build the same product; yield whether it is held.

    wait: wait for a run that holds the lock, so that the lock is always acquired.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "lock").open("w")
    except OSError as error:
        raise LocalError(
            f"The cache folder {cache} is not writable ({error.strerror}): set HASHFOUNDRY_CACHE to a writable folder."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            print(f"    waiting for another run that uses {cache}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield True


def build_missing(products: Sequence[Product], progress: Progress) -> None:
    """Build the products that are missing from the cache, in the order given."""
    missing = [product for product in products if not product.path.exists()]
    if not missing:
        return
    for number, product in enumerate(missing, 1):
        product.path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(product.path.parent).free
        if number == 1 and free < NEEDED_BYTES:
            raise LocalError(
                f"{product.path.parent} has {free / 2**30:.1f} GiB free and {NEEDED_BYTES / 2**30:.0f} GiB are needed: "
                "free disk space, or set HASHFOUNDRY_CACHE to a folder on another disk."
            )
        unfinished = product.path.with_name(product.path.name + ".unfinished")
        unfinished.unlink(missing_ok=True)
        with progress.step(number, len(missing), product.title):
            try:
                product.make(unfinished)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise LocalError(f"Writing to {product.path.parent} failed: {DISK_FULL}") from None
            unfinished.replace(product.path)
