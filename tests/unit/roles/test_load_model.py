# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loader with a folder as its bucket: a version in the volume is complete, or unchanged."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "roles" / "model_volume" / "files" / "load_model.py"


def program() -> ModuleType:
    """The loader as a module; its file is not part of a package."""
    spec = importlib.util.spec_from_file_location("load_model", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["load_model"] = module
    spec.loader.exec_module(module)
    return module


load_model = program()


class Folder:
    """The bucket interface of the loader; spoil: called before an object is written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fetched: list[str] = []
        self.spoil: Callable[[str], None] = lambda key: None

    def uri(self, key: str) -> str:
        return f"s3://bucket/{key}"

    def read(self, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.exists() else None

    def fetch(self, key: str, path: Path, size: int) -> None:
        self.spoil(key)
        self.fetched.append(key)
        path.write_bytes((self.root / key).read_bytes())

    def sha256(self, key: str) -> str:
        return hashlib.sha256((self.root / key).read_bytes()).hexdigest()

    def publish(self, version: str, **files: str) -> str:
        """Create a version of the model, and return its digest."""
        folder = self.root / "iris" / version
        folder.mkdir(parents=True, exist_ok=True)
        entries = {}
        for name, text in files.items():
            (folder / name).write_text(text)
            entries[name] = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "size": len(text)}
        content = json.dumps({"files": entries, "schema": 1}).encode()
        (folder / "manifest.json").write_bytes(content)
        return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def bucket(tmp_path: Path) -> Folder:
    (tmp_path / "bucket").mkdir()
    return Folder(tmp_path / "bucket")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


@pytest.fixture
def loader(bucket: Folder, volume: Path) -> Any:
    def make(**options: Any) -> Any:
        return load_model.Loader(bucket=bucket, name="iris", volume=volume, patience=5, **options)

    return make


def content(volume: Path) -> dict[str, str]:
    """All files below the model's folder, except the lock."""
    root = volume / "iris"
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in (".lock", "manifest.json")
    }


def test_a_version_is_loaded_once(bucket: Folder, volume: Path, loader: Any) -> None:
    digest = bucket.publish("v1", model="abc", data="x")
    assert loader().load("v1", digest) == f"iris v1 ({digest}, 2 files, 4 bytes) is loaded."
    assert content(volume) == {"v1/data": "x", "v1/model": "abc"}
    assert bucket.fetched == ["iris/v1/model", "iris/v1/data"]
    assert loader().load("v1", digest).endswith("is in the volume already.")
    assert len(bucket.fetched) == 2


