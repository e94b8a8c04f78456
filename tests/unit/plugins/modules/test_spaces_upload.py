# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _s3
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_folder import LocalFile
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_version import StoredObject
from ansible_collections.hashfoundry.kserve.plugins.modules import spaces_upload

SECRETS = {"access_key": "PLANTED-ACCESS", "secret_key": "PLANTED-SECRET", "session_token": "PLANTED-TOKEN"}


class Store:
    """A bucket that takes every file as it is."""

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.options: _s3.S3Options | None = None

    def list(self, prefix: str) -> dict[str, StoredObject]:
        return dict(self.objects)

    def sha256(self, key: str) -> str | None:
        return None

    def upload(self, files: Mapping[str, LocalFile]) -> None:
        self.objects.update({key: StoredObject(file.size, file.etag) for key, file in files.items()})

    def remove(self, key: str) -> None:
        self.objects.pop(key)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()

    def connect(options: _s3.S3Options) -> Store:
        store.options = options
        return store

    monkeypatch.setattr(_s3, "connect", connect)
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    return store


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "model.joblib").write_bytes(b"model")
    (tmp_path / "metadata.json").write_bytes(b"{}")
    return {"source": str(tmp_path), "bucket": "models", "name": "iris", "version": "1.0.0", **SECRETS}


def test_first_run_second_run_and_removal(run_module, store: Store, arguments: dict[str, Any]) -> None:
    first = run_module(spaces_upload.main, arguments, diff=True)
    assert first["changed"] is True
    assert first["uri"] == "s3://models/iris/1.0.0/"
    assert first["uploaded"] == ["metadata.json", "model.joblib"]
    assert (first["removed"], first["unchanged"], first["bytes_sent"]) == ([], [], 7)
    assert first["diff"]["before"] == ""
    assert (
        first["diff"]["after"].splitlines()[1]
        == "iris/1.0.0/model.joblib 5 " + store.objects["iris/1.0.0/model.joblib"].etag
    )

    second = run_module(spaces_upload.main, arguments, diff=True)
    assert second["changed"] is False
    assert second["unchanged"] == ["metadata.json", "model.joblib"]
    assert second["diff"]["before"] == second["diff"]["after"] == first["diff"]["after"]

    Path(arguments["source"], "model.joblib").rename(Path(arguments["source"], "other.joblib"))
    third = run_module(spaces_upload.main, {**arguments, "purge": True})
    assert third["removed"] == ["model.joblib"]
    assert sorted(store.objects) == ["iris/1.0.0/metadata.json", "iris/1.0.0/other.joblib"]


def test_check_mode_changes_nothing(run_module, store: Store, arguments: dict[str, Any]) -> None:
    result = run_module(spaces_upload.main, arguments, check_mode=True)
    assert result["changed"] is True and result["uploaded"] == ["metadata.json", "model.joblib"]
    assert store.objects == {}


def test_options_reach_the_store_and_the_environment_fills_gaps(
    run_module, store: Store, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in SECRETS:
        del arguments[key]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env-access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    monkeypatch.setenv("AWS_REGION", "fra1")
    run_module(spaces_upload.main, {**arguments, "endpoint_url": "https://s", "addressing_style": "path"})
    assert store.options == _s3.S3Options(
        bucket="models",
        endpoint_url="https://s",
        region="fra1",
        access_key="env-access",
        secret_key="env-secret",
        addressing_style="path",
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "/nowhere"}, "The source /nowhere does not exist"),
        ({"bucket": "Models"}, "The bucket name 'Models' is not valid"),
        ({"version": "../2"}, "The version '../2' is not valid"),
    ],
)
def test_wrong_arguments(
    run_module, store: Store, arguments: dict[str, Any], change: dict[str, Any], says: str
) -> None:
    result = run_module(spaces_upload.main, {**arguments, **change})
    assert result["failed"] is True and says in result["msg"]


def test_a_missing_library_is_named(
    run_module, store: Store, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_s3, "BOTO3_IMPORT_ERROR", "no boto3")
    assert "boto3" in run_module(spaces_upload.main, arguments)["msg"]


def test_half_a_pair_of_keys_is_refused(run_module, store: Store, arguments: dict[str, Any]) -> None:
    del arguments["secret_key"]
    result = run_module(spaces_upload.main, arguments)
    assert "parameters are required together: access_key, secret_key" in result["msg"]


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "AccessDenied", "Odd"])
def test_planted_secrets_are_in_no_output(
    run_module, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    real = _s3.connect

    def connect(options: _s3.S3Options) -> _s3.S3Store:
        store = real(options)

        def refuse(**_arguments: Any) -> Any:
            from botocore.exceptions import ClientError

            text = f"PLANTED-SECRET {options.access_key}"
            raise ClientError({"Error": {"Code": code, "Message": text}}, "ListObjectsV2")

        store._client.meta.events.register("before-call.s3.ListObjectsV2", refuse)
        return store

    monkeypatch.setattr(_s3, "connect", connect)
    result = run_module(spaces_upload.main, {**arguments, "endpoint_url": "https://store.invalid"}, diff=True)
    assert result["failed"] is True
    output = json.dumps({key: value for key, value in result.items() if key != "invocation"})
    assert "PLANTED" not in output
    assert "PLANTED" not in json.dumps(result["invocation"])
    assert "Traceback" not in output
