# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import MASK, redact


@pytest.mark.parametrize(
    "line",
    [
        "AWS_SECRET_ACCESS_KEY=PLANTED",
        "export aws_access_key_id: PLANTED",
        '{"secretAccessKey": "PLANTED", "bucket": "models"}',
        "Authorization: Bearer PLANTED.PLANTED",
        "{'Authorization': 'Basic PLANTED=='}",
        "curl -H 'authorization: AWS4-HMAC-SHA256 Credential=PLANTED/20261120, Signature=PLANTED'",
        "token is bearer PLANTEDPLANTED",
        "GET https://b.s3.amazonaws.com/k?X-Amz-Credential=PLANTED%2F2026&X-Amz-Signature=PLANTED HTTP/1.1",
        "https://x.blob.core.windows.net/c?sv=1&sig=PLANTED",
        "https://user:PLANTED@store.example.com/models",
        "HF_TOKEN=PLANTED",
        "session_token = 'PLANTED'",
        "password: PLANTED",
        r'msg="{\"aws_secret_access_key\": \"PLANTED\"}"',
        "HUGGING_FACE_HUB_TOKEN=PLANTED",
        "client_secret: 'PLANTED'",
        "AccountKey=PLANTED==;EndpointSuffix=core.windows.net",
        "mc alias set s3 --secret-key PLANTED",
        "curl --api-key=PLANTED https://x",
        "-----BEGIN RSA PRIVATE KEY-----\nPLANTED\nPLANTED\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nPLANTED",
    ],
)
def test_secret_looking_values_are_masked(line: str) -> None:
    assert "PLANTED" not in redact(line)
    assert MASK in redact(line)


def test_access_key_identifiers_are_masked_wherever_they_stand() -> None:
    assert redact("key AKIAIOSFODNN7EXAMPLE used") == f"key {MASK} used"


@pytest.mark.parametrize(
    "secret",
    [
        "DO00EXAMPLEEXAMPLE12",
        "hf_" + "x" * 34,
        "ghp_" + "x" * 36,
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhYmMifQ.c2lnbmF0dXJl",
    ],
)
def test_tokens_are_known_by_their_form(secret: str) -> None:
    assert redact(f"using {secret} now") == f"using {MASK} now"


def test_given_secrets_are_masked_longest_first() -> None:
    assert redact("abc abcdef", "abc", "abcdef", None, "") == f"{MASK} {MASK}"


def test_what_explains_a_failure_stays() -> None:
    text = "botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden"
    assert redact(text) == text
    text = "unknown option --tokenizer gpt2; key error: 'species'; access key missing; token count: 12"
    assert redact(text) == text
    url = "GET https://b.s3.amazonaws.com/iris/1/model.joblib?X-Amz-Signature=abc&part=2"
    assert redact(url).endswith(f"X-Amz-Signature={MASK}&part=2")
