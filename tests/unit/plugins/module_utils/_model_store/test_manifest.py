# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import (
    Entry,
    Manifest,
    differences,
    parse,
)

A, B = "a" * 64, "b" * 64
BYTES = (
    '{"files":{"a/model.joblib":{"sha256":"' + A + '","size":5},"ü":{"sha256":"' + B + '","size":0}},"schema":1}\n'
).encode()


def test_equal_files_give_equal_bytes() -> None:
    one = Manifest({"ü": Entry(B, 0), "a/model.joblib": Entry(A, 5)})
    other = Manifest({"a/model.joblib": Entry(A, 5), "ü": Entry(B, 0)})
    assert one.content == other.content == BYTES
    assert one.digest == "sha256:" + hashlib.sha256(BYTES).hexdigest()
    assert one.size == 5
    assert parse(BYTES, "s3://models/iris/1/manifest.json") == one


def manifest(name: str = "a", sha256: object = A, size: object = 1, schema: object = 1) -> bytes:
    data = {"files": {name: {"sha256": sha256, "size": size}}, "schema": schema}
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def test_the_form_of_the_refused_ones_is_right() -> None:
    assert parse(manifest(), "x").files == {"a": Entry(A, 1)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<xml/>",
        b"[]",
        pytest.param(b"[" * 100000, id="brackets"),
        b'{"files":{},"schema":1}\n',
        manifest(schema=2),
        manifest(sha256="A" * 64),
        manifest(sha256=None),
        manifest(size=-1),
        manifest(size="1"),
        manifest(size=1.0),
        manifest("../a"),
        manifest("/etc/passwd"),
        manifest("a//b"),
        manifest("a/./b"),
        manifest("a/"),
        manifest(""),
        manifest("a\0"),
        manifest("manifest.json"),
        manifest() + b"\n",
        manifest().replace(b":", b": "),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(KServeError, match=r"^s3://m/i/1/manifest\.json is no manifest of schema 1"):
        parse(content, "s3://m/i/1/manifest.json")


def test_differences_name_few_of_many_files() -> None:
    old = {"same": Entry(A, 1), "changed": Entry(A, 1), "gone": Entry(A, 1)}
    new = {"same": Entry(A, 1), "changed": Entry(B, 1), **{f"new{number}": Entry(A, 1) for number in range(7)}}
    assert differences(old, new) == "changed: changed; missing: gone; new: new0, new1, new2, new3, new4 and 2 more"
