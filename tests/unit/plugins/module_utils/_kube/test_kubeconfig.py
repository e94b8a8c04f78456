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
)

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
AT = Server("https://cluster.example.com:6443", "-----BEGIN CERTIFICATE-----\n")
ACCOUNT = "/api/v1/namespaces/system/serviceaccounts/deployer"


def token(uid: str, end: datetime) -> str:
    """A token as the API server makes it, but for the signature."""
    claims = {"exp": int(end.timestamp()), "kubernetes.io": {"serviceaccount": {"name": "deployer", "uid": uid}}}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.PLANTED"


class Api:
    """Knows one account, and gives tokens until it is asked not to."""

    def __init__(self) -> None:
        self.uid, self.now, self.asked, self.shortened = "one", NOW, [], 0

    def get(self, path: str, **_query: Any) -> dict[str, Any]:
        if not self.uid or path != ACCOUNT:
            raise ApiError("not found", 404)
        return {"metadata": {"uid": self.uid}}

    def post(self, path: str, body: Any) -> str:
        assert path == f"{ACCOUNT}/token"
        self.asked.append(body)
        end = self.now + timedelta(seconds=self.shortened or body["spec"]["expirationSeconds"])
        status = {"token": token(self.uid, end), "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return json.dumps({"status": status})


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    return Wanted("system", "deployer", tmp_path / "kube" / "deployer", 28800, 3600)


def test_a_token_is_asked_for_once_and_is_in_no_result(api: Api, wanted: Wanted) -> None:
    first = reconcile(api, wanted, AT, NOW, check_mode=False)
    assert first == {
        "changed": True,
        "path": str(wanted.path),
        "reason": "absent",
        "expires": "2026-11-21T17:00:00Z",
    }
    assert "PLANTED" not in json.dumps(first)
    assert stat.S_IMODE(wanted.path.stat().st_mode) == 0o600
    config = yaml.safe_load(wanted.path.read_text())
    assert config["current-context"] == config["contexts"][0]["name"]
    assert config["clusters"][0]["cluster"]["server"] == AT.host
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode() == AT.ca
    assert config["users"][0]["user"]["token"].endswith("PLANTED")
    assert api.asked[0]["spec"] == {"expirationSeconds": 28800}
    again = reconcile(api, wanted, AT, NOW, check_mode=False)
    assert again == {**first, "changed": False, "reason": ""}
    assert len(api.asked) == 1
    assert [path.name for path in wanted.path.parent.iterdir()] == ["deployer"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("other account", "of another account"),
        ("time", "about to expire"),
        ("short", "about to expire"),
        ("address", "of another address"),
        ("mode", "open to others"),
        ("text", "unreadable"),
        ("yaml", "unreadable"),
        ("token", "unreadable"),
    ],
)
def test_another_is_asked_for_where_the_one_that_is_there_does_not_serve(
    api: Api, wanted: Wanted, what: str, reason: str
) -> None:
    if what == "short":
        api.shortened = 1800  # an API server may give less than it is asked for
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
    assert (looked["changed"], looked["reason"], len(api.asked)) == (True, reason, 1)
    done = reconcile(api, wanted, at, now, check_mode=False)
    assert (done["changed"], done["reason"], len(api.asked)) == (True, reason, 2)
    assert stat.S_IMODE(wanted.path.stat().st_mode) == 0o600


def test_an_account_that_is_not_there_is_said(api: Api, wanted: Wanted) -> None:
    api.uid = ""
    with pytest.raises(KServeError) as stop:
        reconcile(api, wanted, AT, NOW, check_mode=False)
    assert stop.value.reason == "ServiceAccountNotFound"
    assert reconcile(api, wanted, AT, NOW, check_mode=True)["reason"] == "absent"


@pytest.mark.parametrize(("seconds", "renew"), [(599, 0), (3600, 3600), (3600, -1)])
def test_what_cannot_be_is_refused_before_anything_is_asked(api: Api, wanted: Wanted, seconds: int, renew: int) -> None:
    with pytest.raises(KServeError, match="let duration be at least 600 and more than renew_before"):
        reconcile(api, replace(wanted, seconds=seconds, renew_seconds=renew), AT, NOW, check_mode=False)
    assert api.asked == []


def test_a_file_that_cannot_be_written_is_said(api: Api, wanted: Wanted) -> None:
    wanted.path.parent.write_text("not a folder")
    with pytest.raises(KServeError, match=r"deployer cannot be written \(.*\); set path to another file\."):
        reconcile(api, wanted, AT, NOW, check_mode=False)


def test_the_address_and_the_authority_are_those_of_the_client(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(AT.ca)
    assert server(SimpleNamespace(host=AT.host, ssl_ca_cert=str(file))) == AT
    assert server(SimpleNamespace(host=AT.host, ssl_ca_cert=None)) == Server(AT.host, "")
    with pytest.raises(KServeError, match="cannot be read"):
        server(SimpleNamespace(host=AT.host, ssl_ca_cert=str(tmp_path / "gone")))
