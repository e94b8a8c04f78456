# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rule for the proxies of the Kubernetes API, the object storage and the smoke test."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client as kube_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.proxy import proxy_options
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3_client

from ..scripted_server import Connection, Server

PROXY = "http://proxy.example.com:3128"
GROUPS = {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
ANSWERS = {"/version": {"gitVersion": "v1.35.4", "major": "1", "minor": "35"}, "/apis": GROUPS}


def api_server(connection: Connection, _number: int) -> None:
    """Answer as an API server, and as one behind an HTTP proxy, which gets the whole URL."""
    while (received := connection.request()) is not None:
        path = received[0].split()[1].removeprefix("http://api.example.com")
        connection.answer(json.dumps(ANSWERS.get(path, {})).encode(), "200 OK", "Content-Type: application/json")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("K8S_AUTH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a proxy that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def options(**given: Any) -> dict[str, Any]:
    return {**dict.fromkeys(AUTH_ARG_SPEC), **given}


def kubeconfig(path: Path, server: str, **cluster: str) -> Path:
    content = {
        "clusters": [{"name": "one", "cluster": {"server": server, **cluster}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "users": [{"name": "one", "user": {"token": "a-token"}}],
        "current-context": "one",
    }
    path.write_text(yaml.safe_dump(content))
    return path


CASES: list[tuple[str, dict[str, str], bool]] = [
    ("https://one.example.com", {"HTTPS_PROXY": PROXY}, True),
    ("https://one.example.com", {"https_proxy": PROXY, "no_proxy": "example.com"}, False),
    ("https://one.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".example.com"}, False),
    ("https://one.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*.example.com"}, False),
    ("https://one.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": "e.example.com"}, True),
    ("https://one.example.com", {"HTTP_PROXY": PROXY}, False),
    ("https://one.example.com", {"ALL_PROXY": PROXY}, True),
    ("https://one.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, False),
    ("https://one.example.com:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "one.example.com:6443"}, False),
    ("https://one.example.com:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "one.example.com:443"}, True),
    ("https://10.1.2.3", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.1.0.0/16"}, False),
    ("https://10.2.2.3", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.1.0.0/16"}, True),
    ("https://[fd00::1]", {"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8"}, False),
    ("https://127.0.0.1:6443", {"HTTPS_PROXY": PROXY}, False),
    ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, False),
    ("http://one.example.com", {"HTTP_PROXY": PROXY}, True),
]


@pytest.mark.parametrize(("url", "environ", "used"), CASES)
def test_three_transports_and_one_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, environ: dict[str, str], used: bool
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = kubeconfig(tmp_path / "config", url)
    kube = proxy_options(options(kubeconfig=str(config)), os.environ)
    assert kube == {"proxy": PROXY if used else "", "no_proxy": ""}
    smoke = http_server.server(url, "https", None, None, None)
    assert (smoke.proxy is not None) is used
    store = s3_client.connect(s3_client.S3Options("models", url, "fra1", "a", "b"))
    assert store.boto.meta.config.proxies == ({url.partition(":")[0]: PROXY} if used else {})


def test_the_host_name_of_a_bucket_may_be_exempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "models.fra1.example.com")
    store = s3_client.connect(s3_client.S3Options("models", "https://fra1.example.com", "fra1", "a", "b"))
    assert store.boto.meta.config.proxies == {}


@pytest.mark.parametrize("without", [{"NO_PROXY": "127.0.0.1"}, {"NO_PROXY": "127.0.0.0/8"}, {}])
@pytest.mark.parametrize("by_kubeconfig", [False, True])
def test_an_exempt_api_server_is_reached_past_the_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str, without: dict[str, str], by_kubeconfig: bool
) -> None:
    for name, value in {"HTTPS_PROXY": nobody, "HTTP_PROXY": nobody, **without}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Server(api_server) as server:
        url = f"http://127.0.0.1:{server.port}"
        given = (
            options(kubeconfig=str(kubeconfig(tmp_path / "config", url)))
            if by_kubeconfig
            else options(host=url, api_key="a-key")
        )
        with kube_client.session(given) as api:
            assert api.get("/version")["gitVersion"] == "v1.35.4"


def test_the_proxy_of_the_kubeconfig_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", nobody)
    monkeypatch.setenv("NO_PROXY", "*")
    heads: list[str] = []

    def recording(connection: Connection, number: int) -> None:
        ask = connection.request

        def request() -> tuple[str, bytes] | None:
            if (received := ask()) is not None:
                heads.append(received[0])
            return received

        connection.request = request  # type: ignore[method-assign]
        api_server(connection, number)

    with Server(recording) as proxy:
        url = {"proxy-url": f"http://me:p%40ss@127.0.0.1:{proxy.port}"}
        config = kubeconfig(tmp_path / "config", "http://api.example.com", **url)
        with kube_client.session(options(kubeconfig=str(config))) as api:
            assert api.get("/version")["gitVersion"] == "v1.35.4"
    assert heads[-1].startswith("GET http://api.example.com/version ")
    assert "proxy-authorization: Basic bWU6cEBzcw==" in heads[-1].replace("Proxy-Authorization", "proxy-authorization")


def test_options_take_precedence(tmp_path: Path) -> None:
    config = str(kubeconfig(tmp_path / "config", "https://api.example.com", **{"proxy-url": "http://other:1"}))
    environ = {"HTTPS_PROXY": "http://third:1"}
    for given, found in (
        ({}, "http://other:1"),
        ({"proxy": PROXY}, PROXY),
        ({"proxy": ""}, ""),
        ({"proxy": PROXY, "no_proxy": "example.com"}, ""),
        ({"host": "https://else.example.com", "api_key": "a-key"}, "http://third:1"),
        ({"host": "https://else.example.com", "api_key": "a-key", "no_proxy": "else.example.com"}, ""),
        ({"host": "https://else.example.com"}, "http://other:1"),
    ):
        assert proxy_options(options(kubeconfig=config, **given), environ)["proxy"] == found, given
    assert proxy_options(options(), {**environ, "K8S_AUTH_KUBECONFIG": config})["proxy"] == "http://other:1"
    by_content = yaml.safe_load(Path(config).read_text())
    assert proxy_options(options(kubeconfig=by_content), environ)["proxy"] == "http://other:1"


def test_an_invalid_kubeconfig_has_no_proxy_options(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("[")
    for path in (tmp_path / "none", tmp_path / "absent"):
        assert proxy_options(options(kubeconfig=str(path)), {"HTTPS_PROXY": PROXY}) == {}


@pytest.mark.parametrize("proxy", ["socks5://me:PLANTED@proxy:1080", "http://[::1", "http://"])
def test_a_proxy_that_is_not_spoken_to_by_http(tmp_path: Path, proxy: str) -> None:
    config = str(kubeconfig(tmp_path / "config", "https://api.example.com", **{"proxy-url": proxy}))
    with pytest.raises(KServeError, match="is not one that is spoken to by HTTP") as caught:
        proxy_options(options(kubeconfig=config), {})
    assert caught.value.reason == "InvalidOption" and "PLANTED" not in str(caught.value)
