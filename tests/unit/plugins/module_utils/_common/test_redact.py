# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import signal

import pytest
from detect_secrets.core.scan import scan_line
from detect_secrets.settings import transient_settings

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import MASK, redact, short

# As the services issue them whose tokens detect-secrets knows.
ISSUED = [
    "AKIA" + "PLANTEDPLANTED12",
    "ghp_" + "Ab1" * 12,
    "glpat-" + "Ab1-" * 5,
    "xoxb-" + "123456789012-123456789012-" + "AbCdEf" * 4,
    "sk_live_" + "aB3" * 8,
    "SG." + "a1B" * 7 + "c." + "d2E" * 14 + "f",
    "0123456789abcdef0123456789abcdef-us12",
    "sq0csp-" + "aB3" * 14 + "c",
    "AC" + "0123456789abcdef" * 2,
    "110201543:" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"[:35],
    "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs",
]
# All of detect-secrets but those that look for random strings, such as the digests that messages contain.
SCANNERS = [
    *("AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector"),
    *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector"),
    *("JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector"),
    *("PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SquareOAuthDetector"),
    *("StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"),
]
LINES = [
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
    "token: PLANTED1",
    "MY_TOKEN=PLANTED",
    "GITLAB_TOKEN=glpat-PLANTED0123456789ab",
    "SECRET=PLANTED",
    "DJANGO_SECRET=PLANTED",
    "PRIVATE_KEY=PLANTED",
    "DB_PASS=PLANTED",
    "PGPASS=x; DBPASS='PLANTED'",
    "Cookie: session=PLANTED; theme=dark; id=PLANTED",
    "< set-cookie: sid=PLANTED; HttpOnly",
    "Incorrect API key provided: sk-proj-PLANTEDPLANTED0123456789-_PLANTED",
    '{"auths":{"registry.example.com":{"auth":"dXNlcjpQTEFOVEVEUExBTlRFRA=="}}}',
    'password="PLANTED with PLANTED spaces"',
    "password: 'it''s'",
    r'"password": "a\"PLANTED PLANTED", "user": "x"',
    r'msg="{\"password\": \"PLANTED and PLANTED\", \"a\": 1}"',
    "postgres://user:pa@PLANTED@db.example.com/models",
    "amqp://user:PLANTED/PLANTED@queue.example.com",
    "password=a,PLANTED;b&PLANTED",
    "PASSWORD => 'PLANTED'",
    "passphrase := PLANTED",
    "<ns:Password type='text'>PLANTED</ns:Password>",
    '{"name": "DB_PASSWORD", "value": "PLANTED"}',
    "- name: AWS_SECRET_ACCESS_KEY\n  value: PLANTED",
    "password: >-\n  PLANTED",
    'args: ["--password", "PLANTED"]',
    "curl -u admin:PLANTED https://x",
    "next=%2F&password%3DPLANTED",
    "X-Auth-Token: PLANTED",
    "MIIEPLANTEDPLANTEDPLANTED\nPLANTEDPLANTEDPLANTED==\n-----END PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nPLANTED\n-----END OPENSSH PRIVATE KEY-----",
    r'{"private_key": "-----BEGIN PRIVATE KEY-----\nPLANTED\n-----END PRIVATE KEY-----\n"}',
    "//registry.npmjs.org/:_authToken=PLANTED",
    'DB_PASSWORD_PROD="PLANTED"',
    "PASSWORD1=PLANTED",
    "client_secret_v2: PLANTED",
    "aws_secret_access_key_old = PLANTED",
    "SECRET_KEY_BASE='PLANTED'",
    "API_TOKEN_1=PLANTED",
    'passwords: "PLANTED"',
    'config["password"] = "PLANTED"',
    "ROOT_PW=PLANTED",
    "export ROOT_PW='PLANTED'",
    "db.pw: PLANTED",
    "userpw=PLANTED",
    "pw=PLANTED",
    "ROOT_PW_OLD=PLANTED",
    "useradd --pw PLANTED",
    "LICENSE_KEY=PLANTED",
    "license-key: PLANTED",
    '{"licenceKey": "PLANTED"}',
    "SESSION_KEY=PLANTED",
    "WEBHOOK_KEY=PLANTED",
    "app_key: PLANTED",
    "Ocp-Apim-Subscription-Key: PLANTED",
    "JWT_KEY=PLANTED",
    "pass: PLANTED",
    "  pass: 'PLANTED PLANTED'",
    "user: admin, pass: PLANTED, host: db",
    "user: admin pass: PLANTED host: db",
    "{user: admin, pass: PLANTED}",
    '{"user": "admin", "pass": "PLANTED"}',
    r'msg="{\"pass\": \"PLANTED\"}"',
    "{'pass': 'PLANTED', 'pw': 'PLANTED'}",
    "pass: 12PLANTED",
    "pass: |-\n  PLANTED",
    "pass: " + "PLANTED" * 40,
    "PASSPHRASE=PLANTED",
    "passphrase: PLANTED PLANTED PLANTED",
    "pass_phrase: PLANTED, PLANTED and PLANTED",
    "Pass phrase: PLANTED",
    "passphrase: >-\n  PLANTED",
    '"passphrase": "PLANTED PLANTED"',
    "gpg --passphrase PLANTED",
    "passcode: PLANTED",
    "pwd=PLANTED",
    "Server=db;Uid=sa;Pwd=PLANTED;",
    "MYSQL_PWD: PLANTED",
    '{"value": "PLANTED", "name": "DB_PASSWORD"}',
    '{"value": "PLANTED \\"PLANTED", "name": "DB_PASSWORD"}',
    "{'value': 'PLANTED', 'name': 'ROOT_PW'}",
    r'msg="[{\"value\": \"PLANTED PLANTED\", \"name\": \"LICENSE_KEY\"}]"',
    "- value: PLANTED PLANTED\n  name: DB_PASSWORD",
    '- value: "PLANTED"\n  name: "DB_PASSWORD"',
    "{value: PLANTED, name: AWS_SECRET_ACCESS_KEY}",
    '{\n  "value": "PLANTED",\n  "name": "PASS"\n}',
    '{"Key": "DbPassword", "Value": "PLANTED"}',
    '{"Value": "PLANTED", "Key": "DbPassword"}',
    '<add key="DbPassword" value="PLANTED" />',
    '{"name": "PASS", "value": "PLANTED"}',
]


