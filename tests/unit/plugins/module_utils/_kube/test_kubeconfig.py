# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.kubeconfig import (
    Server,
    Wanted,
    reconcile,
    server,
    warnings,
)

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
AT = Server("https://cluster.example.com:6443", "-----BEGIN CERTIFICATE-----\n")
ACCOUNT = "/api/v1/namespaces/system/serviceaccounts/deployer"


def token(uid: str, start: datetime, end: datetime) -> str:
    """A token like those of the API server, except for the signature."""
    times = {"iat": int(start.timestamp()), "nbf": int(start.timestamp()), "exp": int(end.timestamp())}
    claims = {**times, "kubernetes.io": {"serviceaccount": {"name": "deployer", "uid": uid}}}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.PLANTED"


class Api:
    """An API server with one ServiceAccount, which issues tokens unless disabled."""

    def __init__(self) -> None:
        self.uid, self.now, self.requests, self.longest = "one", NOW, [], 10**9

    def get(self, path: str, **_query: Any) -> dict[str, Any]:
        if not self.uid or path != ACCOUNT:
            raise ApiError("not found", 404)
        return {"metadata": {"uid": self.uid}}

    def post(self, path: str, body: Any) -> str:
        assert path == f"{ACCOUNT}/token"
        self.requests.append(body)
        end = self.now + timedelta(seconds=min(self.longest, body["spec"]["expirationSeconds"]))
        status = {"token": token(self.uid, self.now, end), "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return json.dumps({"status": status})


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    return Wanted("system", "deployer", tmp_path / "kube" / "deployer", 28800, 3600)


def test_a_token_is_requested_once_and_is_in_no_result(api: Api, wanted: Wanted) -> None:
    first = reconcile(api, wanted, AT, NOW, check_mode=False)
    assert first == {
        "changed": True,
        "path": str(wanted.path),
        "reason": "absent",
        "expires": "2026-11-21T17:00:00Z",
        "seconds": 28800,
    }
    assert "PLANTED" not in json.dumps(first)
    assert stat.S_IMODE(wanted.path.stat().st_mode) == 0o600
    config = yaml.safe_load(wanted.path.read_text())
    assert config["current-context"] == config["contexts"][0]["name"]
    assert config["clusters"][0]["cluster"]["server"] == AT.host
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode() == AT.ca
    assert config["users"][0]["user"]["token"].endswith("PLANTED")
    assert api.requests[0]["spec"] == {"expirationSeconds": 28800}
    again = reconcile(api, wanted, AT, NOW, check_mode=False)
    assert again == {**first, "changed": False, "reason": ""}
    assert len(api.requests) == 1
    assert [path.name for path in wanted.path.parent.iterdir()] == ["deployer"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("other account", "of another account"),
        ("time", "about to expire"),
        ("address", "of another address"),
        ("mode", "open to others"),
        ("text", "unreadable"),
        ("yaml", "unreadable"),
        ("token", "unreadable"),
    ],
)
def test_another_token_is_requested_if_the_existing_one_is_unusable(
    api: Api, wanted: Wanted, what: str, reason: str
) -> None:
    reconcile(api, wanted, AT, NOW, check_mode=False)
    text = wanted.path.read_text()
    now, at = NOW, AT
    if what == "other account":
        api.uid = "two"
    elif what == "time":
        now = NOW + timedelta(seconds=28800 - 3599)
    elif what == "address":
        at = replace(AT, host="https://other.example.com:6443")
    elif what == "mode":
        wanted.path.chmod(0o644)
    elif what == "text":
        wanted.path.write_text("nothing of the kind")
    elif what == "yaml":
        wanted.path.write_text("a: [")
    elif what == "token":
        wanted.path.write_text(text.replace("e30.", "e30"))
    api.now = now
    looked = reconcile(api, wanted, at, now, check_mode=True)
    assert (looked["changed"], looked["reason"], len(api.requests)) == (True, reason, 1)
    renewed = reconcile(api, wanted, at, now, check_mode=False)
    assert (renewed["changed"], renewed["reason"], len(api.requests)) == (True, reason, 2)
    assert stat.S_IMODE(wanted.path.stat().st_mode) == 0o600


