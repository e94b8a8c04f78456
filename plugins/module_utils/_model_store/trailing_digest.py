# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The digest of a file that is being read by others, computed behind them.

Where cores are few, the digest of a whole file takes time from what sends its parts. At the end of an upload the store
joins the parts, while this side is idle: the rest of the digest is computed then.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType

# How far the digest may stay behind: what is read again is likely to be still in memory.
LAG = 1024**3
# Of Linux's nice values the last: what the others leave.
NICENESS = 19
_BLOCK = 1024 * 1024


class TrailingDigest:
    """The sha256 of an open file, computed in a thread of low priority.

    Used as a context, it ends with the last byte that the reader has announced, or with what goes wrong.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._found = _state(descriptor)
        self._change = threading.Condition()
        self._known = self._hashed = 0
        self._ended = False
        self._result: Future[str | None] = Future()

    def __enter__(self) -> TrailingDigest:
        threading.Thread(target=self._run, name="digest", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._ended = True
            if kind:
                self._known = self._hashed
            self._change.notify_all()

    def read_to(self, position: int) -> None:
        """Announce that the reader has come to a position, and wait for the digest if that has stayed far behind."""
        with self._change:
            self._known = position
            self._change.notify_all()
            self._change.wait_for(lambda: position - self._hashed <= LAG or self._result.done())

    def hexdigest(self) -> str | None:
        """Return the digest when it is there, or None if the file was written to meanwhile.

        :raises OSError: the file cannot be read.
        """
        return self._result.result()

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere a thread has no niceness of its own
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            digest = self._digest()
            self._result.set_result(digest if _state(self._descriptor) == self._found else None)
        except OSError as error:
            self._result.set_exception(error)
        finally:
            os.close(self._descriptor)
            with self._change:
                self._change.notify_all()

    def _digest(self) -> str | None:
        whole = hashlib.sha256()
        while (size := self._waiting()) > 0:
            block = os.pread(self._descriptor, min(_BLOCK, size), self._hashed)
            if not block:
                return None
            whole.update(block)
            with self._change:
                self._hashed += len(block)
                self._change.notify_all()
        return whole.hexdigest()

    def _waiting(self) -> int:
        """Wait until there is more to do, and return how many bytes; none at the end."""
        with self._change:
            self._change.wait_for(lambda: self._hashed < self._known or self._ended)
            return self._known - self._hashed


def _state(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns
