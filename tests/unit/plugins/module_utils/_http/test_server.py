# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import MessageError


def server(url: str | None = None, **changes: Any) -> http_server.Server:
    parts = {"url": url, "scheme": "https", "host": None, "port": None, "address": None, "environ": {}}
    return http_server.server(**{**parts, **changes})


@pytest.mark.parametrize(
    ("made", "connects_to", "url"),
    [
        (server("https://iris.example.com"), ("iris.example.com", 443), "https://iris.example.com"),
        (server("https://iris.example.com:8443/a/b/"), ("iris.example.com", 8443), "https://iris.example.com:8443/a/b"),
        (server("http://iris.example.com", address="10.0.0.1"), ("10.0.0.1", 80), "http://iris.example.com"),
        (server("https://[2001:db8::1]"), ("2001:db8::1", 443), "https://[2001:db8::1]"),
        (server(host="iris", port=30443, address="10.0.0.1"), ("10.0.0.1", 30443), "https://iris:30443"),
        (server(host="iris", scheme="http"), ("iris", 80), "http://iris"),
        (server(host="bücher.example"), ("xn--bcher-kva.example", 443), "https://xn--bcher-kva.example"),
    ],
)
def test_servers(made: http_server.Server, connects_to: tuple[str, int], url: str) -> None:
    assert ((made.address, made.port), made.url) == (connects_to, url)


@pytest.mark.parametrize("url", ["iris.example.com", "ftp://iris", "https://", "https://x:port", "https://[x"])
def test_invalid_urls(url: str) -> None:
    with pytest.raises(KServeError, match="The url is not valid"):
        server(url)


@pytest.mark.parametrize("name", ["straße.example", "a..ü", "ü" * 64, "ü\u200d.example"])
def test_host_names_that_cannot_be_sent(name: str) -> None:
    for where in ({"url": f"https://{name}"}, {"host": name}, {"host": "iris", "address": name}):
        with pytest.raises(KServeError, match="cannot be sent; write it in ASCII, as xn--") as caught:
            server(**where)
        assert caught.value.reason == "InvalidOption"


def test_an_invalid_port() -> None:
    with pytest.raises(KServeError, match="The port 70000 is none"):
        server(host="iris", port=70000)


def test_an_explicit_proxy() -> None:
    found = server("https://iris", proxy="http://me:p%40ss@proxy:3128").proxy
    assert found == http_server.Proxy("proxy", 3128, "Basic bWU6cEBzcw==")
    assert "bWU6" not in repr(found)
    headers = {"proxy_basic_auth": "me:p@ss"}
    assert server("https://iris", proxy="http://proxy:3128", proxy_headers=headers).proxy == found
    assert server("https://iris", proxy="proxy:3128").proxy == http_server.Proxy("proxy", 3128)


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "https://proxy", "http://", "http://proxy:port"])
def test_invalid_proxies(proxy: str) -> None:
    with pytest.raises(KServeError, match="The proxy is not one that is spoken to by HTTP"):
        server("https://iris", proxy=proxy)


@pytest.mark.parametrize(
    ("url", "environ", "used"),
    [
        ("https://iris", {"https_proxy": "http://proxy:1"}, True),
        ("https://iris", {"HTTPS_PROXY": "proxy:1"}, True),
        ("https://iris", {"http_proxy": "http://proxy:1"}, False),
        ("http://iris", {"http_proxy": "http://proxy:1"}, True),
        ("http://iris", {"HTTP_PROXY": "http://proxy:1", "REQUEST_METHOD": "GET"}, False),
        ("https://iris", {"ALL_PROXY": "http://proxy:1"}, True),
        ("https://iris", {"https_proxy": "", "HTTPS_PROXY": "http://proxy:1"}, False),
        ("https://localhost", {"https_proxy": "http://proxy:1"}, False),
        ("https://127.0.0.1:8443", {"https_proxy": "http://proxy:1"}, False),
        ("https://iris.a.example", {"https_proxy": "http://proxy:1", "no_proxy": "b.example, a.example"}, False),
        ("https://iris.a.example", {"https_proxy": "http://proxy:1", "NO_PROXY": ".a.example"}, False),
        ("https://iris.a.example", {"https_proxy": "http://proxy:1", "no_proxy": "*.a.example"}, False),
        ("https://irisa.example", {"https_proxy": "http://proxy:1", "no_proxy": "a.example"}, True),
        ("https://iris", {"https_proxy": "http://proxy:1", "no_proxy": "*"}, False),
        ("https://iris:8443", {"https_proxy": "http://proxy:1", "no_proxy": "iris:8443"}, False),
        ("https://iris:8443", {"https_proxy": "http://proxy:1", "no_proxy": "iris:443"}, True),
        ("https://10.1.2.3", {"https_proxy": "http://proxy:1", "no_proxy": "x/y,10.1.0.0/16"}, False),
        ("https://10.2.2.3", {"https_proxy": "http://proxy:1", "no_proxy": "10.1.0.0/16"}, True),
        ("https://110.1.2.3", {"https_proxy": "http://proxy:1", "no_proxy": "10.1.2.3,1.2.3"}, True),
    ],
)
def test_the_environments_proxy(url: str, environ: dict[str, str], used: bool) -> None:
    found = server(url, environ=environ).proxy
    assert found == (http_server.Proxy("proxy", 1) if used else None)


