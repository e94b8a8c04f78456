# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A model folder is written atomically."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ModelError
from model.folder import write_folder

FILES = {"model.joblib": b"model", "metadata.json": b"{}"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_folder_with_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "iris/v1"
    assert write_folder(folder, FILES) is True
    assert content(folder) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["v1"], "no temporary folder is left"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert write_folder(tmp_path, FILES) is True
    assert content(tmp_path) == FILES


def test_the_same_content_is_not_rewritten(tmp_path: Path) -> None:
    write_folder(tmp_path / "v1", FILES)
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted((tmp_path / "v1").iterdir())]
    assert write_folder(tmp_path / "v1", FILES) is False
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted((tmp_path / "v1").iterdir())] == before


@pytest.mark.parametrize("old", [FILES | {"model.joblib": b"old"}, {"model.joblib": b"old"}])
def test_another_model_is_replaced(tmp_path: Path, old: dict[str, bytes]) -> None:
    write_folder(tmp_path / "v1", old)
    assert write_folder(tmp_path / "v1", FILES) is True
    assert content(tmp_path / "v1") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_other_files_are_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ModelError, match=r"do not belong to a model \(thesis\.tex\)"):
        write_folder(tmp_path, FILES)
    assert content(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_at_the_path_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "v1").write_text("a file")
    with pytest.raises(ModelError, match="is a file"):
        write_folder(tmp_path / "v1", FILES)


def test_a_file_at_the_path_of_the_parent(tmp_path: Path) -> None:
    (tmp_path / "iris").write_text("a file")
    with pytest.raises(ModelError, match=r"cannot be written to .* \(File exists\)"):
        write_folder(tmp_path / "iris/v1", FILES)


def test_the_old_model_survives_a_rename_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"model.joblib": b"old", "metadata.json": b"{}"}
    write_folder(tmp_path / "v1", old)
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(ModelError, match="No space left on device"):
        write_folder(tmp_path / "v1", FILES)
    assert content(tmp_path / "v1") == old
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]
