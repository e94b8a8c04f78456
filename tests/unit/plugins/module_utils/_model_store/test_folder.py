# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store import folder as model_folder
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import digest_all, scan


def test_files_below_folders_come_in_order_with_their_digests(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "weights.bin").write_bytes(b"weights")
    (tmp_path / "a.txt").write_bytes(b"")
    first, second = scan(tmp_path)
    assert (first.name, first.size) == ("a.txt", 0)
    assert (second.name, second.size) == ("b/weights.bin", 7)
    assert second.known_sha256 is None  # nothing is read before it is needed
    digest_all([first, second])
    assert first.known_sha256 == hashlib.sha256(b"").hexdigest()
    assert second.known_sha256 == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize("size", [0, 2, 3, 4, 8])
def test_a_digest_is_of_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(model_folder, "_BLOCK", 3)
    (tmp_path / "big").write_bytes(bytes(range(size)))
    assert scan(tmp_path)[0].sha256 == hashlib.sha256(bytes(range(size))).hexdigest()


def test_a_file_that_is_gone_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    (file,) = scan(tmp_path)
    file.path.unlink()
    with pytest.raises(KServeError, match="model cannot be read: No such file or directory"):
        digest_all([file])


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"model")
    (tmp_path / "latest.joblib").symlink_to("model.joblib")
    assert [file.name for file in scan(tmp_path)] == ["latest.joblib", "model.joblib"]


def _missing(folder: Path) -> Path:
    return folder / "missing"


def _file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file"


def _link_out(folder: Path) -> Path:
    (folder.parent / "secret").write_text("x")
    (folder / "model.joblib").symlink_to(folder.parent / "secret")
    return folder


def _link_to_nothing(folder: Path) -> Path:
    (folder / "model.joblib").symlink_to("gone")
    return folder


def _linked_folder(folder: Path) -> Path:
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    return folder


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder


def _bad_name(folder: Path) -> Path:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_missing, "does not exist; set source"),
        (_file, "is not a folder; set source"),
        (lambda folder: folder, "contains no file; put the model into it"),
        (_link_out, "is a symbolic link out of the source folder"),
        (_link_to_nothing, "cannot be read: No such file"),
        (_linked_folder, "is a symbolic link to a folder"),
        (_pipe, "is not a regular file"),
        (_bad_name, "is not UTF-8"),
    ],
)
def test_a_folder_that_cannot_be_sent_is_refused(tmp_path: Path, make, message: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(KServeError, match=message):
        scan(make(folder))


def test_a_folder_that_may_not_be_read_is_an_error_and_not_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def walk(root, onerror):
        onerror(PermissionError(13, "Permission denied", str(root)))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(KServeError, match="cannot be read: Permission denied"):
        scan(tmp_path)
