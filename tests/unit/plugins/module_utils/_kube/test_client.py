# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes.client
import pytest
import urllib3
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client as kube_client

from ..scripted_server import Authority, Server


class Response:
    """The client's response with _preload_content=False."""

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        self.data = data
        self.error = error
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.data.splitlines(keepends=True)
        if self.error:
            raise self.error

    def release_conn(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Client:
    """An ApiClient with one response."""

    def __init__(self, answer: Response | Exception) -> None:
        self.answer = answer
        self.call: dict[str, Any] = {}
        self.rest_client = SimpleNamespace(pool_manager=urllib3.PoolManager())

    def call_api(self, path: str, method: str, **keywords: Any) -> Response:
        self.call = {"path": path, "method": method, **keywords}
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def refusal(status: int, body: str = "", reason: str = "Reason") -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = body.encode()
    return error


def test_a_read_is_authenticated_and_has_limits() -> None:
    client = Client(Response(b'{"items": []}'))
    assert kube_client.RestApi(client).get("/api/v1/x", labelSelector="a=b") == {"items": []}
    assert (client.call["path"], client.call["method"]) == ("/api/v1/x", "GET")
    assert client.call["query_params"] == [("labelSelector", "a=b")]
    assert client.call["auth_settings"] == ["BearerToken"]
    assert client.call["_request_timeout"] == (kube_client.CONNECT_TIMEOUT, kube_client.READ_TIMEOUT)


def test_a_watch_yields_events_as_they_arrive_and_is_closed() -> None:
    response = Response(b'{"type": "ADDED", "object": {}}\n\n{"type": "DELETED", "object": {}}\n')
    client = Client(response)
    events = kube_client.RestApi(client).watch("/api/v1/x", resourceVersion="7")
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]
    query = dict(client.call["query_params"])
    assert (query["watch"], query["resourceVersion"], query["allowWatchBookmarks"]) == ("true", "7", "true")
    # The server must end the watch before the client's read timeout.
    assert client.call["_request_timeout"][1] > query["timeoutSeconds"]
    assert response.closed


@pytest.mark.parametrize(
    "response",
    [
        Response(b'{"type": "ADDED", "object": {}}\n', urllib3.exceptions.ProtocolError("broken")),
        Response(b"", ConnectionResetError()),
        Response(b'{"type": "ADD'),
    ],
)
def test_a_broken_watch_is_unreachable(response: Response) -> None:
    with pytest.raises(kube_client.Unreachable):
        list(kube_client.RestApi(Client(response)).watch("/api/v1/x"))
    assert response.closed


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (refusal(401), 401, "does not accept the credentials"),
        (
            refusal(403, json.dumps({"message": "pods is forbidden: User x cannot list"})),
            403,
            "lack a permission: pods is",
        ),
        (refusal(404, "404 page not found\n"), 404, "answered 404 to /api/v1/x: 404 page not found"),
        (refusal(500, "[]"), 500, r"answered 500 to /api/v1/x: \[\]"),
    ],
)
def test_error_statuses(error: ApiException, status: int, says: str) -> None:
    with pytest.raises(kube_client.ApiError, match=says) as caught:
        kube_client.RestApi(Client(error)).get("/api/v1/x")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (urllib3.exceptions.MaxRetryError(None, "/", OSError("Connection refused")), r"reached \(Connection refused\)"),
        (
            urllib3.exceptions.SSLError(ssl.SSLCertVerificationError(1, "certificate verify failed")),
            "certificate is not accepted.*set ca_cert",
        ),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "certificate is not accepted.*set ca_cert"),
        # Whatever the host is called.
        (OSError("certificates.example.com: Connection refused"), "cannot be reached.*check kubeconfig"),
        (OSError("alert-certificate.example.com: Connection refused"), "cannot be reached.*check kubeconfig"),
        (OSError("proxy says: certificate verify failed"), "cannot be reached.*check kubeconfig"),
        (OSError("no route"), "cannot be reached"),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "Read timed out."), "has not answered in time"),
    ],
)
def test_failed_connections(error: Exception, says: str) -> None:
    with pytest.raises(kube_client.Unreachable, match=says):
        kube_client.RestApi(Client(error)).text("/api/v1/x")


