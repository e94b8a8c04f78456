# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploading the files of a version in parallel, and only what is missing.

A file below PART_SIZE is one request. A larger one goes in parts, several at once; the digest of the whole file follows
behind, and is done at the latest while the store joins the parts. What an earlier run has sent is known by the ETag,
which is the MD5 of an object or part unless the store encrypts with a key of its own (Amazon S3 user guide, "Checking
object integrity"), or by the part's checksum where the store keeps one.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import hashlib
import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import (
    ObjectStore,
    Part,
    StoredObject,
    UploadGone,
)

from .folder import LocalFile, unreadable
from .trailing_digest import TrailingDigest

# 16 MiB: what a kill costs for each part under way. Larger files than 156 GiB have larger parts.
PART_SIZE = 16 * 1024 * 1024
MAX_PARTS = 10_000
# How often a file is sent while other runs end its upload.
ATTEMPTS = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a file's upload.

    sha256: hexadecimal digest of what was read; etag: of the object, None where nothing was stored; sent: bytes that
    went to the store, or would; kept: whether the store held the whole file.
    """

    sha256: str
    etag: str | None
    sent: int
    kept: bool


@dataclass(frozen=True)
class _Piece:
    """A part after its turn; sent: bytes."""

    md5: bytes
    stored: Part | None
    sent: int


def part_size(size: int) -> int:
    """Return the bytes of each part but the last, for a file of this size."""
    return max(PART_SIZE, -(-size // MAX_PARTS))


def in_parts(file: LocalFile) -> bool:
    """Tell whether a file is so large that it goes in parts."""
    return file.size >= PART_SIZE


def unfinished_uploads(
    store: ObjectStore, prefix: str, files: Iterable[LocalFile], connections: int
) -> dict[str, list[str]]:
    """Return the ids of unfinished uploads by full key, the newest first.

    Some stores, MinIO among them, list those of an exact key only.
    """
    found = store.unfinished(prefix)
    if not found:
        keys = [prefix + file.name for file in files if in_parts(file)]
        for some in concurrently(store.unfinished, keys, connections):
            found |= some
    return found


def send(
    store: ObjectStore,
    prefix: str,
    files: Sequence[LocalFile],
    stored: Mapping[str, StoredObject],
    unfinished: Mapping[str, Sequence[str]],
    *,
    connections: int,
    dry_run: bool,
) -> dict[str, Outcome]:
    """Upload the files.

    :param prefix: of the version.
    :param stored: what the store may hold of the files already, by name below the prefix.
    :param unfinished: ids of unfinished uploads by full key, the newest first, with which a file is resumed. None is
        given up here: another run may be sending the same files.
    :param connections: how many requests at once.
    :param dry_run: only find out what would be sent.
    :return: what became of each file, by name.
    """
    large = [file for file in files if in_parts(file)]
    with ThreadPoolExecutor(connections, thread_name_prefix="send") as pool:
        sender = _Sender(store, prefix, stored, pool, large, connections, dry_run)
        try:
            waiting = {
                file: sender.large(file, next(iter(unfinished.get(prefix + file.name, ())), None)) for file in large
            }
            waiting |= {file: pool.submit(sender.small, file) for file in files if not in_parts(file)}
            return {file.name: sender.outcome(file, future) for file, future in waiting.items()}
        except BaseException:
            # What waits for its turn would only make people wait for the error.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Sender:
    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        stored: Mapping[str, StoredObject],
        pool: ThreadPoolExecutor,
        large: Sequence[LocalFile],
        connections: int,
        dry_run: bool,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._stored = {**stored}
        self._pool = pool
        self._dry_run = dry_run
        # One buffer for each part under way and one to read into: this is all the memory that parts take. Parts get
        # half of the connections: they fill a line sooner than small files do, and where cores are few they crowd
        # each other out of the processor's caches. Eight at once took a tenth longer than four.
        self._buffers: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        size = max((min(part_size(file.size), file.size) for file in large), default=0)
        for _number in range(max(1, connections // 2) + 1 if large else 0):
            self._buffers.put(bytearray(size))

    def small(self, file: LocalFile) -> Outcome:
        """Send a file in one request."""
        try:
            content = file.path.read_bytes()
        except OSError as error:
            raise unreadable(file.path, error) from error
        if len(content) != file.size:
            raise changed(file)
        sha256 = hashlib.sha256(content).hexdigest()
        held = self._stored.get(file.name)
        if held and held.size == file.size and held.etag == hashlib.md5(content, usedforsecurity=False).hexdigest():
            return Outcome(sha256, held.etag, 0, True)
        etag = None if self._dry_run else self._store.put(self._prefix + file.name, content, sha256)
        return Outcome(sha256, etag, file.size, False)

    def large(self, file: LocalFile, upload: str | None) -> Future[Outcome]:
        """Read a file and send its parts; the future ends when the store has made one object of them.

        :param upload: an unfinished one to go on with.
        """
        try:
            return self._large(file, upload)
        except UploadGone as gone:
            ended: Future[Outcome] = Future()
            ended.set_exception(gone)
            return ended

    def outcome(self, file: LocalFile, future: Future[Outcome]) -> Outcome:
        """Wait for a file, and start again where another run has ended its upload.

        Runs that send the same files at once share an upload, which is gone for all when one has finished it. What that
        one has stored is kept if it is the same.
        """
        key = self._prefix + file.name
        for _attempt in range(ATTEMPTS - 1):
            try:
                return future.result()
            except UploadGone:
                if found := self._store.objects(key).get(key):
                    self._stored[file.name] = found
                future = self.large(file, None)
        return future.result()

    def _large(self, file: LocalFile, upload: str | None) -> Future[Outcome]:
        key = self._prefix + file.name
        held = self._stored.get(file.name)
        if held and held.size == file.size and "-" in held.etag:
            digest, pieces = self._each_part(file, self._only_md5)
            parts = [piece.result() for piece in pieces]
            joined = hashlib.md5(b"".join(piece.md5 for piece in parts), usedforsecurity=False).hexdigest()
            if held.etag == f"{joined}-{len(parts)}":
                same: Future[Outcome] = Future()
                same.set_result(Outcome(_whole(file, digest), held.etag, 0, True))
                return same
        known = self._store.parts(key, upload) if upload else {}
        if not upload and not self._dry_run:
            upload = self._store.start(key)

        def work(number: int, content: memoryview) -> _Piece:
            return self._part(key, upload, number, content, known.get(number))

        digest, pieces = self._each_part(file, work)

        def finish() -> Outcome:
            etag, sent = self._finish(key, upload, pieces)
            return Outcome(_whole(file, digest), etag, sent, False)

        # In turn after the parts, so that those are done or under way when it waits for them.
        return self._pool.submit(finish)

    def _each_part(
        self, file: LocalFile, work: Callable[[int, memoryview], T]
    ) -> tuple[TrailingDigest, list[Future[T]]]:
        """Read the file for the work on each part in a thread of the pool, and have its digest follow."""
        futures: list[Future[T]] = []
        step = part_size(file.size)
        try:
            with file.path.open("rb", buffering=0) as stream, TrailingDigest(stream.fileno()) as digest:
                for number, start in enumerate(range(0, file.size, step), start=1):
                    buffer = self._buffers.get()
                    view = memoryview(buffer)[: min(step, file.size - start)]
                    filled = 0
                    while filled < len(view) and (got := stream.readinto(view[filled:])):
                        filled += got
                    if filled < len(view) or any(future.done() and future.exception() for future in futures):
                        self._buffers.put(buffer)
                        break
                    digest.read_to(start + filled)
                    futures.append(self._pool.submit(self._and_give_back, buffer, work, number, view))
                else:
                    if not stream.read(1):
                        return digest, futures
        except OSError as error:
            raise unreadable(file.path, error) from error
        for future in futures:
            future.result()
        raise changed(file)

    def _and_give_back(
        self, buffer: bytearray, work: Callable[[int, memoryview], T], number: int, view: memoryview
    ) -> T:
        try:
            return work(number, view)
        finally:
            self._buffers.put(buffer)

    def _only_md5(self, _number: int, content: memoryview) -> _Piece:
        return _Piece(hashlib.md5(content, usedforsecurity=False).digest(), None, 0)

    def _part(self, key: str, upload: str | None, number: int, content: memoryview, known: Part | None) -> _Piece:
        if known and known.size == len(content) and _same(known, content):
            return _Piece(b"", known, 0)
        if self._dry_run or upload is None:
            return _Piece(b"", None, len(content))
        sha256 = hashlib.sha256(content).hexdigest() if self._store.wants_digests else None
        return _Piece(b"", self._store.put_part(key, upload, number, content, sha256), len(content))

    def _finish(self, key: str, upload: str | None, pieces: Sequence[Future[_Piece]]) -> tuple[str | None, int]:
        """Have the store join the parts; the ETag of the object, if there is one, and the bytes that were sent."""
        results = [piece.result() for piece in pieces]
        sent = sum(piece.sent for piece in results)
        if self._dry_run or upload is None:
            return None, sent
        parts = {number: piece.stored for number, piece in enumerate(results, start=1) if piece.stored}
        try:
            return self._store.finish(key, upload, parts), sent
        except UploadGone:
            # When the answer to an earlier try was lost, the object is there, with the ETag that these parts give.
            joined = hashlib.md5(
                b"".join(_md5(part.etag) for part in parts.values()), usedforsecurity=False
            ).hexdigest()
            etag = f"{joined}-{len(parts)}"
            if key in (found := self._store.objects(key)) and found[key].etag == etag:
                return etag, sent
            raise


def _whole(file: LocalFile, digest: TrailingDigest) -> str:
    try:
        sha256 = digest.hexdigest()
    except OSError as error:
        raise unreadable(file.path, error) from error
    if sha256 is None:
        raise changed(file)
    return sha256


def _same(part: Part, content: memoryview) -> bool:
    if part.checksum and part.checksum == base64.b64encode(hashlib.sha256(content).digest()).decode():
        return True
    return part.etag == hashlib.md5(content, usedforsecurity=False).hexdigest()


def _md5(etag: str) -> bytes:
    try:
        return bytes.fromhex(etag)
    except ValueError:
        return b""  # not an MD5, so what is made of it is no ETag


def changed(file: LocalFile) -> KServeError:
    """Return the sentence for a file that is not what it was a moment ago."""
    return KServeError(
        f"{file.path} changed while it was read; see that nothing writes to it, and run again.", reason="SourceChanged"
    )
