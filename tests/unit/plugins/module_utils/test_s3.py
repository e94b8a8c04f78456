# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.stub import ANY, Stubber

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _s3
from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_version import BucketMissing, StoredObject

OPTIONS = _s3.S3Options(
    bucket="models",
    endpoint_url="https://store.example.com",
    region="fra1",
    access_key="PLANTED-ACCESS",
    secret_key="PLANTED-SECRET",
    session_token="PLANTED-TOKEN",
)


def entry(key: str, size: int = 1) -> dict[str, Any]:
    return {"Key": key, "Size": size, "ETag": '"0f"'}


def test_a_listing_goes_over_all_pages() -> None:
    store = _s3.connect(OPTIONS)
    first = {"Bucket": "models", "Prefix": "iris/1/"}
    with Stubber(store._client) as stub:
        stub.add_response(
            "list_objects_v2",
            {"Contents": [entry("iris/1/a")], "IsTruncated": True, "NextContinuationToken": "t"},
            first,
        )
        stub.add_response("list_objects_v2", {"Contents": [entry("iris/1/b", 2)]}, {**first, "ContinuationToken": "t"})
        listed = store.list("iris/1/")
        stub.assert_no_pending_responses()
    assert listed == {"iris/1/a": StoredObject(1, "0f"), "iris/1/b": StoredObject(2, "0f")}


def test_a_file_is_sent_with_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"model")
    (file,) = scan(tmp_path)
    store = _s3.connect(OPTIONS)
    with Stubber(store._client) as stub:
        wanted = {"Bucket": "models", "Key": "iris/1/model.joblib", "Body": ANY, "Metadata": {"sha256": file.sha256}}
        stub.add_response("put_object", {}, wanted)
        stub.add_response("head_object", {"Metadata": {"sha256": file.sha256}}, {"Bucket": "models", "Key": "k"})
        stub.add_response("delete_object", {}, {"Bucket": "models", "Key": "k"})
        store.upload({"iris/1/model.joblib": file})
        assert store.sha256("k") == file.sha256
        store.remove("k")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("region", ["us-east-1", "fra1"])
def test_a_bucket_is_made_in_its_region(region: str) -> None:
    store = _s3.connect(replace(OPTIONS, region=region))
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with Stubber(store._client) as stub:
        stub.add_response("create_bucket", {}, {"Bucket": "models", **place})
        store.create()
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("InvalidAccessKeyId", "does not know the access key"),
        ("SignatureDoesNotMatch", "the secret key is wrong"),
        ("AccessDenied", "denies access; give the key the right"),
        ("403", "denies access; give the key the right"),
        ("ExpiredToken", "has expired"),
        ("PermanentRedirect", "in another region"),
        ("Strange", "refused ListObjectsV2 in bucket models with Strange: for ******** and ********"),
    ],
)
def test_refusals_are_one_sentence_without_secrets(code: str, says: str) -> None:
    store = _s3.connect(OPTIONS)
    with Stubber(store._client) as stub:
        stub.add_client_error("list_objects_v2", code, "for PLANTED-ACCESS and PLANTED-SECRET")
        with pytest.raises(KServeError) as caught:
            store.list("iris/1/")
    assert says in str(caught.value)
    assert "PLANTED" not in str(caught.value)
    # A chained exception would carry the store's own text into a traceback.
    assert caught.value.__suppress_context__


def test_a_missing_bucket_has_its_own_error() -> None:
    store = _s3.connect(OPTIONS)
    with Stubber(store._client) as stub:
        stub.add_client_error("list_objects_v2", "NoSuchBucket")
        with pytest.raises(BucketMissing, match=r"no bucket models at https://store\.example\.com; create it, set"):
            store.list("iris/1/")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (boto.EndpointConnectionError(endpoint_url="u"), "cannot be reached; check endpoint_url"),
        (boto.ConnectTimeoutError(endpoint_url="u"), "cannot be reached"),
        (boto.ReadTimeoutError(endpoint_url="u"), "cannot be reached"),
        (
            boto.SSLError(endpoint_url="u", error="self-signed certificate"),
            r"\(self-signed certificate\); set ca_bundle",
        ),
        (boto.NoCredentialsError(), "no whole credentials"),
        (OSError(2, "No such file or directory", "/models/a"), "/models/a cannot be read: No such file"),
        (boto.BotoCoreError(), "cannot be used"),
        (ValueError("Invalid endpoint with PLANTED-SECRET"), r"Invalid endpoint with \*+; check endpoint_url"),
    ],
)
def test_other_errors_are_one_sentence(error: Exception, says: str) -> None:
    class Broken:
        def head_object(self, **_arguments: str) -> None:
            raise error

    with pytest.raises(KServeError, match=says):
        _s3.S3Store(Broken(), OPTIONS).sha256("k")


def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(KServeError, match="The profile team is not configured"):
        _s3.connect(_s3.S3Options(bucket="models", profile="team"))


@pytest.mark.parametrize(
    ("endpoint", "on_aws"),
    [
        (None, True),
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://fra1.digitaloceanspaces.com", False),
        ("https://amazonaws.com.example.com", False),
    ],
)
def test_checksums_beyond_the_required_go_to_aws_only(endpoint: str | None, on_aws: bool) -> None:
    config = _s3.client_config(_s3.S3Options(bucket="models", endpoint_url=endpoint))
    assert ("request_checksum_calculation" not in config) is on_aws
    if not on_aws:
        assert config["request_checksum_calculation"] == config["response_checksum_validation"] == "when_required"


def test_what_goes_over_the_wire_off_aws_has_no_checksum_and_names_the_bucket_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"model")
    (file,) = scan(tmp_path)
    store = _s3.connect(
        _s3.S3Options("models", "https://store.example.com", access_key="a", secret_key="b", addressing_style="path")
    )
    sent: list[Any] = []

    class Answer:
        status_code = 200
        headers: dict[str, str] = {}  # noqa: RUF012
        content = b""
        raw = io.BytesIO()

    def answer(request: Any, **_arguments: Any) -> Answer:
        sent.append(request)
        return Answer()

    store._client.meta.events.register("before-send.s3", answer)
    store.upload({"iris/1/model.joblib": file})
    (request,) = sent
    assert request.url == "https://store.example.com/models/iris/1/model.joblib"
    assert not [header for header in request.headers if "checksum" in header.lower()]
