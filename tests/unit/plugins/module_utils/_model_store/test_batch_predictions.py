# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.batch_predictions import describe
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import Entry, Manifest

from ..model_store_fake import MemoryStore

IRIS = Manifest({"model.joblib": Entry("a" * 64, 5)})
TARGET = Target("models", "iris", "v1")
KEY = "in/rows.csv"
DONE = {"rows": 7, "rejected": 1, "parts": {"part-00001.csv": {}, "part-00000.csv": {}}, "rejects": {"r.csv": {}}}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore({"iris/v1/manifest.json": IRIS.content, KEY: b"a,b\n1,2\n", KEY + ".bak": b""})


def described(store: MemoryStore, key: str = KEY, **options: Any) -> dict[str, Any]:
    return describe(store, TARGET, key, **{"digest": None, "probabilities": False, "keep": [], **options})


def test_missing_predictions(store: MemoryStore) -> None:
    found = described(store)
    assert found["input"] == {"key": KEY, "etag": store.etag(b"a,b\n1,2\n"), "size": 8}
    assert found["model"] == {"name": "iris", "version": "v1", "digest": IRIS.digest, "uri": "s3://models/iris/v1/"}
    assert found["output"] == f"in/rows.csv.predictions/iris-v1-{found['id']}/"
    assert (found["complete"], found["rows"], found["parts"], store.requests) == (False, None, None, 2)


def test_predictions_without_a_manifest_are_not_complete(store: MemoryStore) -> None:
    store.content[described(store)["output"] + "part-00000.csv"] = b"1"
    assert described(store)["complete"] is False


def test_existing_predictions(store: MemoryStore) -> None:
    store.content[described(store)["output"] + "manifest.json"] = json.dumps(DONE).encode()
    before = store.requests
    found = described(store)
    assert (found["complete"], found["rows"], found["rejected"]) == (True, 7, 1)
    assert (found["parts"], found["rejects"]) == (["part-00000.csv", "part-00001.csv"], ["r.csv"])
    assert store.requests - before == 3


@pytest.mark.parametrize("options", [{"probabilities": True}, {"keep": ["a"]}, {"keep": ["a", "b"]}])
def test_each_request_has_its_own_location(store: MemoryStore, options: dict[str, Any]) -> None:
    assert described(store, **options)["output"] != described(store)["output"]


def test_other_content_and_another_model_have_their_own_location(store: MemoryStore) -> None:
    first = described(store)["output"]
    store.content[KEY] += b"3,4\n"
    second = described(store)["output"]
    store.content["iris/v1/manifest.json"] = Manifest({"model.joblib": Entry("b" * 64, 5)}).content
    assert len({first, second, described(store)["output"]}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "in/rows"}, "in/rows ends in neither .csv nor .parquet; give it the ending"),
        ({"key": "in/others.csv"}, "There is no file in/others.csv in the bucket models; put it there"),
        ({"digest": "sha256:0"}, "has the digest sha256:.* and not sha256:0; see who has changed it"),
    ],
)
def test_a_missing_object_is_an_error(store: MemoryStore, options: dict[str, Any], message: str) -> None:
    with pytest.raises(KServeError, match=message):
        described(store, **options)


def test_an_incomplete_version(store: MemoryStore) -> None:
    del store.content["iris/v1/manifest.json"]
    with pytest.raises(KServeError, match="s3://models/iris/v1/ has no manifest"):
        described(store)


@pytest.mark.parametrize("content", [b"[]", b'{"rows": 1e999, "rejected": 0}', b'{"rows": NaN}', b"[" * 99_999])
def test_an_invalid_manifest(store: MemoryStore, content: bytes) -> None:
    store.content[described(store)["output"] + "manifest.json"] = content
    with pytest.raises(KServeError, match="is not a manifest of predictions; see who has written it"):
        described(store)
