# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.inventory import versions
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import Entry, Manifest

from ..model_store_fake import MemoryStore

IRIS = Manifest({"model.joblib": Entry("a" * 64, 5), "b/c": Entry("b" * 64, 7)})


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(
        {
            "iris/1/manifest.json": IRIS.content,
            "iris/1/model.joblib": b"model",
            "iris/2/model.joblib": b"model",
            "iris/10/manifest.json": b"not one",
            "churn/1/manifest.json": IRIS.content,
            ".hidden/1/manifest.json": IRIS.content,
            "top-level": b"",
        }
    )


@pytest.mark.parametrize(
    ("name", "version", "found", "requests"),
    [
        (None, None, ["churn/1", "iris/1", "iris/10", "iris/2"], 1 + 2 + 4 + 2),
        ("iris", None, ["iris/1", "iris/10", "iris/2"], 1 + 3 + 2),
        (None, "1", ["churn/1", "iris/1"], 1 + 2 + 2),
        ("iris", "1", ["iris/1"], 1),
        ("iris", "2", ["iris/2"], 2),
        ("iris", "3", [], 2),
        ("none", None, [], 1),
    ],
)
def test_listed_versions_and_the_number_of_requests(
    store: MemoryStore, name: str | None, version: str | None, found: list[str], requests: int
) -> None:
    result = versions(store, "models", name, version)
    assert [f"{each['name']}/{each['version']}" for each in result] == found
    assert store.requests == requests


def test_the_order_is_that_of_names_and_versions_not_of_prefixes() -> None:
    names = ("iris-2/1", "iris/1.0", "iris/1.0.1", "iris/1.0-rc1")
    found = versions(MemoryStore({f"{name}/manifest.json": IRIS.content for name in names}), "models", None, None)
    assert [(each["name"], each["version"]) for each in found] == [
        ("iris", "1.0"),
        ("iris", "1.0-rc1"),
        ("iris", "1.0.1"),
        ("iris-2", "1"),
    ]


def test_the_details_of_a_version(store: MemoryStore) -> None:
    complete, broken, unfinished = versions(store, "models", "iris", None)
    assert complete == {
        "name": "iris",
        "version": "1",
        "uri": "s3://models/iris/1/",
        "complete": True,
        "digest": IRIS.digest,
        "size": 12,
        "files": [
            {"name": "b/c", "size": 7, "sha256": "b" * 64},
            {"name": "model.joblib", "size": 5, "sha256": "a" * 64},
        ],
    }
    for version in (broken, unfinished):
        assert (version["complete"], version["digest"], version["size"], version["files"]) == (False, None, None, [])


@pytest.mark.parametrize("key", ["customers.csv", "incoming/customers.CSV", "incoming/2026/11/customers.parquet"])
def test_the_files_and_predictions_of_batches_are_no_models(key: str) -> None:
    folder = f"{key}.predictions/churn-v1-0123456789ab/"
    names = [key, f"{folder}part-00000.csv", f"{folder}manifest.json", f"{folder}progress.json"]
    store = MemoryStore({**dict.fromkeys(names, b"{}"), "iris/1/manifest.json": IRIS.content})
    assert [each["name"] for each in versions(store, "models", None, None)] == ["iris"]


def test_a_model_with_a_table_is_still_incomplete() -> None:
    store = MemoryStore(dict.fromkeys(["iris/1/model.joblib", "iris/1/rows.csv"], b""))
    assert [each["complete"] for each in versions(store, "models", None, None)] == [False]