def test_the_address_may_be_exempt_as_well_as_the_name() -> None:
    environ = {"https_proxy": "http://proxy:1", "no_proxy": "10.0.0.0/8"}
    assert server("https://iris", address="10.0.0.1", environ=environ).proxy is None
    assert server("https://iris", address="127.0.0.1", environ={"https_proxy": "http://proxy:1"}).proxy is None
    assert server("https://iris", proxy="", environ={"https_proxy": "http://proxy:1"}).proxy is None


def test_when_a_proxy_tunnels() -> None:
    assert server("https://iris", proxy="proxy").tunnel
    assert not server("http://iris", proxy="proxy").tunnel
    assert server("http://iris", address="10.0.0.1", proxy="proxy").tunnel
    assert not server("https://iris").tunnel


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ca_path": "/none/ca.pem"}, r"There is no file /none/ca\.pem; set ca_path"),
        ({"client_cert": "/none/c.pem"}, r"There is no file /none/c\.pem; set client_cert"),
        ({"client_cert": __file__, "client_key": "/none/k.pem"}, r"There is no file /none/k\.pem; set client_key"),
        ({"client_cert": __file__}, "The client's certificate cannot be used"),
        ({"ca_path": __file__}, "There is no certificate in ca_path"),
        ({"ca_content": "none"}, "There is no certificate in ca_content"),
    ],
)
def test_unusable_files(options: dict[str, str], says: str) -> None:
    with pytest.raises(KServeError, match=says):
        http_server.tls_context(server("https://iris", **options))


def test_the_host_name_is_verified_unless_disabled() -> None:
    context = http_server.tls_context(server("https://iris"))
    assert context and context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    unchecked = http_server.tls_context(server("https://iris", validate_certs=False))
    assert unchecked and unchecked.verify_mode is ssl.CERT_NONE
    assert http_server.tls_context(server("http://iris", ca_path=str(Path("/none")))) is None


@pytest.mark.parametrize(
    ("error", "retry", "says"),
    [
        (ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed"), False, "set ca_path"),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] alert"), False, "wants a client's certificate"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), True, "check the gateway's listener"),
        (socket.gaierror(-2, "unknown"), True, r"The name 10\.0\.0\.1 cannot be resolved; .* set address"),
        (TimeoutError(), True, "does not answer within 10 seconds"),
        (TimeoutError(errno.ETIMEDOUT, "slow"), True, r"cannot be reached \(Connection timed out\)"),
        (OSError(errno.ECONNREFUSED, "Connect call failed"), True, r"reached \(Connection refused\); check address"),
        (ConnectionError("it closed"), True, r"reached \(it closed\);"),
        (MessageError("its header is too long"), True, "does not speak HTTP as it should: its header is too long"),
    ],
)
def test_connection_failures(error: Exception, retry: bool, says: str) -> None:
    found = http_server.unanswered(server("https://iris.example.com", address="10.0.0.1"), error)
    assert found.retry is retry
    with pytest.raises(http_server.Unanswered, match=says):
        raise found
    assert "https://iris.example.com" in str(found) or "10.0.0.1" in str(found)


def test_a_proxy_is_named_in_the_error() -> None:
    between = server("https://iris", proxy="http://me:PLANTED@proxy:3128")
    for error in (OSError(errno.ECONNREFUSED, ""), socket.gaierror(-2, "unknown")):
        message = str(http_server.unanswered(between, error))
        assert "proxy" in message and "PLANTED" not in message


def test_a_rejected_client_certificate() -> None:
    error = ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")
    assert "does not accept the client's" in str(http_server.unanswered(server("https://iris", client_cert="c"), error))
