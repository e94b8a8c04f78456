# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3, s3_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.s3_client import S3Options
from ansible_collections.hashfoundry.kserve.plugins.modules import spaces_download, spaces_info, spaces_upload

from ..module_utils.model_store_fake import MemoryStore, S3Server, serving

SECRETS = {"access_key": "PLANTED-ACCESS", "secret_key": "PLANTED-SECRET", "session_token": "PLANTED-TOKEN"}
WHERE = {"bucket": "models", "name": "iris", "version": "1.0.0"}
MAINS: dict[str, Callable[[], None]] = {
    "spaces_upload": spaces_upload.main,
    "spaces_download": spaces_download.main,
    "spaces_info": spaces_info.main,
}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[S3Options]:
    """The options with which the module connected to the object store."""
    seen: list[S3Options] = []
    monkeypatch.setattr(s3, "session", lambda options: (seen.append(options), nullcontext(MemoryStore()))[1])
    return seen


@pytest.fixture
def server() -> Iterator[S3Server]:
    with serving(MemoryStore()) as server:
        yield server


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.joblib").write_bytes(b"model")
    (source / "metadata.json").write_bytes(b"{}")
    return {"source": str(source), **WHERE, **SECRETS}


def test_first_run_second_run_and_another_folder(run_module, server: S3Server, arguments: dict[str, Any]) -> None:
    arguments["endpoint_url"] = server.url
    first = run_module(spaces_upload.main, arguments, diff=True)
    assert first["changed"] is True
    assert first["uri"] == "s3://models/iris/1.0.0/"
    assert first["uploaded"] == ["manifest.json", "metadata.json", "model.joblib"]
    manifest = server.store.content["iris/1.0.0/manifest.json"]
    assert (first["removed"], first["unchanged"], first["bytes_sent"]) == ([], [], 7 + len(manifest))
    assert first["requests"] == len(server.seen) == 7
    assert first["diff"]["before"] == ""
    assert first["diff"]["after"].splitlines()[0] == f"iris/1.0.0/manifest.json {len(manifest)} {first['digest']}"

    second = run_module(spaces_upload.main, arguments, diff=True)
    assert second["changed"] is False
    assert second["unchanged"] == first["uploaded"] and second["requests"] == 1
    assert second["diff"]["before"] == second["diff"]["after"] == first["diff"]["after"]

    Path(arguments["source"], "model.joblib").rename(Path(arguments["source"], "other.joblib"))
    refused = run_module(spaces_upload.main, arguments)
    assert (refused["failed"], refused["reason"]) == (True, "VersionExists")
    third = run_module(spaces_upload.main, {**arguments, "overwrite": True})
    assert third["removed"] == ["model.joblib"] and third["unchanged"] == ["metadata.json"]


def test_check_mode_changes_nothing(run_module, server: S3Server, arguments: dict[str, Any]) -> None:
    arguments["endpoint_url"] = server.url
    result = run_module(spaces_upload.main, arguments, check_mode=True)
    assert result["changed"] is True and result["uploaded"] == ["manifest.json", "metadata.json", "model.joblib"]
    assert server.store.content == {} and {method for method, _path, _headers in server.seen} == {"GET"}


# The folder's metadata.json is wrong, so the model is not loaded; loading has its own tests.
GATE = {"load": False}


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_version_that_the_gate_rejects_is_not_uploaded(
    run_module, server: S3Server, arguments: dict[str, Any], check_mode: bool
) -> None:
    server.store.missing = True
    arguments |= {"endpoint_url": server.url, "create_bucket": True, "gate": GATE}
    result = run_module(spaces_upload.main, arguments, check_mode=check_mode)
    assert (result["failed"], result["reason"]) == (True, "InvalidMetadata")
    assert [(method, path) for method, path, _headers in server.seen] == [("GET", "/models/iris/1.0.0/manifest.json")]
    assert server.store.missing


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_existing_version_is_not_validated_again(
    run_module, server: S3Server, arguments: dict[str, Any], check_mode: bool
) -> None:
    arguments["endpoint_url"] = server.url
    run_module(spaces_upload.main, arguments)
    same = run_module(spaces_upload.main, {**arguments, "gate": GATE}, check_mode=check_mode)
    assert (same["changed"], same["requests"], "gate" in same) == (False, 1, False)
    Path(arguments["source"], "model.joblib").write_bytes(b"other")
    other = run_module(spaces_upload.main, {**arguments, "gate": GATE}, check_mode=check_mode)
    assert other["reason"] == "VersionExists" and "(changed: model.joblib)" in other["msg"]