def test_files_in_folders_are_loaded_and_a_path_outside_is_rejected(bucket: Folder, volume: Path, loader: Any) -> None:
    (bucket.root / "iris/v1/sub").mkdir(parents=True)
    bucket.publish("v1", **{"sub/model": "abc"})
    loader().load("v1")
    assert content(volume) == {"v1/sub/model": "abc"}
    for name in ("../model", "/model", "a//b", "a/./b", "manifest.json", "a\0b"):
        entry = {"sha256": "0" * 64, "size": 1}
        (bucket.root / "iris/v1/manifest.json").write_text(json.dumps({"files": {name: entry}}))
        with pytest.raises(load_model.LoadError, match="is no manifest of a version"):
            loader().load("v1")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": {}}', '{"files": {"a": {"sha256": "x", "size": 1}}}', "\xff"]
)
def test_an_invalid_manifest_is_rejected(bucket: Folder, loader: Any, text: str) -> None:
    bucket.publish("v1", model="abc")
    (bucket.root / "iris/v1/manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(load_model.LoadError, match="upload the version again with overwrite"):
        loader().load("v1")


def test_a_version_without_a_manifest_is_incomplete(bucket: Folder, volume: Path, loader: Any) -> None:
    with pytest.raises(load_model.LoadError, match="so the version is not there or not complete"):
        loader().load("v1")
    assert content(volume) == {}


def test_a_digest_that_does_not_match_is_rejected(bucket: Folder, volume: Path, loader: Any) -> None:
    bucket.publish("v1", model="abc")
    with pytest.raises(load_model.LoadError, match="in the bucket and not sha256:other: see who has changed it"):
        loader().load("v1", "sha256:other")
    assert content(volume) == {}


def test_a_corrupt_object_leaves_nothing(bucket: Folder, volume: Path, loader: Any) -> None:
    bucket.publish("v1", model="abc")
    (bucket.root / "iris/v1/model").write_text("abd")
    with pytest.raises(load_model.LoadError, match="s3://bucket/iris/v1/model is not what the version's manifest says"):
        loader().load("v1")
    assert not (volume / "iris/v1").exists()
    (bucket.root / "iris/v1/model").write_text("abc")
    loader().load("v1")
    assert content(volume) == {"v1/model": "abc"}


def test_a_corrupt_version_is_repaired(bucket: Folder, volume: Path, loader: Any) -> None:
    bucket.publish("v1", model="abc")
    loader().load("v1")
    (volume / "iris/v1/model").write_text("abd")
    assert loader().load("v1").endswith("is loaded.")
    (volume / "iris/v1/model").unlink()
    loader().load("v1")
    assert content(volume) == {"v1/model": "abc"}


def test_a_version_with_other_content_is_rejected_unless_overwrite_is_set(
    bucket: Folder, volume: Path, loader: Any
) -> None:
    first = bucket.publish("v1", model="abc")
    loader().load("v1")
    second = bucket.publish("v1", model="xyz")
    message = (
        f"is in the volume with other content .digest {first}, in the bucket {second}.: give the new content another"
    )
    with pytest.raises(load_model.LoadError, match=message):
        loader().load("v1")
    assert content(volume) == {"v1/model": "abc"}
    loader(overwrite=True).load("v1")
    assert content(volume) == {"v1/model": "xyz"}


def test_a_folder_that_is_not_a_loaded_version_is_rejected(bucket: Folder, volume: Path, loader: Any) -> None:
    bucket.publish("v1", model="abc")
    (volume / "iris/v1").mkdir(parents=True)
    (volume / "iris/v1/model").write_text("by hand")
    with pytest.raises(load_model.LoadError, match="digest unknown, without a manifest"):
        loader().load("v1")
    assert content(volume) == {"v1/model": "by hand"}


def test_the_last_requested_versions_and_the_serving_one_are_retained(
    bucket: Folder, volume: Path, loader: Any
) -> None:
    for number in range(1, 6):
        bucket.publish(f"v{number}", model=f"{number}")
        loader(keep=2, serving=["v1"]).load(f"v{number}")
    assert list(content(volume)) == ["v1/model", "v4/model", "v5/model"]
    # v4 is requested again, so v5 is deleted.
    assert loader(keep=2).load("v4").endswith("Removed: v1.")
    bucket.publish("v6", model="6")
    assert loader(keep=2).load("v6").endswith("Removed: v5.")
    assert list(content(volume)) == ["v4/model", "v6/model"]


def test_a_version_larger_than_the_volume_is_rejected_before_it_is_loaded(
    bucket: Folder, loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.publish("v1", model="abc")
    found = os.statvfs("/")
    values = list(found)
    values[4] = 0  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))
    with pytest.raises(load_model.LoadError, match="The volume has 0 bytes left and iris v1 needs 3: make it larger"):
        loader().load("v1")
    assert bucket.fetched == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "The volume is full .No space left on device.: make it larger"),
        (OSError(122, "Disk quota exceeded"), "The volume is full .Disk quota exceeded."),
        (
            PermissionError(13, "Permission denied", "/models/iris"),
            "/models/iris cannot be written",
        ),
    ],
)
def test_a_volume_that_cannot_be_written(
    bucket: Folder, volume: Path, loader: Any, error: OSError, message: str
) -> None:
    bucket.publish("v1", model="abc", data="x")

    def spoil(key: str) -> None:
        if key.endswith("data"):
            raise error

    bucket.spoil = spoil
    with pytest.raises(load_model.LoadError, match=message):
        loader().load("v1")
    assert not (volume / "iris/v1").exists()
    bucket.spoil = lambda key: None
    loader().load("v1")
    assert content(volume) == {"v1/data": "x", "v1/model": "abc"}


