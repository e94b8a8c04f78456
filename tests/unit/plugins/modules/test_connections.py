# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules send as many requests at once as the option connections says, and no more, also for several models."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import LocalFile
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.transfer import (
    PART_SIZE,
    unfinished_uploads,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3
from ansible_collections.hashfoundry.kserve.plugins.modules import spaces_info, spaces_upload

from ..module_utils.model_store_fake import MemoryStore

WHERE = {"bucket": "models", "access_key": "a", "secret_key": "b"}
# More than any default.
MANY = 12


class BusyStore(MemoryStore):
    """A store that takes a while for each request; highest: how many it had at once.

    together: where given, each read of an object waits until so many are there.
    """

    def __init__(self, together: int = 1) -> None:
        super().__init__()
        self.highest = 0
        self._now = 0
        self._counting = threading.Lock()
        self._together = threading.Barrier(together)

    def _record(self, *call: str) -> None:
        with self._counting:
            self._now += 1
            self.highest = max(self.highest, self._now)
        if call[0] == "get":
            self._together.wait(20)
        time.sleep(0.02)
        with self._counting:
            self._now -= 1
        super()._record(*call)


def models(count: int) -> list[dict[str, Any]]:
    return [{"name": f"model-{number}", "version": "v1"} for number in range(count)]


@pytest.mark.parametrize("connections", [1, 3])
def test_versions_of_listed_models_are_read_by_so_many_requests(
    run_module, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    store = BusyStore()
    monkeypatch.setattr(s3, "session", lambda _options: nullcontext(store))
    run_module(spaces_info.main, {**WHERE, "models": models(MANY), "connections": connections})
    assert store.requests >= MANY and store.highest <= connections


def test_versions_of_listed_models_are_read_by_no_fewer_requests(run_module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "session", lambda _options: nullcontext(BusyStore(MANY)))
    result = run_module(spaces_info.main, {**WHERE, "models": models(MANY), "connections": MANY})
    assert not result.get("failed"), result


@pytest.mark.parametrize("connections", [1, 3, 6])
def test_models_are_uploaded_by_so_many_requests(
    run_module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connections: int
) -> None:
    entries = models(5)
    for entry in entries:
        folder = tmp_path / entry["name"]
        folder.mkdir()
        for number in range(4):
            (folder / f"{number}.bin").write_bytes(b"part")
        entry["source"] = str(folder)
    store = BusyStore()
    monkeypatch.setattr(s3, "session", lambda _options: nullcontext(store))
    result = run_module(spaces_upload.main, {**WHERE, "models": entries, "connections": connections})
    assert result["changed"] is True and store.highest <= connections


def test_unfinished_uploads_are_found_by_so_many_requests(tmp_path: Path) -> None:
    store = BusyStore()
    files = [LocalFile(f"{number}.bin", tmp_path, PART_SIZE) for number in range(MANY)]
    assert unfinished_uploads(store, "iris/1/", files, 2) == {}
    assert store.requests == MANY + 1 and store.highest <= 2