def test_a_version_that_the_gate_accepts_is_uploaded(run_module, server: S3Server, arguments: dict[str, Any]) -> None:
    digest = hashlib.sha256(b"model").hexdigest()
    arguments |= {"endpoint_url": server.url, "gate": {**GATE, "metadata": False, "allowed_digests": [digest]}}
    result = run_module(spaces_upload.main, arguments)
    assert result["changed"] is True and result["gate"]["checked"] == ["allowed_digests"]


class Together(MemoryStore):
    """Answers the first requests only once there are so many."""

    def __init__(self, many: int) -> None:
        super().__init__()
        self.all_there = threading.Barrier(many, timeout=20)

    def get(self, key: str) -> bytes | None:
        if not self.content:
            self.all_there.wait()
        return super().get(key)


@pytest.fixture
def several(tmp_path: Path) -> dict[str, Any]:
    """Arguments for five models."""
    models = []
    for number in range(5):
        source = tmp_path / f"model-{number}"
        source.mkdir()
        (source / "model.joblib").write_bytes(b"model %d" % number)
        models.append({"name": f"model-{number}", "version": "1", "source": str(source)})
    return {"bucket": "models", "models": models, **SECRETS}


def test_several_models_are_uploaded_side_by_side(run_module, several: dict[str, Any]) -> None:
    del several["models"][spaces_upload.AT_ONCE :]
    with serving(Together(spaces_upload.AT_ONCE)) as server:
        several |= {"endpoint_url": server.url, "create_bucket": True}
        first = run_module(spaces_upload.main, several, diff=True)
        assert [model["name"] for model in first["models"]] == [f"model-{number}" for number in range(4)]
        assert all(model["changed"] and model["digest"] for model in first["models"]) and len(first["diff"]) == 4
        assert first["changed"] is True and first["requests"] == len(server.seen)
        server.seen.clear()
        again = run_module(spaces_upload.main, several)
        assert (again["changed"], again["requests"], len(server.seen)) == (False, 4, 4)


def test_a_bucket_for_several_models_is_created_once(run_module, several: dict[str, Any], server: S3Server) -> None:
    server.store.missing = True
    result = run_module(spaces_upload.main, {**several, "endpoint_url": server.url, "create_bucket": True})
    assert result["changed"] is True and server.store.calls.count(("create",)) == 1


def test_all_models_are_tried_though_one_is_rejected(run_module, several: dict[str, Any], server: S3Server) -> None:
    several["models"][1]["gate"] = {"load": False}
    several["models"][3]["source"] = "/nowhere"
    result = run_module(spaces_upload.main, {**several, "endpoint_url": server.url})
    assert (result["failed"], result["reason"]) == (True, "MetadataMissing")
    assert [model.get("reason") for model in result["models"]] == [
        None,
        "MetadataMissing",
        None,
        "SourceNotFound",
        None,
    ]
    assert "model-3 1: The source /nowhere does not exist" in result["msg"]
    assert len([key for key in server.store.content if key.endswith("manifest.json")]) == 3


@pytest.mark.parametrize("change", [{"name": "iris"}, {"version": "1"}, {"source": "/a"}, {"gate": {}}])
def test_options_that_several_models_do_not_share(
    run_module, several: dict[str, Any], server: S3Server, change: dict[str, Any]
) -> None:
    result = run_module(spaces_upload.main, {**several, "endpoint_url": server.url, **change})
    assert (result["failed"], result["reason"]) == (True, "InvalidOption") and server.seen == []


