# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common import disk_cache


class Maker:
    """A computed value, and the number of computations."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return self._made


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hashfoundry-kserve" / "made"


def aged(folder: Path) -> Path:
    """Make the only entry expire, and return it."""
    (entry,) = folder.iterdir()
    past = time.time() - 31 * 24 * 3600
    os.utime(entry, (past, past))
    return entry


def test_a_value_is_computed_once_for_the_same_key() -> None:
    made = {"a": [1, "x", None, {"b": 1.5}]}
    maker = Maker(made)
    assert [disk_cache.cached([b"a", b"bc"], maker, object) for _time in range(3)] == [made] * 3
    assert maker.times == 1
    for others in ([b"ab", b"c"], [b"abc"], [b"a", b"bc", b""]):
        disk_cache.cached(others, maker, object)
    assert maker.times == 4


def test_an_entry_has_mode_0600(folder: Path) -> None:
    disk_cache.cached([b"a"], Maker(1), object)
    assert [entry.stat().st_mode & 0o777 for entry in folder.iterdir()] == [0o600]


def test_a_value_that_json_cannot_express_is_not_cached(folder: Path) -> None:
    maker = Maker({"a": b"x"})
    assert [disk_cache.cached([b"a"], maker, object) for _time in range(2)] == [{"a": b"x"}] * 2
    assert maker.times == 2 and not list(folder.iterdir())


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_a_corrupt_entry_is_computed_again(folder: Path, text: str) -> None:
    maker = Maker([1])
    disk_cache.cached([b"a"], maker, object)
    (entry,) = folder.iterdir()
    entry.write_text(text)
    assert [disk_cache.cached([b"a"], maker, object) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2


@pytest.mark.parametrize("content", ['{"a": 1}', '"text"', "null", "[" * 100_000, "3"])
def test_an_entry_of_another_type_is_computed_again(folder: Path, content: str) -> None:
    disk_cache.cached([b"a"], Maker([1]), list)
    (entry,) = folder.iterdir()
    entry.write_text(content)
    assert disk_cache.cached([b"a"], Maker([1]), list) == [1]


def planted(folder: Path) -> Path:
    disk_cache.cached([b"a"], Maker([1]), list)
    (entry,) = folder.iterdir()
    entry.write_text("[2]")
    assert disk_cache.cached([b"a"], Maker([1]), list) == [2]
    return entry


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_entry_that_is_writable_by_others_is_ignored(folder: Path, mode: int) -> None:
    entry = planted(folder)
    entry.chmod(mode)
    assert disk_cache.cached([b"a"], Maker([1]), list) == [1]
    # It was replaced by one that they may not.
    assert entry.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_folder_that_is_writable_by_others_is_ignored(folder: Path, mode: int) -> None:
    entry = planted(folder)
    folder.chmod(mode)
    assert disk_cache.cached([b"a"], Maker([1]), list) == [1]
    assert entry.read_text() == "[2]"


def test_an_entry_of_another_user_is_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(folder)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert disk_cache.cached([b"a"], Maker([1]), list) == [1]


def test_an_entry_that_is_a_link_is_ignored(folder: Path, tmp_path: Path) -> None:
    entry = planted(folder)
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert disk_cache.cached([b"a"], Maker([1]), list) == [1]
    assert not entry.is_symlink()
    entry.unlink()
    os.mkfifo(entry)
    assert disk_cache.cached([b"a"], Maker([1]), list) == [1]


def test_without_a_writable_folder_nothing_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    maker = Maker([1])
    assert [disk_cache.cached([b"a"], maker, object) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2


def test_without_a_home_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    maker = Maker([1])
    assert [disk_cache.cached([b"a"], maker, object) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2


def test_an_uncacheable_value_is_computed_each_time(folder: Path) -> None:
    maker = Maker([1])
    assert [disk_cache.cached([b"a"], maker, object, lambda made: made != [1]) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2 and not folder.exists()


def test_an_expired_entry_is_computed_again(folder: Path) -> None:
    maker = Maker([1])
    disk_cache.cached([b"a"], maker, object)
    aged(folder)
    disk_cache.cached([b"a"], maker, object)
    assert maker.times == 2


def test_an_expired_entry_is_deleted_when_a_new_one_is_written(folder: Path) -> None:
    disk_cache.cached([b"old"], Maker(1), object)
    old = aged(folder)
    disk_cache.cached([b"new"], Maker(2), object)
    assert old not in folder.iterdir() and len(list(folder.iterdir())) == 1
