# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store import transfer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.transfer import Outcome, part_size, send
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import Buffer, Part

from ..model_store_fake import MemoryStore

BIG = bytes(range(250)) * 10  # 25 parts of 100 bytes
KEY = "iris/1/big"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PART_SIZE", 100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "small").write_bytes(b"small")
    return tmp_path


def run(store: MemoryStore, folder: Path, dry_run: bool = False) -> dict[str, Outcome]:
    stored = {key.removeprefix("iris/1/"): found for key, found in store.objects("iris/1/").items()}
    return send(store, "iris/1/", scan(folder), stored, store.unfinished("iris/1/"), connections=3, dry_run=dry_run)


def parts_sent(store: MemoryStore) -> list[int]:
    return sorted(int(call[2]) for call in store.calls if call[0] == "put_part")


@pytest.mark.parametrize("size", [100, 101, 199, 200, 2500])
def test_files_in_parts(tmp_path: Path, size: int) -> None:
    content = BIG[:size]
    (tmp_path / "big").write_bytes(content)
    store = MemoryStore()
    outcome = run(store, tmp_path)["big"]
    assert store.content == {KEY: content} and store.uploads == {}
    assert outcome == Outcome(hashlib.sha256(content).hexdigest(), store.etags[KEY], size, False)
    assert parts_sent(store) == list(range(1, -(-size // 100) + 1))


def test_existing_objects_are_retained(folder: Path) -> None:
    store = MemoryStore()
    run(store, folder)
    store.calls.clear()
    kept = run(store, folder)
    assert all(outcome.kept and outcome.sent == 0 for outcome in kept.values())
    assert store.writes == []
    assert kept["big"].sha256 == hashlib.sha256(BIG).hexdigest()


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_interrupted_upload_resumes(folder: Path, dry_run: bool) -> None:
    store = MemoryStore({"iris/1/small": b"small"})
    older, upload = store.start(KEY), store.start(KEY)
    other = store.start("iris/1/gone")
    for number in (1, 2, 7):
        store.uploads[upload][1][number] = BIG[number * 100 - 100 : number * 100]
    store.uploads[upload][1][8] = b"of another file".ljust(100)
    store.uploads[upload][1][9] = b"short"
    store.calls.clear()
    outcomes = run(store, folder, dry_run)
    assert outcomes["big"].sent == 2200 and not outcomes["big"].kept
    assert outcomes["small"].kept
    if dry_run:
        assert store.writes == [] and {older, upload, other} == set(store.uploads)
    else:
        # The other uploads may be those of runs at the same time.
        assert store.content[KEY] == BIG and set(store.uploads) == {older, other}
        assert parts_sent(store) == [number for number in range(1, 26) if number not in (1, 2, 7)]
        assert not [call for call in store.writes if call[0] in ("start", "abort")]


class Interfering(MemoryStore):
    """Another run ends each upload at a call, so many times."""

    def __init__(self, at: str, times: int, result: bytes | None = None) -> None:
        super().__init__()
        self.at, self.times, self.result = at, times, result

    def _record(self, *call: str) -> None:
        super()._record(*call)
        if call[0] == self.at and self.times:
            self.times -= 1
            self.uploads.clear()
            if self.result is not None:
                self.content[KEY] = self.result
                md5s = [hashlib.md5(self.result[at : at + 100]).digest() for at in range(0, len(self.result), 100)]
                self.etags[KEY] = f"{hashlib.md5(b''.join(md5s)).hexdigest()}-{len(md5s)}"


@pytest.mark.parametrize("at", ["parts", "put_part", "finish"])
def test_an_upload_that_another_run_has_ended_starts_again(folder: Path, at: str) -> None:
    store = Interfering(at, times=2)
    store.start(KEY)
    assert run(store, folder)["big"].sent == 2500
    assert store.content[KEY] == BIG and store.uploads == {}


@pytest.mark.parametrize("at", ["parts", "put_part", "finish"])
def test_an_object_that_another_run_has_completed_is_kept(folder: Path, at: str) -> None:
    store = Interfering(at, times=1, result=BIG)
    store.start(KEY)
    outcome = run(store, folder)["big"]
    assert outcome.etag == store.etags[KEY] and outcome.sha256 == hashlib.sha256(BIG).hexdigest()
    assert len([call for call in store.calls if call[0] == "start"]) == 1


def test_an_upload_that_is_ended_again_and_again_fails(folder: Path) -> None:
    with pytest.raises(KServeError, match="was ended by another") as caught:
        run(Interfering("put_part", times=10_000), folder)
    assert caught.value.reason == "ConcurrentRun"


def test_checksums_are_compared_if_etags_are_opaque(folder: Path) -> None:
    class Checksummed(MemoryStore):
        def parts(self, key: str, upload: str) -> dict[int, Part]:
            import base64

            held = self.uploads[upload][1]
            return {
                number: Part(len(data), "opaque", base64.b64encode(hashlib.sha256(data).digest()).decode())
                for number, data in held.items()
            }

    store = Checksummed(opaque=True)
    upload = store.start(KEY)
    store.uploads[upload][1][1] = BIG[:100]
    assert run(store, folder)["big"].sent == 2400
    # Complete objects cannot be compared then, so they are uploaded again.
    assert run(store, folder)["big"].sent == 2500


def test_an_object_of_the_same_size_is_replaced(folder: Path) -> None:
    store = MemoryStore()
    run(store, folder)
    (folder / "big").write_bytes(BIG[::-1])
    (folder / "small").write_bytes(b"SMALL")
    assert {name: outcome.sent for name, outcome in run(store, folder).items()} == {"big": 2500, "small": 5}
    assert store.content == {KEY: BIG[::-1], "iris/1/small": b"SMALL"}


def test_no_more_requests_at_once_than_connections_and_no_more_buffers(folder: Path) -> None:
    class Counting(MemoryStore):
        now = most = 0
        buffers: set[int] = set()  # noqa: RUF012
        gate = threading.Lock()

        def put_part(self, key: str, upload: str, number: int, content: Buffer, sha256: str | None) -> Part:
            with self.gate:
                self.now += 1
                self.most = max(self.most, self.now)
                self.buffers.add(id(memoryview(content).obj))
            part = super().put_part(key, upload, number, content, sha256)
            with self.gate:
                self.now -= 1
            return part

    store = Counting()
    run(store, folder)
    assert 1 <= store.most <= 3
    assert len(store.buffers) <= 4


class Failing(MemoryStore):
    def put_part(self, key: str, upload: str, number: int, content: Buffer, sha256: str | None) -> Part:
        if number == 3:
            raise KServeError("The store is full.")
        return super().put_part(key, upload, number, content, sha256)


def test_a_failed_part_ends_the_run_and_leaves_the_rest_for_the_next(folder: Path) -> None:
    store = Failing()
    with pytest.raises(KServeError, match="The store is full"):
        run(store, folder)
    assert KEY not in store.content
    (upload,) = store.uploads.values()
    assert 3 not in upload[1]


class Ended(MemoryStore):
    """Another run completes the upload first; content: the resulting object."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.result = content

    def finish(self, key: str, upload: str, parts: object) -> str:
        held = self.uploads[upload][1]
        held = {number: self.result[number * 100 - 100 : number * 100] for number in held}
        self.uploads[upload] = (key, held)
        theirs = {number: Part(len(data), self.etag(data)) for number, data in held.items()}
        super().finish(key, upload, theirs)
        return super().finish(key, upload, theirs)


def test_an_upload_completed_by_another_run_with_the_same_content_succeeds(folder: Path) -> None:
    assert run(Ended(BIG), folder)["big"].sent == 2500


def test_an_upload_completed_by_another_run_with_other_content_fails(folder: Path) -> None:
    with pytest.raises(KServeError, match="was ended by another; see that only one run writes"):
        run(Ended(BIG[::-1]), folder)


@pytest.mark.parametrize("change", [b"longer than it was", b"x"])
def test_a_file_that_changes_its_size(folder: Path, change: bytes) -> None:
    files = scan(folder)
    (folder / "small").write_bytes(change)
    with pytest.raises(KServeError, match="small changed while it was read"):
        send(MemoryStore(), "iris/1/", files, {}, {}, connections=2, dry_run=False)


@pytest.mark.parametrize("change", [BIG + b"x", BIG[:-1], BIG[:50]])
def test_a_large_file_that_changes_its_size(folder: Path, change: bytes) -> None:
    files = scan(folder)
    (folder / "big").write_bytes(change)
    with pytest.raises(KServeError, match="big changed while it was read"):
        send(MemoryStore(), "iris/1/", files, {}, {}, connections=2, dry_run=False)


def test_a_large_file_that_is_written_to(folder: Path) -> None:
    class Meanwhile(MemoryStore):
        def put_part(self, *args: Any, **options: Any) -> Part:
            (folder / "big").write_bytes(BIG[::-1])
            os.utime(folder / "big", ns=(1, 1))
            return super().put_part(*args, **options)

    with pytest.raises(KServeError, match="big changed while it was read"):
        run(Meanwhile(), folder)


def test_no_file_has_more_parts_than_s3_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PART_SIZE", 16 * 2**20)
    assert part_size(2**30) == 16 * 2**20
    for size in (5 * 2**40, 160_000 * 2**20 + 1, 10_000 * 16 * 2**20):
        assert -(-size // part_size(size)) <= 10_000
