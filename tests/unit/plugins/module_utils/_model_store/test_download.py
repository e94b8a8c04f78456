# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store import download
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.download import Fetched, fetch
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import Entry, Manifest

from ..model_store_fake import MemoryStore

TARGET = Target("models", "iris", "1")
FILES = {"model.joblib": b"model", "sub/big": bytes(range(250))}


def manifest(files: Mapping[str, bytes]) -> Manifest:
    return Manifest({name: Entry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()})


MANIFEST = manifest(FILES)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PART_SIZE", 100)


@pytest.fixture
def store() -> MemoryStore:
    content = {f"iris/1/{name}": data for name, data in FILES.items()}
    return MemoryStore({**content, "iris/1/manifest.json": MANIFEST.content, "iris/1/not-in-the-manifest": b""})


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "model"


def run(store: MemoryStore, dest: Path, **options: Any) -> Fetched:
    return fetch(store, TARGET, dest, **{"digest": None, "check_mode": False, **options})


def held(dest: Path) -> dict[str, bytes]:
    return {path.relative_to(dest).as_posix(): path.read_bytes() for path in dest.rglob("*") if path.is_file()}


ALL = ["manifest.json", "model.joblib", "sub/big"]
WHOLE = {**FILES, "manifest.json": MANIFEST.content}
OTHER = {**FILES, "model.joblib": b"other", "extra": b""}
STATES: dict[str, tuple[Mapping[str, bytes] | None, list[str] | None, list[str]]] = {
    # contents of the folder (None: missing), downloaded files (None: rejected), removed files
    "nothing": (None, ALL, []),
    "an empty folder": ({}, ALL, []),
    "the version": (WHOLE, [], []),
    "the version, one corrupt": ({**WHOLE, "sub/big": bytes(250)}, ["sub/big"], []),
    "the version, one truncated": ({**WHOLE, "sub/big": b""}, ["sub/big"], []),
    "the version, one less": ({name: WHOLE[name] for name in ALL[:2]}, ["sub/big"], []),
    "the version, one more": ({**WHOLE, "extra": b""}, [], ["extra"]),
    "another version": (
        {**OTHER, "manifest.json": manifest(OTHER).content},
        ["manifest.json", "model.joblib"],
        ["extra"],
    ),
    "something else": (OTHER, None, []),
}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("case", STATES)
def test_states(store: MemoryStore, dest: Path, case: str, check_mode: bool) -> None:
    there, downloaded, removed = STATES[case]
    for name, data in (there or {}).items():
        (dest / name).parent.mkdir(parents=True, exist_ok=True)
        (dest / name).write_bytes(data)
    if there == {}:
        dest.mkdir()
    if downloaded is None:
        with pytest.raises(KServeError, match="so it is not a downloaded version; set dest to another path, or"):
            run(store, dest, check_mode=check_mode)
        assert held(dest) == there
        return
    fetched = run(store, dest, check_mode=check_mode)
    assert (fetched.downloaded, fetched.removed) == (downloaded, removed)
    assert sorted(fetched.downloaded + fetched.unchanged) == ALL
    assert fetched.bytes_received == sum(len(WHOLE[name]) for name in downloaded)
    assert fetched.result()["changed"] is bool(downloaded or removed)
    reads = {call[1] for call in store.calls if call[0] == "read"}
    if check_mode:
        assert reads == set() and (held(dest) if there else {}) == (there or {})
    else:
        assert reads == {f"iris/1/{name}" for name in downloaded if name != "manifest.json"}
        assert held(dest) == WHOLE
        assert [path.name for path in dest.parent.iterdir()] == ["model"]
        store.calls.clear()
        again = run(store, dest)
        assert again.result()["changed"] is False and again.requests == 1


def test_a_version_without_a_manifest_is_rejected(store: MemoryStore, dest: Path) -> None:
    del store.content["iris/1/manifest.json"]
    with pytest.raises(KServeError, match="has no manifest, so it does not exist or is incomplete"):
        run(store, dest)
    assert not dest.exists()


def test_the_digest_must_match_the_required_one(store: MemoryStore, dest: Path) -> None:
    assert run(store, dest, digest=MANIFEST.digest).digest == MANIFEST.digest
    with pytest.raises(KServeError, match=f"has the digest {MANIFEST.digest} and not sha256:0"):
        run(store, dest, digest="sha256:" + "0" * 64)


