# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading from a Kubernetes API server: objects, logs, a proxied service, and watches.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import redact, short

with suppress(ImportError):  # kubernetes.core's module class says so before anything here is called
    import urllib3
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0
# How long the server keeps a watch open. A connection that died without a word is found out when this is over.
WATCH_SECONDS = 60


class ApiError(KServeError):
    """The API server's refusal; status: the HTTP status, text: what it said."""

    def __init__(self, message: str, status: int, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class Unreachable(KServeError):
    """No answer from the API server."""


class KubeApi(Protocol):
    """Reads from one API server; every method raises ApiError or Unreachable."""

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the JSON at a path."""

    def text(self, path: str, **query: Any) -> str:
        """Return the text at a path."""

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield events of type and object until the server ends the watch."""


class RestApi:
    """The KubeApi port over the Kubernetes client's ApiClient, with its authentication."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """See KubeApi."""
        answer: dict[str, Any] = json.loads(self.text(path, **query))
        return answer

    def text(self, path: str, **query: Any) -> str:
        """See KubeApi."""
        with _Explained(path):
            response = self._open(path, READ_TIMEOUT, query)
            try:
                return bytes(response.data).decode("utf-8", errors="replace")
            finally:
                response.release_conn()

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """See KubeApi."""
        query = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": WATCH_SECONDS}
        with _Explained(path):
            response = self._open(path, WATCH_SECONDS + READ_TIMEOUT, query)
            try:
                for line in response:
                    if line.strip():
                        yield json.loads(line)
            finally:
                response.close()

    def _open(self, path: str, read_timeout: float, query: dict[str, Any]) -> Any:
        return self._client.call_api(
            path,
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(CONNECT_TIMEOUT, read_timeout),
        )


class _Explained:
    """Turns the client's errors into one sentence. A class, since a generator may be left at any point."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ApiException):
            raise refused(error, self._path) from None
        if isinstance(error, (urllib3.exceptions.HTTPError, OSError)):
            raise unreachable(error) from None
        if isinstance(error, json.JSONDecodeError):
            raise Unreachable("The API server's answer was cut short.") from None


def said(error: Any) -> str:
    """Return the message in the body of an ApiException, or the body where it is no Status; in full."""
    body = error.body or b""
    text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body)
    with suppress(ValueError, AttributeError):
        text = json.loads(text).get("message", text)
    return text


def refused(error: Any, path: str) -> ApiError:
    """Return the error for an ApiException of the Kubernetes client."""
    status, text = int(error.status or 0), short(said(error))
    if status == 401:
        message = "The API server does not accept the credentials; check the kubeconfig's user, or api_key."
    elif status == 403:
        message = f"The credentials lack a right: {text or path}; grant it to the user of the kubeconfig or api_key."
    else:
        message = f"The API server answered {status} to {path}: {text or error.reason}"
    return ApiError(message, status, text)


def unreachable(error: BaseException) -> Unreachable:
    """Return the error for a connection that failed."""
    reason = getattr(error, "reason", None) or error
    text = redact(" ".join(str(reason).split()))
    if "certificate" in text.lower():
        return Unreachable(f"The API server's certificate is not accepted ({text}); set ca_cert to its authority.")
    return Unreachable(
        f"The cluster's API server cannot be reached ({text}); check kubeconfig, context, host and proxy."
    )


def connect(get_client: Callable[[], Any]) -> RestApi:
    """Return the API server that kubernetes.core's client factory finds.

    :param get_client: get_api_client of kubernetes.core with the module's options.
    :raises KServeError: there is no usable configuration, or the server does not answer.
    """
    try:
        # K8SClient, its dynamic client, and the ApiClient of that.
        return RestApi(get_client().client.client)
    except ApiException as error:
        raise refused(error, "/apis") from None
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise unreachable(error) from None
    except (KServeError, SystemExit):
        raise
    except Exception as error:
        # kubernetes.core raises CoreException, the client ConfigException, and both let others through: all at
        # this point are about the configuration.
        text = redact(" ".join(str(error).split())).removeprefix("Could not create API client: ")
        no_config = isinstance(error, ConfigException) or isinstance(error.__cause__, ConfigException)
        what = "There is no usable Kubernetes configuration" if no_config else "The connection cannot be set up"
        raise KServeError(f"{what} ({text}); set kubeconfig and context, or host and api_key.") from None