def test_to_overwrite_is_advised_only_if_the_object_is_damaged(bucket: Folder, volume: Path, loader: Any) -> None:
    bucket.publish("v1", model="abc")
    original = bucket.fetch

    def damaged(key: str, path: Path, size: int) -> None:
        original(key, path, size)
        path.write_text("aBc")

    bucket.fetch = damaged  # type: ignore[method-assign]
    with pytest.raises(load_model.LoadError, match="is intact: see the volume and the connection") as caught:
        loader().load("v1")
    assert caught.value.exit_code == load_model.TEMPORARY

    def replaced(key: str, path: Path, size: int) -> None:
        bucket.publish("v1", model="new")
        original(key, path, size)

    bucket.fetch = replaced  # type: ignore[method-assign]
    with pytest.raises(load_model.LoadError, match="was replaced in the bucket while it was loaded: run again"):
        loader().load("v1")
    bucket.fetch = original  # type: ignore[method-assign]
    (bucket.root / "iris/v1/model").write_text("nEw")
    with pytest.raises(load_model.LoadError, match="upload the version again with overwrite"):
        loader().load("v1")


class Killed(BaseException):
    """Ends the process; no handler catches it."""


@pytest.mark.parametrize("moment", range(20))
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interruption_at_any_time_leaves_a_complete_version_or_none(
    bucket: Folder, volume: Path, loader: Any, monkeypatch: pytest.MonkeyPatch, moment: int, overwrite: bool
) -> None:
    """Interrupt it after each of the system calls that change the volume."""
    old = {"v1/data": "old", "v1/model": "old"}
    if overwrite:
        bucket.publish("v1", model="old", data="old")
        loader().load("v1")
    new = {"v1/data": "x", "v1/model": "abc"}
    bucket.publish("v1", model="abc", data="x")
    count = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*words: Any, **named: Any) -> Any:
            nonlocal count
            if count == moment:
                raise Killed
            count += 1
            return call(*words, **named)

        return run

    with monkeypatch.context() as patched:
        for owner, name in (
            (Path, "mkdir"),
            (Path, "rename"),
            (Path, "write_bytes"),
            (os, "fsync"),
            (load_model.shutil, "rmtree"),
        ):
            patched.setattr(owner, name, counted(getattr(owner, name)))
        with contextlib.suppress(Killed):
            loader(overwrite=True).load("v1")
    there = {name: text for name, text in content(volume).items() if not name.startswith(".")}
    assert there in ([old, new, {}] if overwrite else [new, {}]), there
    loader(overwrite=True).load("v1")
    assert content(volume) == new
    assert sorted(path.name for path in (volume / "iris").iterdir()) == [".lock", "v1"]


def test_an_interrupted_deletion_leaves_no_incomplete_version(
    bucket: Folder, volume: Path, loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("v1", "v2"):
        bucket.publish(version, model=version, data="x")
    loader().load("v1")

    def half(path: Path, **named: Any) -> None:
        (path / "model").unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(load_model.shutil, "rmtree", half)
        with pytest.raises(Killed):
            loader(keep=1).load("v2")
    assert not (volume / "iris/v1").exists()
    loader(keep=2).load("v2")
    assert sorted(path.name for path in (volume / "iris").iterdir()) == [".lock", "v2"]


def _hold(path: str, held: Any, go: Any) -> None:
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    held.set()
    go.wait(20)


@pytest.mark.parametrize("freed", [True, False])
def test_a_second_loader_waits_for_the_first(bucket: Folder, volume: Path, loader: Any, freed: bool) -> None:
    bucket.publish("v1", model="abc")
    (volume / "iris").mkdir()
    context = multiprocessing.get_context("fork")
    held, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(volume / "iris/.lock"), held, go))
    other.start()
    assert held.wait(20)
    if freed:
        # The lock of a killed loader is released.
        other.kill()
        assert loader().load("v1").endswith("is loaded.")
    else:
        waiting = load_model.Loader(bucket=bucket, name="iris", volume=volume, patience=1)
        with pytest.raises(load_model.LoadError, match="Another loader has been at work on iris for 1 s") as caught:
            waiting.load("v1")
        assert caught.value.exit_code == load_model.TEMPORARY
        go.set()
    other.join()


def test_the_serving_version_is_read_from_an_optional_file(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    assert load_model._serving(path, "iris") == load_model._serving(None, "iris") == []
    path.write_text('{"iris": ["v1"]}')
    assert load_model._serving(path, "iris") == ["v1"]
    assert load_model._serving(path, "other") == []