def test_upload_info_and_download(run_module, server: S3Server, arguments: dict[str, Any], tmp_path: Path) -> None:
    where = {**SECRETS, "endpoint_url": server.url}
    published = run_module(spaces_upload.main, {**arguments, "endpoint_url": server.url})
    stored = run_module(spaces_info.main, {**where, "bucket": "models"})
    (version,) = stored["versions"]
    assert (version["digest"], version["complete"], stored["changed"]) == (published["digest"], True, False)
    dest = {**where, **WHERE, "dest": str(tmp_path / "dest"), "digest": published["digest"]}
    assert run_module(spaces_download.main, dest, check_mode=True)["changed"] is True
    assert not (tmp_path / "dest").exists()
    fetched = run_module(spaces_download.main, dest)
    assert fetched["downloaded"] == published["uploaded"] and fetched["dest"] == dest["dest"]
    again = run_module(spaces_download.main, dest, diff=True)
    assert (again["changed"], again["requests"]) == (False, 1)
    assert again["diff"]["before"] == again["diff"]["after"]
    # The downloaded version can be uploaded, and is unchanged.
    back = {**arguments, "endpoint_url": server.url, "source": dest["dest"], "version": "2"}
    assert run_module(spaces_upload.main, back)["digest"] == published["digest"]
    other = run_module(spaces_download.main, {**dest, "digest": "sha256:0"})
    assert (other["failed"], other["reason"]) == (True, "DigestMismatch")


def test_only_the_versions_of_a_list_are_returned(run_module, server: S3Server, several: dict[str, Any]) -> None:
    run_module(spaces_upload.main, {**several, "endpoint_url": server.url})
    where = {**SECRETS, "endpoint_url": server.url, "bucket": "models"}
    models = [{"name": "model-2", "version": "1"}, {"name": "model-0", "version": "1"}]
    server.seen.clear()
    result = run_module(spaces_info.main, {**where, "models": [*models, {"name": "model-0", "version": "9"}]})
    assert [{key: found[key] for key in ("name", "version")} for found in result["versions"]] == models
    assert result["requests"] == len(server.seen) == 4
    assert run_module(spaces_info.main, {**where, "models": []})["versions"] == []
    refused = run_module(spaces_info.main, {**where, "models": models, "name": "model-0"})
    assert refused["failed"] and "mutually exclusive" in refused["msg"]


def test_options_are_passed_on_and_default_to_the_environment(
    run_module, options: list[S3Options], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "fra1")
    # A token of other credentials would invalidate the given ones.
    del arguments["session_token"]
    monkeypatch.setenv("AWS_SESSION_TOKEN", "env-token")
    run_module(spaces_upload.main, {**arguments, "endpoint_url": "https://s", "addressing_style": "path"})
    assert options == [
        S3Options(
            bucket="models",
            endpoint_url="https://s",
            region="fra1",
            access_key="PLANTED-ACCESS",
            secret_key="PLANTED-SECRET",
            addressing_style="path",
        )
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "/nowhere"}, "The source /nowhere does not exist"),
        ({"bucket": "Models"}, "The bucket name 'Models' is not valid"),
        ({"version": "../2"}, "The version '../2' is not valid"),
        ({"connections": 0}, "connections is 0; set it to a number from 1 to 64"),
    ],
)
def test_wrong_arguments(
    run_module, options: list[S3Options], arguments: dict[str, Any], change: dict[str, Any], says: str
) -> None:
    result = run_module(spaces_upload.main, {**arguments, **change})
    assert result["failed"] is True and says in result["msg"]


def test_a_missing_library_is_named(
    run_module, options: list[S3Options], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_client, "BOTO3_IMPORT_ERROR", "no boto3")
    assert run_module(spaces_upload.main, arguments)["reason"] == "LibraryMissing"


def test_an_access_key_without_a_secret_key_is_rejected(
    run_module, options: list[S3Options], arguments: dict[str, Any]
) -> None:
    del arguments["secret_key"]
    result = run_module(spaces_upload.main, arguments)
    assert (result["failed"], result["reason"]) == (True, "InvalidOption")


@pytest.mark.parametrize("name", MAINS)
@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "AccessDenied", "Odd"])
def test_planted_secrets_are_in_no_output(
    run_module, server: S3Server, arguments: dict[str, Any], tmp_path: Path, name: str, code: str
) -> None:
    server.faults = [(lambda _method, _target: True, f"403 {code}")] * 9
    arguments["endpoint_url"] = server.url
    if name != "spaces_upload":
        del arguments["source"]
    if name == "spaces_download":
        arguments["dest"] = str(tmp_path / "dest")
    result = run_module(MAINS[name], arguments, diff=True)
    assert result["failed"] is True
    output = json.dumps({key: value for key, value in result.items() if key != "invocation"})
    assert "PLANTED" not in output
    assert "PLANTED" not in json.dumps(result["invocation"])
    assert "Traceback" not in output
