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
    """What is made, and how often it was."""

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
    """Make the only entry older than it may be, and return it."""
    (entry,) = folder.iterdir()
    past = time.time() - 31 * 24 * 3600
    os.utime(entry, (past, past))
    return entry


def test_it_is_made_once_for_the_same_parts() -> None:
    made = {"a": [1, "x", None, {"b": 1.5}]}
    maker = Maker(made)
    assert [disk_cache.cached([b"a", b"bc"], maker) for _time in range(3)] == [made] * 3
    assert maker.times == 1
    for others in ([b"ab", b"c"], [b"abc"], [b"a", b"bc", b""]):
        disk_cache.cached(others, maker)
    assert maker.times == 4


def test_only_its_owner_reads_it(folder: Path) -> None:
    disk_cache.cached([b"a"], Maker(1))
    assert [entry.stat().st_mode & 0o777 for entry in folder.iterdir()] == [0o600]


def test_what_json_cannot_express_is_not_kept(folder: Path) -> None:
    maker = Maker({"a": b"x"})
    assert [disk_cache.cached([b"a"], maker) for _time in range(2)] == [{"a": b"x"}] * 2
    assert maker.times == 2 and not list(folder.iterdir())


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_a_broken_entry_is_made_again(folder: Path, text: str) -> None:
    maker = Maker([1])
    disk_cache.cached([b"a"], maker)
    (entry,) = folder.iterdir()
    entry.write_text(text)
    assert [disk_cache.cached([b"a"], maker) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2


def test_without_a_place_for_it_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    maker = Maker([1])
    assert [disk_cache.cached([b"a"], maker) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    maker = Maker([1])
    assert [disk_cache.cached([b"a"], maker) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2


def test_what_is_not_to_be_kept_is_made_each_time(folder: Path) -> None:
    maker = Maker([1])
    assert [disk_cache.cached([b"a"], maker, lambda made: made != [1]) for _time in range(2)] == [[1], [1]]
    assert maker.times == 2 and not folder.exists()


def test_what_is_old_is_made_again(folder: Path) -> None:
    maker = Maker([1])
    disk_cache.cached([b"a"], maker)
    aged(folder)
    disk_cache.cached([b"a"], maker)
    assert maker.times == 2


def test_what_is_old_goes_when_something_new_comes(folder: Path) -> None:
    disk_cache.cached([b"old"], Maker(1))
    old = aged(folder)
    disk_cache.cached([b"new"], Maker(2))
    assert old not in folder.iterdir() and len(list(folder.iterdir())) == 1
