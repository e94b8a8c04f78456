# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3
from kubernetes.client.exceptions import ApiException

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import connect
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, Unreachable

PATH = "/api/v1/namespaces/n/configmaps/c"


class Answer:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.released = False

    def release_conn(self) -> None:
        self.released = True


class Client:
    """The ApiClient of the Kubernetes client, and the wrapper of kubernetes.core."""

    def __init__(self, answer: Answer | Exception) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    @property
    def client(self) -> Client:
        return self

    def call_api(self, path: str, method: str, **options: Any) -> Answer:
        self.calls.append((path, method, options))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def refused(status: int, message: str) -> ApiException:
    error = ApiException(status=status, reason="x")
    error.body = json.dumps({"message": message})
    return error


def test_an_apply_request_is_valid_and_counted() -> None:
    client = Client(Answer(b'{"kind": "ConfigMap"}'))
    api = connect(lambda: client)
    assert api.apply(PATH, {"data": {}}, fieldManager="m", force="true") == {"kind": "ConfigMap"}
    path, method, options = client.calls[0]
    assert (path, method, options["body"]) == (PATH, "PATCH", {"data": {}})
    assert options["header_params"]["Content-Type"] == "application/apply-patch+yaml"
    assert options["query_params"] == [("fieldManager", "m"), ("force", "true")]
    api.get(PATH)
    assert api.requests == 2
    assert isinstance(client.answer, Answer) and client.answer.released


def test_an_error_message_is_complete() -> None:
    long = 'conflicts with "kubectl" using v1: ' + " ".join(f".data.key{number}" for number in range(200))
    with pytest.raises(ApiError) as caught:
        connect(lambda: Client(refused(409, long))).apply(PATH, {})
    assert (caught.value.status, caught.value.text) == (409, long)


def test_other_errors_are_reported_as_by_the_client() -> None:
    with pytest.raises(Unreachable):
        connect(lambda: Client(urllib3.exceptions.ProtocolError("gone"))).apply(PATH, {})
    with pytest.raises(Unreachable, match="cut short"):
        connect(lambda: Client(Answer(b'{"kind"'))).apply(PATH, {})
    with pytest.raises(ApiError, match="does not accept the credentials"):
        connect(lambda: Client(refused(401, "Unauthorized"))).apply(PATH, {})


def test_a_deletion_has_the_uid_and_discovery_requests_all_groups() -> None:
    client = Client(Answer(b'{"items": []}'))
    api = connect(lambda: client)
    api.delete(PATH, "uid-1", dry_run=True)
    assert api.discovery("/api") == {"items": []}
    api.delete(PATH, "uid-1")
    (path, method, options), (discovered, _get, parameters), (_path, _method, real) = client.calls
    assert (path, method) == (PATH, "DELETE")
    whole = {"propagationPolicy": "Background", "preconditions": {"uid": "uid-1"}}
    assert options["body"] == {**whole, "dryRun": ["All"]} and real["body"] == whole
    assert discovered == "/api" and "as=APIGroupDiscoveryList" in parameters["header_params"]["Accept"]