@pytest.mark.parametrize(
    ("trusts", "reason"), [(False, "CertificateNotTrusted"), (True, "ClientCertificateNotAccepted")]
)
def test_certificates_that_are_not_accepted(tmp_path: Path, trusts: bool, reason: str) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.sign("localhost"))
    if trusts:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.path)
    with Server(lambda connection, _number: connection.request(), context) as server:
        configuration = kubernetes.client.Configuration()
        configuration.host = f"https://localhost:{server.port}"
        configuration.ssl_ca_cert = authority.path if trusts else None
        client = kubernetes.client.ApiClient(configuration)
        api = kube_client.connect(lambda: SimpleNamespace(client=SimpleNamespace(client=client)))
        with pytest.raises(kube_client.Unreachable) as caught:
            api.get("/version")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("status", "text", "lacks"),
    [
        (403, 'pods "iris" is forbidden: User "u" cannot get resource "pods" in API group ""', True),
        (403, 'forbidden: User "system:serviceaccount:a:b" cannot get path "/metrics"', True),
        (403, 'pods "a" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource', True),
        (403, 'admission webhook "w" denied the request: the image cannot be latest', False),
        (403, 'pods "a" is forbidden: exceeded quota: cannot', False),
        (409, 'User "u" cannot get resource "pods"', False),
    ],
)
def test_a_missing_permission_is_no_other_refusal(status: int, text: str, lacks: bool) -> None:
    assert kube_client.ApiError("x", status, text).lacks_permission is lacks


@pytest.mark.parametrize("end", ["\n", " ", "\r\n"])
@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        *((name, lambda value, name=name: {name: value}) for name in ("api_key", "username", "password")),
        *(
            (f"proxy_headers.{name}", lambda value, name=name: {"proxy_headers": {name: f"me:{value}"}})
            for name in ("basic_auth", "proxy_basic_auth")
        ),
    ],
)
def test_credentials_with_white_space_are_rejected_by_name(end: str, name: str, wrap: Any) -> None:
    options = {option: None for option in kube_client.AUTH_ARG_SPEC} | {"host": "https://127.0.0.1:1"}
    with pytest.raises(KServeError, match=f"^{name} has white space or a line end at an end") as caught:
        kube_client.session({**options, **wrap(f"PLANTED{end}")})
    assert caught.value.reason == "InvalidOption" and "PLANTED" not in str(caught.value)


def test_credentials_of_the_environment_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_AUTH_API_KEY", "PLANTED\n")
    options = {option: None for option in kube_client.AUTH_ARG_SPEC} | {"host": "https://127.0.0.1:1"}
    with pytest.raises(KServeError, match=r"^K8S_AUTH_API_KEY has white space"):
        kube_client.session(options)


def test_connect_finds_the_client_of_the_client() -> None:
    client = Client(Response(b"text"))
    api = kube_client.connect(lambda: SimpleNamespace(client=SimpleNamespace(client=client)))
    assert api.text("/x") == "text"
    # Enough connections for all threads, and the client does not wait for Retry-After.
    kept = client.rest_client.pool_manager.connection_pool_kw
    assert kept["maxsize"] == kube_client.CONNECTIONS
    assert not kept["retries"].is_retry("GET", 503, has_retry_after=True)
    assert api.requests == 1


def test_a_posted_body_is_json() -> None:
    client = Client(Response(b"text"))
    assert kube_client.RestApi(client).post("/x", {"a": 1}) == "text"
    assert (client.call["method"], client.call["body"]) == ("POST", {"a": 1})
    assert client.call["header_params"]["Content-Type"] == "application/json"


def test_a_long_error_is_kept_completely_and_shown_in_part() -> None:
    long = "no " * 400 + "password=PLANTED"
    with pytest.raises(kube_client.ApiError) as caught:
        kube_client.RestApi(Client(refusal(422, json.dumps({"message": long})))).get("/api/v1/x")
    assert len(caught.value.text) > 1000 > len(str(caught.value))
    assert "PLANTED" not in caught.value.text + str(caught.value)


def no_config() -> None:
    try:
        raise ConfigException("Invalid kube-config file. No configuration found.")
    except ConfigException as error:
        raise CoreException(f"Could not create API client: {error}") from error


def raises(error: Exception) -> Any:
    def get_client() -> None:
        raise error

    return get_client


@pytest.mark.parametrize(
    ("get_client", "says"),
    [
        (no_config, r"no usable Kubernetes configuration \(Invalid kube-config file. No configuration found.\); set"),
        (raises(ConfigException("x")), "no usable Kubernetes configuration"),
        (raises(refusal(401)), "does not accept the credentials"),
        (raises(urllib3.exceptions.MaxRetryError(None, "/", OSError("refused"))), "cannot be reached"),
        (raises(FileNotFoundError(2, "No such file", "/ca.pem")), "connection cannot be set up .*/ca.pem"),
        (raises(ValueError("token: PLANTED-TOKEN password=PLANTED")), r"password=\*+"),
    ],
)
def test_connect_reports_the_fix(get_client: Any, says: str) -> None:
    with pytest.raises(KServeError, match=says):
        kube_client.connect(get_client)
