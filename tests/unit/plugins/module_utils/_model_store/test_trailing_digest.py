# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest that follows a reader."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store import trailing_digest
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.trailing_digest import TrailingDigest

CONTENT = os.urandom(3 * 1024 * 1024 + 5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("steps", [[len(CONTENT)], [1, 2, 1024 * 1024, len(CONTENT)], [len(CONTENT) - 1], []])
def test_it_is_that_of_what_was_announced(file: Path, steps: list[int]) -> None:
    with file.open("rb") as stream, TrailingDigest(stream.fileno()) as digest:
        for step in steps:
            digest.read_to(step)
    # The reader's file is closed by now.
    assert digest.hexdigest() == hashlib.sha256(CONTENT[: max(steps, default=0)]).hexdigest()


def test_a_reader_far_ahead_waits(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trailing_digest, "LAG", 1024 * 1024)
    may_go_on, pread = threading.Event(), os.pread

    def slowly(descriptor: int, length: int, offset: int) -> bytes:
        may_go_on.wait()
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", slowly)
    with file.open("rb") as stream, TrailingDigest(stream.fileno()) as digest:
        digest.read_to(1024 * 1024)
        ahead = threading.Thread(target=digest.read_to, args=(len(CONTENT),))
        ahead.start()
        ahead.join(0.05)
        assert ahead.is_alive()
        may_go_on.set()
        ahead.join()
    assert digest.hexdigest() == hashlib.sha256(CONTENT).hexdigest()


def test_a_file_that_is_written_to_has_none(file: Path) -> None:
    with file.open("rb") as stream, TrailingDigest(stream.fileno()) as digest:
        digest.read_to(10)
        with file.open("r+b") as other:
            other.write(b"other")
        os.utime(file, ns=(1, 1))
        digest.read_to(len(CONTENT))
    assert digest.hexdigest() is None


def test_a_file_that_is_cut_short_has_none(file: Path) -> None:
    with file.open("rb") as stream, TrailingDigest(stream.fileno()) as digest:
        os.truncate(file, 10)
        digest.read_to(len(CONTENT))
    assert digest.hexdigest() is None


def test_what_cannot_be_read_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    monkeypatch.setattr(trailing_digest, "LAG", 0)
    with file.open("rb") as stream, TrailingDigest(stream.fileno()) as digest:
        digest.read_to(len(CONTENT))
    with pytest.raises(OSError, match="Input/output error"):
        digest.hexdigest()


def test_a_reader_that_fails_leaves_no_thread(file: Path) -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), file.open("rb") as stream, TrailingDigest(stream.fileno()):
        raise ZeroDivisionError
    for thread in threading.enumerate():
        if thread.name == "digest":
            thread.join(5)
    assert threading.active_count() <= before
