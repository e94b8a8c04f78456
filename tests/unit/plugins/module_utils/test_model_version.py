# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_folder import LocalFile, scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_version import (
    BucketMissing,
    StoredObject,
    Target,
    publish,
)

TARGET = Target("models", "iris", "1")


class MemoryStore:
    """A bucket in memory that notes every call."""

    def __init__(self, objects: Mapping[str, bytes] | None = None, encrypted: bool = False) -> None:
        self.objects = dict(objects or {})
        self.sums: dict[str, str] = {}
        self.calls: list[tuple[str, ...]] = []
        self.encrypted = encrypted
        self.damage: str | None = None

    def list(self, prefix: str) -> dict[str, StoredObject]:
        self.calls.append(("list", prefix))
        return {
            key: StoredObject(len(data), "opaque" if self.encrypted else hashlib.md5(data).hexdigest())
            for key, data in self.objects.items()
            if key.startswith(prefix)
        }

    def sha256(self, key: str) -> str | None:
        self.calls.append(("sha256", key))
        return self.sums.get(key)

    def upload(self, files: Mapping[str, LocalFile]) -> None:
        self.calls.append(("upload", *files))
        for key, file in files.items():
            self.objects[key] = b"damaged" if key == self.damage else file.path.read_bytes()
            self.sums[key] = "" if key == self.damage else file.sha256

    def remove(self, key: str) -> None:
        self.calls.append(("remove", key))
        self.objects.pop(key, None)

    @property
    def writes(self) -> list[tuple[str, ...]]:
        return [call for call in self.calls if call[0] in ("upload", "remove")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.joblib").write_bytes(b"model")
    (tmp_path / "metadata.json").write_bytes(b"{}")
    return tmp_path


WHOLE = {"iris/1/model.joblib": b"model", "iris/1/metadata.json": b"{}"}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("purge", [False, True])
@pytest.mark.parametrize(
    ("stored", "uploaded", "extra"),
    [
        ({}, ["metadata.json", "model.joblib"], False),
        (WHOLE, [], False),
        ({**WHOLE, "iris/1/model.joblib": b"older"}, ["metadata.json", "model.joblib"], False),
        ({**WHOLE, "iris/1/model.joblib": b"of another size"}, ["metadata.json", "model.joblib"], False),
        ({**WHOLE, "iris/1/metadata.json": b"[]"}, ["metadata.json"], False),
        ({"iris/1/model.joblib": b"model"}, ["metadata.json"], False),
        ({**WHOLE, "iris/1/old.joblib": b"x"}, [], True),
    ],
)
def test_purge_by_exists_by_differs_by_check_mode(
    folder: Path, stored: dict[str, bytes], uploaded: list[str], extra: bool, purge: bool, check_mode: bool
) -> None:
    store = MemoryStore(stored)
    done = publish(store, TARGET, scan(folder), purge=purge, check_mode=check_mode)

    removed = ["old.joblib"] if extra and purge else []
    # Purging changes the version, so its marker is written anew.
    expected = ["metadata.json"] if removed else uploaded
    assert (done.plan.upload, done.plan.remove) == (expected, removed)
    assert sorted(done.plan.upload + done.plan.unchanged) == ["metadata.json", "model.joblib"]
    assert done.plan.changed is bool(expected or removed)
    assert done.bytes_sent == sum(len((folder / name).read_bytes()) for name in expected)
    if check_mode:
        assert store.writes == [] and store.objects == stored
    else:
        kept = {"iris/1/old.joblib": b"x"} if extra and not purge else {}
        assert store.objects == {**WHOLE, **kept}
    seen = {name: store_object.etag for name, store_object in done.after.items()}
    assert seen["model.joblib"] == hashlib.md5(b"model").hexdigest()
    assert ("old.joblib" in seen) is (extra and not purge)


def test_an_unchanged_version_costs_one_listing(folder: Path) -> None:
    store = MemoryStore(WHOLE)
    publish(store, TARGET, scan(folder), purge=True, check_mode=False)
    assert store.calls == [("list", "iris/1/")]


@pytest.mark.parametrize(("content", "asks"), [(b"of another size", False), (b"older", True)])
def test_only_another_content_of_the_same_size_needs_a_further_request(
    folder: Path, content: bytes, asks: bool
) -> None:
    store = MemoryStore({**WHOLE, "iris/1/model.joblib": content})
    publish(store, TARGET, scan(folder), purge=False, check_mode=True)
    assert (("sha256", "iris/1/model.joblib") in store.calls) is asks


def test_the_marker_goes_first_and_comes_last(folder: Path) -> None:
    store = MemoryStore({**WHOLE, "iris/1/model.joblib": b"older", "iris/1/old": b""})
    publish(store, TARGET, scan(folder), purge=True, check_mode=False)
    assert store.writes == [
        ("remove", "iris/1/metadata.json"),
        ("upload", "iris/1/model.joblib"),
        ("remove", "iris/1/old"),
        ("upload", "iris/1/metadata.json"),
    ]


def test_purging_the_marker_takes_it_away_once_and_first(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"newer")
    store = MemoryStore(WHOLE)
    done = publish(store, TARGET, scan(tmp_path), purge=True, check_mode=False)
    assert done.plan.remove == ["metadata.json"]
    assert store.writes == [("remove", "iris/1/metadata.json"), ("upload", "iris/1/model.joblib")]


def test_no_marker_is_written_over_content_that_did_not_arrive(folder: Path) -> None:
    store = MemoryStore()
    store.damage = "iris/1/model.joblib"
    with pytest.raises(KServeError, match=r"does not hold iris/1/model\.joblib as it was sent"):
        publish(store, TARGET, scan(folder), purge=False, check_mode=False)
    assert "iris/1/metadata.json" not in store.objects


def test_where_an_etag_is_no_digest_the_stored_sha256_decides(folder: Path) -> None:
    store = MemoryStore(encrypted=True)
    assert publish(store, TARGET, scan(folder), purge=False, check_mode=False).plan.changed
    assert not publish(store, TARGET, scan(folder), purge=False, check_mode=False).plan.changed
    (folder / "model.joblib").write_bytes(b"ledom")
    assert "model.joblib" in publish(store, TARGET, scan(folder), purge=False, check_mode=False).plan.upload


def test_other_versions_and_folder_placeholders_are_left_alone(folder: Path) -> None:
    others = {"iris/10/model.joblib": b"ten", "iris/1/": b""}
    store = MemoryStore({**WHOLE, **others})
    done = publish(store, TARGET, scan(folder), purge=True, check_mode=False)
    assert not done.plan.changed and store.objects == {**WHOLE, **others}


def test_a_missing_bucket_fails_a_run_and_warns_in_check_mode(folder: Path) -> None:
    class Missing(MemoryStore):
        def list(self, prefix: str) -> dict[str, StoredObject]:
            raise BucketMissing("There is no bucket models at x; create it or set bucket.")

    with pytest.raises(BucketMissing):
        publish(Missing(), TARGET, scan(folder), purge=False, check_mode=False)
    done = publish(Missing(), TARGET, scan(folder), purge=False, check_mode=True)
    assert done.plan.upload == ["metadata.json", "model.joblib"]
    assert done.warning and "There is no bucket models" in done.warning


@pytest.mark.parametrize("bucket", ["ab", "Models", "a_b", "10.0.0.1", "a..b", "-ab", "ab-", "a/b", "a" * 64, "abc\n"])
def test_bucket_names_that_s3_does_not_allow(bucket: str) -> None:
    with pytest.raises(KServeError, match="bucket name"):
        Target(bucket, "iris", "1")


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "-a", "a b", "é", "1\n"])
def test_names_and_versions_are_one_segment(value: str) -> None:
    with pytest.raises(KServeError, match="The name"):
        Target("models", value, "1")
    with pytest.raises(KServeError, match="The version"):
        Target("models", "iris", value)


def test_uri() -> None:
    assert Target("my.models", "iris", "1.0.0").uri == "s3://my.models/iris/1.0.0/"


def test_a_missing_bucket_is_made_when_asked(folder: Path) -> None:
    class WithoutBucket(MemoryStore):
        made = False

        def create(self) -> None:
            self.made = True

        def list(self, prefix: str) -> dict[str, StoredObject]:
            if not self.made:
                raise BucketMissing("There is no bucket models at x.")
            return super().list(prefix)

    store = WithoutBucket()
    assert publish(store, TARGET, scan(folder), purge=False, check_mode=True, create_bucket=True).plan.changed
    assert not store.made
    assert publish(store, TARGET, scan(folder), purge=False, check_mode=False, create_bucket=True).plan.changed
    assert store.made
    assert not publish(store, TARGET, scan(folder), purge=False, check_mode=False, create_bucket=True).plan.changed
