# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.arguments import (
    S3_ARGUMENTS,
    s3_options,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.credentials import endpoint_fault

OPTIONS: dict[str, Any] = {
    **{name: spec.get("default") for name, spec in S3_ARGUMENTS.items()},
    "bucket": "models",
    "access_key": "PLANTEDACCESS",
    "secret_key": "PLANTED+SECRET/key=",
}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"secret_key": "PLANTEDSECRET\n"}, "secret_key has white space or a line end at an end; remove it"),
        ({"access_key": " PLANTEDACCESS"}, "access_key has white space or a line end at an end"),
        ({"access_key": "PLANTED ACCESS"}, "access_key has white space or a line end in it"),
        ({"session_token": "PLANTED\r\nTOKEN"}, "session_token has white space or a line end in it"),
        ({"secret_key": "\ufeffPLANTEDSECRET"}, "secret_key has a character that no key has"),
        ({"secret_key": "PLANTED\u00a0SECRET"}, "secret_key has white space"),
        ({"endpoint_url": "https://s3.example.org\n"}, "endpoint_url has white space or a line end; remove it"),
        ({"bucket": "models "}, "bucket has white space or a line end at an end"),
        ({"region": "fra1\n"}, "region has white space"),
    ],
)
def test_white_space_is_rejected_with_the_name_of_the_option_and_no_key(change: dict[str, Any], says: str) -> None:
    with pytest.raises(KServeError) as caught:
        s3_options({**OPTIONS, **change})
    assert says in str(caught.value) and "PLANTED" not in str(caught.value)
    assert caught.value.reason == "InvalidOption"


def test_the_environments_keys_count_only_without_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTEDSECRET\n")
    assert s3_options(OPTIONS).bucket == "models"
    with pytest.raises(KServeError, match=r"^AWS_SECRET_ACCESS_KEY has white space or a line end at an end"):
        s3_options({**OPTIONS, "access_key": None, "secret_key": None})


@pytest.mark.parametrize(
    ("endpoint", "right"),
    [
        ("https://models.ams3.digitaloceanspaces.com", "https://ams3.digitaloceanspaces.com"),
        ("https://other.ams3.digitaloceanspaces.com/", "https://ams3.digitaloceanspaces.com"),
        ("https://models.ams3.cdn.digitaloceanspaces.com", "https://ams3.digitaloceanspaces.com"),
        ("https://Models.AMS3.digitaloceanspaces.com", "https://ams3.digitaloceanspaces.com"),
        ("https://ams3.digitaloceanspaces.com/models/", "https://ams3.digitaloceanspaces.com"),
        ("https://models.s3.eu-west-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://my.models.s3.amazonaws.com", "https://s3.amazonaws.com"),
        ("https://models.s3.example.org:9000", "https://s3.example.org:9000"),
        ("http://minio:9000/models", "http://minio:9000"),
        ("https://example.org/s3/models", "https://example.org/s3"),
        ("https://models.fsn1.your-objectstorage.com", "https://fsn1.your-objectstorage.com"),
    ],
)
def test_the_address_of_a_bucket_is_rejected_and_the_right_one_named(endpoint: str, right: str) -> None:
    assert (endpoint_fault(endpoint, "models") or "").endswith(f"; set it to {right}")
    with pytest.raises(KServeError, match="endpoint_url "):
        s3_options({**OPTIONS, "endpoint_url": endpoint})


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "",
        "https://ams3.digitaloceanspaces.com",
        "https://s3.amazonaws.com",
        "https://s3.dualstack.eu-west-1.amazonaws.com",
        "https://bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com",
        "https://models.example.org",  # a store of that name
        "http://models:9000",
        "https://0123456789abcdef.r2.cloudflarestorage.com",
        "https://s3.eu-central-003.backblazeb2.com",
        "http://[::1]:7070/s3",
        "not a url".replace(" ", "-"),
    ],
)
def test_an_endpoint_of_a_store_is_accepted(endpoint: str | None) -> None:
    assert endpoint_fault(endpoint, "models") is None