TIMES = {"iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 28800}
FOREIGN: list[Any] = [
    *({**TIMES, name: value} for name in TIMES for value in (1e20, -1e20, 1e300, 10**400, float("inf"), float("nan"))),
    *({**TIMES, name: value} for name in TIMES for value in (None, "soon", "1", True, [1], {}, -float("inf"))),
    {**TIMES, "exp": -5},
    {**TIMES, "iat": TIMES["exp"] + 1},
    {"exp": TIMES["exp"]},
    {"iat": TIMES["iat"]},
    [],
    5,
    None,
]


def with_claims(claims: Any) -> str:
    """Return a token with any claims, where they may be a mapping those of an account, too."""
    if isinstance(claims, dict):
        claims = {**claims, "kubernetes.io": {"serviceaccount": {"name": "deployer", "uid": "one"}}}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.PLANTED"


@pytest.mark.parametrize("claims", FOREIGN, ids=range(len(FOREIGN)))
def test_a_token_whose_times_cannot_be_is_unreadable(api: Api, wanted: Wanted, claims: Any) -> None:
    reconcile(api, wanted, AT, NOW, check_mode=False)
    config = yaml.safe_load(wanted.path.read_text())
    config["users"][0]["user"]["token"] = with_claims(claims)
    wanted.path.write_text(yaml.safe_dump(config))
    assert reconcile(api, wanted, AT, NOW, check_mode=False)["reason"] == "unreadable"
    assert reconcile(api, wanted, AT, NOW, check_mode=False)["reason"] == ""


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", *map(with_claims, FOREIGN), "e30." + "W1tb" * 9999])
def test_a_foreign_token_of_the_api_server_is_not_written(
    api: Api, wanted: Wanted, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "post", lambda _path, _body: json.dumps({"status": {"token": token}}))
    with pytest.raises(KServeError) as caught:
        reconcile(api, wanted, AT, NOW, check_mode=False)
    assert caught.value.reason == "TokenNotReadable" and "PLANTED" not in str(caught.value)
    assert not wanted.path.exists()


@pytest.mark.parametrize("answer", ["", "[]", '{"status": null}', '{"status": {}}', '{"status": []}'])
def test_an_answer_without_a_token(api: Api, wanted: Wanted, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "post", lambda _path, _body: answer)
    with pytest.raises(KServeError) as caught:
        reconcile(api, wanted, AT, NOW, check_mode=False)
    assert caught.value.reason == "TokenNotReadable"


def test_a_duration_that_no_time_reaches(api: Api, wanted: Wanted) -> None:
    for seconds, left in ((2**32 + 1, 3600), (10**20, 10**19)):
        with pytest.raises(KServeError, match="at most 4294967296") as caught:
            reconcile(api, replace(wanted, seconds=seconds, renew_seconds=left), AT, NOW, check_mode=False)
        assert caught.value.reason == "InvalidOption"


@pytest.mark.parametrize("longest", [3600, 3700, 600])
def test_a_capped_token_is_renewed_when_its_lifetime_ends(api: Api, wanted: Wanted, longest: int) -> None:
    api.longest = longest
    first = reconcile(api, wanted, AT, NOW, check_mode=False)
    assert (first["changed"], first["seconds"]) == (True, longest)
    [warning] = warnings(wanted, first)
    assert f"is valid for {longest} seconds, as the API server has granted, and not for 28800;" in warning
    # An eighth of it is left, as an eighth was asked for.
    for now in (NOW, NOW + timedelta(seconds=longest * 7 / 8 - 1)):
        again = reconcile(api, wanted, AT, now, check_mode=False)
        assert again == {**first, "changed": False, "reason": ""}
        assert warnings(wanted, again) == [warning]
    late = NOW + timedelta(seconds=longest * 7 / 8 + 1)
    assert reconcile(api, wanted, AT, late, check_mode=False)["reason"] == "about to expire"
    assert len(api.requests) == 2


def test_a_token_of_the_wanted_lifetime_is_no_warning(api: Api, wanted: Wanted) -> None:
    assert warnings(wanted, reconcile(api, wanted, AT, NOW, check_mode=True)) == []
    assert warnings(wanted, reconcile(api, wanted, AT, NOW, check_mode=False)) == []


def test_a_missing_service_account_is_reported(api: Api, wanted: Wanted) -> None:
    api.uid = ""
    with pytest.raises(KServeError) as stop:
        reconcile(api, wanted, AT, NOW, check_mode=False)
    assert stop.value.reason == "ServiceAccountNotFound"
    assert reconcile(api, wanted, AT, NOW, check_mode=True)["reason"] == "absent"


@pytest.mark.parametrize(("seconds", "renew"), [(599, 0), (3600, 3600), (3600, -1)])
def test_invalid_times_are_rejected_before_any_request(api: Api, wanted: Wanted, seconds: int, renew: int) -> None:
    with pytest.raises(KServeError, match="let duration be at least 600, at most 4294967296 and more"):
        reconcile(api, replace(wanted, seconds=seconds, renew_seconds=renew), AT, NOW, check_mode=False)
    assert api.requests == []


def test_an_unwritable_file_is_reported(api: Api, wanted: Wanted) -> None:
    wanted.path.parent.write_text("not a folder")
    with pytest.raises(KServeError, match=r"deployer cannot be written \(.*\); set path to another file\."):
        reconcile(api, wanted, AT, NOW, check_mode=False)


def test_server_and_ca_are_those_of_the_client(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(AT.ca)
    assert server(SimpleNamespace(host=AT.host, ssl_ca_cert=str(file))) == AT
    assert server(SimpleNamespace(host=AT.host, ssl_ca_cert=None)) == Server(AT.host, "")
    with pytest.raises(KServeError, match="cannot be read"):
        server(SimpleNamespace(host=AT.host, ssl_ca_cert=str(tmp_path / "gone")))


@pytest.mark.parametrize("key", ["users", "clusters"])
def test_a_kubeconfig_of_others_is_not_replaced(api: Api, wanted: Wanted, key: str) -> None:
    reconcile(api, wanted, AT, NOW, check_mode=False)
    found = yaml.safe_load(wanted.path.read_text())
    found[key].append({"name": "admin", "user": {"client-key-data": "a2V5"}})
    wanted.path.write_text(text := yaml.safe_dump(found))
    for check_mode in (False, True):
        with pytest.raises(KServeError, match="is a kubeconfig with other users or clusters") as error:
            reconcile(api, wanted, AT, NOW, check_mode=check_mode)
        assert error.value.reason == "OtherKubeconfig" and wanted.path.read_text() == text
