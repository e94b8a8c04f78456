# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import Entry, Manifest
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.s3_client import S3Options
from ansible_collections.hashfoundry.kserve.plugins.modules import batch_predictions_info

from ..module_utils.model_store_fake import MemoryStore

IRIS = Manifest({"model.joblib": Entry("a" * 64, 5)})
KEYS = {"access_key": "PLANTED-ACCESS", "secret_key": "PLANTED-SECRET"}
ARGUMENTS = {"bucket": "models", "name": "iris", "version": "v1", "input": "in/rows.csv", **KEYS}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[S3Options]:
    """The options with which the module connected to the object store."""
    store = MemoryStore({"iris/v1/manifest.json": IRIS.content, "in/rows.csv": b"a\n1\n"})
    seen: list[S3Options] = []
    monkeypatch.setattr(s3, "session", lambda options: (seen.append(options), nullcontext(store))[1])
    return seen


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_changes_nothing(run_module: Any, seen: list[S3Options], check_mode: bool) -> None:
    result = run_module(batch_predictions_info.main, ARGUMENTS, check_mode=check_mode)
    assert (result["changed"], result["complete"], result["requests"]) == (False, False, 2)
    assert result["uri"] == f"s3://models/in/rows.csv.predictions/iris-v1-{result['id']}/"
    assert (seen[0].bucket, seen[0].access_key) == ("models", "PLANTED-ACCESS")


def test_an_error_fails_with_one_sentence(run_module: Any, seen: list[S3Options]) -> None:
    failed = run_module(batch_predictions_info.main, {**ARGUMENTS, "input": "in/others.csv"})
    assert failed["failed"]
    assert (failed["failed"], failed["reason"]) == (True, "ObjectNotFound")
    assert "PLANTED" not in str(failed)


def test_an_invalid_name_is_rejected(run_module: Any, seen: list[S3Options]) -> None:
    failed = run_module(batch_predictions_info.main, {**ARGUMENTS, "name": "../iris"})
    assert (failed["failed"], failed["reason"]) == (True, "InvalidOption")
    assert seen == []
