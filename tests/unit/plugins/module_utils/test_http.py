# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from urllib3 import exceptions as http

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _http
from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError


def server(url: str | None = None, **changes: Any) -> _http.Server:
    return _http.server(**{"url": url, "scheme": "https", "host": None, "port": None, "address": None, **changes})


@pytest.mark.parametrize(
    ("made", "connects_to", "url"),
    [
        (server("https://iris.example.com"), ("iris.example.com", 443), "https://iris.example.com"),
        (server("https://iris.example.com:8443/a/b/"), ("iris.example.com", 8443), "https://iris.example.com:8443/a/b"),
        (server("http://iris.example.com", address="10.0.0.1"), ("10.0.0.1", 80), "http://iris.example.com"),
        (server("https://[2001:db8::1]"), ("2001:db8::1", 443), "https://[2001:db8::1]"),
        (server(host="iris", port=30443, address="10.0.0.1"), ("10.0.0.1", 30443), "https://iris:30443"),
        (server(host="iris", scheme="http"), ("iris", 80), "http://iris"),
    ],
)
def test_servers(made: _http.Server, connects_to: tuple[str, int], url: str) -> None:
    assert ((made.address, made.port), made.url) == (connects_to, url)


@pytest.mark.parametrize("url", ["iris.example.com", "ftp://iris", "https://", "https://x:port", "https://[x"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(KServeError, match="The url is not valid"):
        server(url)


def test_the_name_is_checked_and_the_address_connected_to() -> None:
    pool = _http.HttpTransport(server(host="iris", address="10.0.0.1", ca_content="PEM"))._pool
    assert (pool.host, pool.port) == ("10.0.0.1", 443)
    assert (pool.cert_reqs, pool.assert_hostname) == ("CERT_REQUIRED", "iris")
    assert (pool.conn_kw["server_hostname"], pool.conn_kw["ca_cert_data"]) == ("iris", "PEM")
    unchecked = _http.HttpTransport(server(host="iris", validate_certs=False))._pool
    assert (unchecked.cert_reqs, unchecked.assert_hostname) == ("CERT_NONE", False)


def test_a_missing_authority_is_named() -> None:
    with pytest.raises(KServeError, match=r"There is no file /none/ca\.pem; set ca_path"):
        _http.HttpTransport(server(host="iris", ca_path="/none/ca.pem"))


class Pool:
    """A urllib3 pool with one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.call: tuple[Any, ...] = ()
        self.keywords: dict[str, Any] = {}

    def request(self, *call: Any, **keywords: Any) -> Any:
        self.call, self.keywords = call, keywords
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def post(monkeypatch: pytest.MonkeyPatch, answer: Any, token: str | None = None) -> tuple[Any, Pool]:
    pool = Pool(answer)
    monkeypatch.setattr(_http, "_pool", lambda _server: pool)
    transport = _http.HttpTransport(server("https://iris.example.com/base", address="10.0.0.1"), token)
    return transport.post("/v2/models/iris/infer", b"{}"), pool


def test_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, pool = post(monkeypatch, SimpleNamespace(status=200, data=b"[]"), "PLANTED")
    assert answer == _http.Answer(200, b"[]")
    assert pool.call == ("POST", "/base/v2/models/iris/infer")
    assert pool.keywords["headers"]["Host"] == "iris.example.com"
    assert pool.keywords["headers"]["Authorization"] == "Bearer PLANTED"
    assert (pool.keywords["retries"], pool.keywords["redirect"]) == (False, False)


REFUSED = (
    "HTTPSConnection(host='10.0.0.1', port=443): Failed to establish a new connection: [Errno 111] Connection refused"
)


@pytest.mark.parametrize(
    ("error", "retry", "says"),
    [
        (
            http.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"),
            False,
            "set ca_path",
        ),
        (http.SSLError("hostname 'iris' doesn't match 'other'"), False, "or correct host"),
        (http.SSLError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF"), True, "check the gateway's listener"),
        (http.NameResolutionError("iris", None, OSError("unknown")), True, "The name 10.0.0.1 cannot be resolved"),
        (http.ReadTimeoutError(None, "/", "slow"), True, "does not answer within 10 seconds"),
        (http.ConnectTimeoutError(None, "slow"), True, "does not answer within 10 seconds"),
        (http.NewConnectionError(None, REFUSED), True, r"cannot be reached \(\[Errno 111\] Connection refused\)"),
        (
            http.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset by peer")),
            True,
            r"reached \(reset by peer\);",
        ),
    ],
)
def test_what_does_not_answer(monkeypatch: pytest.MonkeyPatch, error: Exception, retry: bool, says: str) -> None:
    with pytest.raises(_http.Unanswered, match=says) as caught:
        post(monkeypatch, error)
    assert caught.value.retry is retry
    assert "https://iris.example.com" in str(caught.value) or "10.0.0.1" in str(caught.value)