@pytest.mark.parametrize("name", ["../model", "/etc/model", "a/../../model"])
def test_no_name_leads_out_of_the_folder(store: MemoryStore, dest: Path, name: str) -> None:
    store.content["iris/1/manifest.json"] = Manifest({name: Entry("0" * 64, 0)}).content
    with pytest.raises(KServeError, match="is no manifest"):
        run(store, dest)
    assert list(dest.parent.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_an_object_that_does_not_match_the_manifest(store: MemoryStore, dest: Path, name: str) -> None:
    dest.mkdir()
    store.content[f"iris/1/{name}"] = bytes(len(FILES[name]))
    with pytest.raises(KServeError, match=f"The object iris/1/{name} is not what the version's manifest says"):
        run(store, dest)
    assert held(dest) == {}
    store.content[f"iris/1/{name}"] = FILES[name]
    assert run(store, dest).downloaded == ALL
    assert held(dest) == WHOLE


def test_an_interrupted_download_resumes(store: MemoryStore, dest: Path) -> None:
    left = dest.with_name(".model.download")
    (left / "sub").mkdir(parents=True)
    (left / "sub" / "big").write_bytes(FILES["sub/big"])
    (left / "model.joblib").write_bytes(b"mo")
    (left / "stray").write_bytes(b"")
    run(store, dest)
    assert {call[1] for call in store.calls if call[0] == "read"} == {"iris/1/model.joblib"}
    assert held(dest) == WHOLE and not left.exists()


def test_two_downloads_at_once(store: MemoryStore, dest: Path) -> None:
    other = dest.with_name(".model.download")
    other.mkdir()
    lock = os.open(other, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KServeError, match=r"Another download to .* is under way; wait for its end"):
            run(store, dest)
    finally:
        os.close(lock)
    assert run(store, dest).downloaded == ALL


def add_version_2(store: MemoryStore) -> Target:
    files = {"model.joblib": b"newer", "sub/big": bytes(250)}
    store.content |= {f"iris/2/{name}": data for name, data in files.items()}
    store.content["iris/2/manifest.json"] = manifest(files).content
    return Target("models", "iris", "2")


def test_nothing_is_compared_before_the_lock(store: MemoryStore, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = add_version_2(store)
    dest.mkdir()
    (dest / "model.joblib").write_bytes(FILES["model.joblib"])
    (dest / "manifest.json").write_bytes(b"of an interrupted run")
    original, failures = download.digest_all, []

    def digest_all(files: Any) -> None:
        original(files)
        monkeypatch.setattr(download, "digest_all", original)
        # Another run, when this one has compared the folder.
        try:
            fetch(store, other, dest, digest=None, check_mode=False)
        except KServeError as error:
            failures.append(error.reason)

    monkeypatch.setattr(download, "digest_all", digest_all)
    run(store, dest)
    # Its own files, and not those of the other version that were hashed as its own.
    assert held(dest) == WHOLE
    assert failures == ["ConcurrentRun"]


def test_a_folder_that_another_run_has_put_in_place_is_not_locked(
    store: MemoryStore, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fcntl.flock

    def flock(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", original)
        dest.with_name(".model.download").rename(dest.with_name("elsewhere"))
        original(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert run(store, dest).downloaded == ALL
    assert held(dest) == WHOLE and held(dest.with_name("elsewhere")) == {}


def test_an_unchanged_folder_that_may_not_be_written_is_no_error(
    store: MemoryStore, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, dest)

    def mkdir(path: Path, *args: Any, **options: Any) -> None:
        # As on a read-only file system; permissions do not bind the superuser, who may run the tests.
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert run(store, dest).result()["changed"] is False
    (dest / "model.joblib").write_bytes(b"else")
    with pytest.raises(KServeError, match="cannot be used"):
        run(store, dest)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Files cannot grow beyond a size: what does not fit is written in part, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_not_a_corrupt_bucket(store: MemoryStore, dest: Path) -> None:
    # The last of the three ranges is written in part.
    with full_disk(220), pytest.raises(KServeError, match="cannot be written: File too large") as caught:
        run(store, dest)
    assert caught.value.reason == "FileNotWritable"
    assert run(store, dest).downloaded == ALL


class Flipping(MemoryStore):
    """A store from which the first read of each object arrives damaged."""

    def read(self, key: str, start: int, size: int) -> bytes:
        first = ("read", key, str(start)) not in self.calls
        content = super().read(key, start, size)
        return bytes(len(content)) if first else content


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_download_is_not_a_corrupt_bucket(store: MemoryStore, dest: Path, name: str) -> None:
    store = Flipping(dict(store.content))
    with pytest.raises(KServeError, match="is intact; see the disk and the connection, and run again") as caught:
        run(store, dest)
    assert caught.value.reason == "DownloadDamaged"


@pytest.mark.parametrize("name", FILES)
def test_a_version_that_is_replaced_meanwhile_is_not_corrupt(store: MemoryStore, dest: Path, name: str) -> None:
    class Replaced(MemoryStore):
        def get(self, key: str) -> bytes | None:
            content = super().get(key)
            self.content[f"iris/1/{name}"] = bytes(len(FILES[name]))
            self.content["iris/1/manifest.json"] = manifest({**FILES, name: bytes(len(FILES[name]))}).content
            return content

    replaced = Replaced(store.content)
    with pytest.raises(KServeError, match="was replaced while it was downloaded; run again") as caught:
        run(replaced, dest)
    assert caught.value.reason == "ConcurrentRun"


def test_destinations_that_are_not_folders(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name, says in (("file", "is not a folder"), ("link", "is not a folder"), ("a/b", "a does not exist")):
        with pytest.raises(KServeError, match=says):
            run(store, tmp_path / name)


@pytest.mark.parametrize("dest", [".", "..", "/", "sub/..", "../here"])
def test_a_folder_in_which_the_module_runs_is_rejected(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dest: str
) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(KServeError, match="cannot be replaced as a whole") as caught:
        run(store, Path(dest))
    assert caught.value.reason == "InvalidOption"
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "sub"]


def test_the_diff_shows_files_and_digests(store: MemoryStore, dest: Path) -> None:
    diff = run(store, dest, check_mode=True).result()["diff"]
    assert diff["before"] == ""
    assert diff["after"].splitlines()[1] == "model.joblib 5 sha256:" + hashlib.sha256(b"model").hexdigest()