@pytest.mark.parametrize("line", LINES)
def test_secret_looking_values_are_masked(line: str) -> None:
    masked = redact(f"before\n{line}\nafter")
    assert "PLANTED" not in masked and "dXNlcjpQTEFOVEVE" not in masked
    assert MASK in masked
    assert masked.startswith("before\n") and (masked.endswith("\nafter") or "BEGIN" in line)
    assert redact(masked) == masked


def test_access_key_identifiers_are_masked_everywhere() -> None:
    assert redact("key AKIAIOSFODNN7EXAMPLE used") == f"key {MASK} used"


@pytest.mark.parametrize(
    "secret",
    [
        "DO00EXAMPLEEXAMPLE12",
        "hf_" + "x" * 34,
        "ghp_" + "x" * 36,
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhYmMifQ.c2lnbmF0dXJl",
        "glpat-" + "x" * 20,
        "sk-proj-" + "x" * 40,
        "sk-ant-api03-" + "x" * 40,
        "github_pat_" + "x" * 30,
        "dop_v1_" + "0" * 64,
        "npm_" + "x" * 36,
        "pypi-" + "x" * 60,
        "AIza" + "x" * 35,
        "xoxb-" + "0" * 12,
        "hvs." + "x" * 24,
        *ISSUED,
    ],
)
def test_tokens_are_recognized_by_their_form(secret: str) -> None:
    assert redact(f"using {secret} now") == f"using {MASK} now"


def found_by_the_scanner(text: str) -> set[str]:
    with transient_settings({"plugins_used": [{"name": name} for name in SCANNERS]}):
        return {secret.secret_value or "" for line in text.splitlines() for secret in scan_line(line)}


@pytest.mark.parametrize("text", [*LINES, *(f'x = "{secret}"' for secret in ISSUED)])
def test_a_secret_scanner_finds_nothing_in_masked_text(text: str) -> None:
    left = redact(text)
    assert found_by_the_scanner(left) <= {MASK}
    assert not {secret for secret in found_by_the_scanner(text) if secret in left}


