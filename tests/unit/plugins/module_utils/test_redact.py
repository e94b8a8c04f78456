# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import MASK, redact


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
    ],
)
def test_secret_looking_values_are_masked(line: str) -> None:
    assert "PLANTED" not in redact(line)
    assert MASK in redact(line)


def test_access_key_identifiers_are_masked_wherever_they_stand() -> None:
    assert redact("key AKIAIOSFODNN7EXAMPLE used") == f"key {MASK} used"


def test_given_secrets_are_masked_longest_first() -> None:
    assert redact("abc abcdef", "abc", "abcdef", None, "") == f"{MASK} {MASK}"


def test_what_explains_a_failure_stays() -> None:
    text = "botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden"
    assert redact(text) == text
    url = "GET https://b.s3.amazonaws.com/iris/1/model.joblib?X-Amz-Signature=abc&part=2"
    assert redact(url).endswith(f"X-Amz-Signature={MASK}&part=2")