def test_the_secret_scanner_finds_what_is_planted() -> None:
    assert sum(bool(found_by_the_scanner(line)) for line in LINES) > 10
    assert [secret for secret in ISSUED if not found_by_the_scanner(f'x = "{secret}"')] == []


def test_given_secrets_are_masked_longest_first() -> None:
    assert redact("abc abcdef", "abc", "abcdef", None, "") == f"{MASK} {MASK}"


def test_explanations_are_not_masked() -> None:
    text = "botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden"
    assert redact(text) == text
    text = "unknown option --tokenizer gpt2; key error: 'species'; access key missing; token count: 12"
    assert redact(text) == text
    for text in (
        'MountVolume.SetUp failed for volume "tls" : secret "model-tls" not found',
        "couldn't find key AWS_SECRET_ACCESS_KEY in Secret models/model-reader",
        "secretName: model-tls, secretKeyRef: a, imagePullSecrets: b, tokens: 12, max_tokens=5",
        "https://127.0.0.1:8443/apis/x@y was not found, bypass: yes, authority: ca, tests: pass: 12",
        "pass: 3 of 5 checks, pass: 12, fail: 3; pass: 12/15, pass: 80%, pass: true",
        '{"pass": 12, "fail": 0}, {"pass": true}, pass: yes',
        "--- PASS: TestRead (0.10s), first pass: reading the model",
        "compass: north, trespass: x, bypass=yes, pw, pass the value, encompass: all",
        '{"value": "iris", "name": "MODEL"}, {"name": "DB_PASSWORD_FILE", "value": "/etc/db"}',
        "- value: iris\n  name: MODEL\n- name: KEY\n  value: species",
        '{"value": "/etc/db", "name": "DB_PASSWORD_FILE"}, {"value": "x", "name": "tokens"}, value: 5',
        "Enter passphrase for key '/root/.ssh/id_rsa', keys: a, primary key: id, routing_key: models",
        "GET http://[::1]:8080/a@b",
        "templates/secret.yaml:12:5: executing at <.Values.auth.enabled>: nil pointer",
        "the digest sha256:0f343b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1 is wanted",
    ):
        assert redact(text) == text
    # What follows a secret is still told.
    assert redact("pass: abc, model: iris") == f"pass: {MASK}, model: iris"
    assert redact('{"value": "abc", "name": "DB_PASSWORD"}') == f'{{"value": "{MASK}", "name": "DB_PASSWORD"}}'
    assert redact("- value: a b\n  name: ROOT_PW") == f"- value: {MASK}\n  name: ROOT_PW"
    assert redact("passphrase: a b, model: iris") == f"passphrase: {MASK}, model: iris"
    assert redact("token=abc, model=iris; error=x") == f"token={MASK}, model=iris; error=x"
    assert redact('{"token":"abc","model":"iris"}') == f'{{"token":"{MASK}","model":"iris"}}'
    assert short("Authorization: Basic abc\nThe request failed") == f"Authorization: {MASK} The request failed"
    url = "GET https://b.s3.amazonaws.com/iris/1/model.joblib?X-Amz-Signature=abc&part=2"
    assert redact(url).endswith(f"X-Amz-Signature={MASK}&part=2")


LONG = ["a" * 200_000, "a.-" * 60_000, ("A" * 64 + "\n") * 3000, "//:" * 60_000, '"' * 99_999, "--a" * 60_000]
LONG += [
    "value=" * 30_000,
    'value: "' * 30_000,
    ("pass:" * 30 + " (a b c ") * 1300,
    "pass: x y " * 20_000,
    "value: x\n" * 20_000,
]
LONG += ["passphrase " * 20_000, "name: " * 30_000]
# A traceback in JSON, as containers log it.
LONG += [json.dumps({"event": "failed", "value": "line\n" * 2000, "code": 500}), "value='" + "\\" * 4000]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_a_long_text_takes_no_long_time(text: str) -> None:
    def over(*_signal: object) -> None:
        raise TimeoutError("A pattern tries each position again, up to the end of the text.")

    # Of CPU time, since the machine may be busy: it takes seconds, or minutes.
    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, 60)
    try:
        assert redact(text) == text
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
