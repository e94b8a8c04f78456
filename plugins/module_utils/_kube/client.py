# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a Kubernetes API server: objects, logs, a proxied service, and watches.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from typing import Any, Protocol

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.header_secrets import (
    key_fault,
    password_fault,
    reject_faults,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact, short

from .proxy import proxy_options

KUBERNETES_IMPORT_ERROR: str | None = None
try:
    import urllib3
    from kubernetes.client import Configuration
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
except ImportError:
    KUBERNETES_IMPORT_ERROR = traceback.format_exc()

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0
# How long the server keeps a watch open. A connection that died without a word is found out when this is over.
WATCH_SECONDS = 60
# How many are kept open, for the watches and for the models that are asked at once.
CONNECTIONS = 32
JSON = "application/json, */*"


# The alerts by which a server ends a handshake because of the client's certificate, as OpenSSL names them.
_CLIENT_CERTIFICATE = re.compile(r"ALERT_.*CERTIFICATE|ALERT_UNKNOWN_CA")
# As the API server's authorizer says it, and its admission plug-in OwnerReferencesPermissionEnforcement.
_RBAC = re.compile(r'(?:\S+(?: "[^"]*")? is )?(?:forbidden: )?(?:User .+ cannot |cannot set blockOwnerDeletion )')
_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}


class ApiError(KServeError):
    """The API server's refusal; status: the HTTP status, text: its message, complete except for secrets."""

    def __init__(self, message: str, status: int, text: str = "") -> None:
        super().__init__(message, reason=_REASONS.get(status, "APIServerRejected"))
        self.status = status
        self.text = text

    @property
    def lacks_permission(self) -> bool:
        """Whether RBAC denies the request, and not an admission plug-in or a webhook, which may use any words."""
        return self.status == 403 and bool(_RBAC.match(self.text))


class Unreachable(KServeError):
    """No answer from the API server."""

    REASON = "APIServerUnreachable"


class TooManyFiles(Unreachable):
    """No request can be sent, since this process may open no more files and connections."""

    REASON = "TooManyOpenFiles"


class AnswerTimeout(Unreachable):
    """The API server, or what it was asked to reach, has taken the request and not answered in time."""

    REASON = "APIServerTimeout"


class KubeApi(Protocol):
    """Speaks to one API server; every method raises ApiError or Unreachable."""

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the JSON at a path."""

    def text(self, path: str, **query: Any) -> str:
        """Return the text at a path."""

    def post(self, path: str, body: Any) -> str:
        """Send JSON to a path and return the text of the answer."""

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield events of type and object until the server ends the watch."""

    def end_watches(self) -> None:
        """End every open watch, as if its connection had broken."""


class RestApi:
    """The KubeApi port over the Kubernetes client's ApiClient, with its authentication."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._count = itertools.count()
        self._requests = 0
        self._watches: set[Any] = set()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def requests(self) -> int:
        """How many requests have been sent."""
        return self._requests

    @property
    def configuration(self) -> Any:
        """The Kubernetes client's configuration."""
        return self._client.configuration

    def close(self) -> None:
        """Close the connections; the next request opens one again, but no watch does."""
        with self._lock:
            self._closed = True
        self.end_watches()
        self._client.rest_client.pool_manager.clear()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """See KubeApi."""
        answer: dict[str, Any] = self.json("GET", path, query)
        return answer

    def text(self, path: str, **query: Any) -> str:
        """See KubeApi."""
        return self.read("GET", path, query).decode("utf-8", errors="replace")

    def post(self, path: str, body: Any) -> str:
        """See KubeApi."""
        return self.read("POST", path, {}, body, "application/json").decode("utf-8", errors="replace")

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """See KubeApi."""
        query = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": WATCH_SECONDS}
        with _TranslatedErrors(path):
            response = self._open("GET", path, query, {"Accept": JSON}, None, WATCH_SECONDS + READ_TIMEOUT)
            with self._lock:
                self._watches.add(response)
            try:
                # One that was asked for just before the end would be open for its whole time.
                for line in () if self._closed else response:
                    if line.strip():
                        yield json.loads(line)
            finally:
                with self._lock:
                    self._watches.discard(response)
                    response.close()

    def end_watches(self) -> None:
        """See KubeApi.

        A thread that waits for the server to say something wakes up only when the connection ends.
        """
        # Under the lock, so that no number of a closed file is used, which may be another's by now.
        with self._lock:
            for response in self._watches:
                # One that the server has just ended has no descriptor: http.client then has no file to ask.
                with (
                    suppress(OSError, ValueError, AttributeError),
                    socket.socket(fileno=os.dup(response.fileno())) as connection,
                ):
                    connection.shutdown(socket.SHUT_RDWR)

    def json(self, *request: Any, **options: Any) -> Any:
        """Send a request as read does, and return the JSON of the answer."""
        body = self.read(*request, **options)
        with _TranslatedErrors(request[1]):
            return json.loads(body)

    def read(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any = None,
        content_type: str | None = None,
        read_timeout: float = READ_TIMEOUT,
        accept: str = JSON,
    ) -> bytes:
        """Send a request and return the answer's body.

        :param body: sent as JSON of the given content type.
        :param read_timeout: for how many seconds the server may be silent.
        :param accept: the content type of the answer.
        :raises ApiError: the server refuses.
        :raises Unreachable: no answer came.
        """
        headers = {"Accept": accept, **({"Content-Type": content_type} if content_type else {})}
        with _TranslatedErrors(path):
            response = self._open(method, path, query, headers, body, read_timeout)
            try:
                return bytes(response.data)
            finally:
                response.release_conn()

    def _open(
        self, method: str, path: str, query: Mapping[str, Any], headers: Mapping[str, str], body: Any, timeout: float
    ) -> Any:
        """Send a request and return the response, whose body has not been read."""
        # A counter's next is one step, in whichever thread.
        self._requests = next(self._count) + 1
        return self._client.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params=dict(headers),
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(CONNECT_TIMEOUT, timeout),
        )


class _TranslatedErrors:
    """Turns the client's errors into one sentence. A class, since a generator may be left at any point."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ApiException):
            raise api_error(error, self._path) from None
        if isinstance(error, (urllib3.exceptions.HTTPError, OSError)):
            raise connection_error(error) from None
        if isinstance(error, json.JSONDecodeError):
            raise Unreachable("The API server's answer was cut short.") from None


def error_message(error: Any) -> str:
    """Return the message in the body of an ApiException, or the body where it is no Status; in full."""
    body = error.body or b""
    text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body)
    with suppress(ValueError, AttributeError):
        text = json.loads(text).get("message", text)
    return text


def api_error(error: Any, path: str) -> ApiError:
    """Return the error for an ApiException of the Kubernetes client."""
    status, whole = int(error.status or 0), " ".join(redact(error_message(error)).split())
    text = short(whole)
    if status == 401:
        message = "The API server does not accept the credentials; check the kubeconfig's user, or api_key."
    elif status == 403:
        message = (
            f"The credentials lack a permission: {text or path}; grant it to the user of the kubeconfig or api_key."
        )
    else:
        message = f"The API server answered {status} to {path}: {text or error.reason}"
    return ApiError(message, status, whole)


def connection_error(error: BaseException) -> Unreachable:
    """Return the error for a connection that failed."""
    # Of ssl.SSLError it is a string.
    cause = getattr(error, "reason", None)
    reason = cause if isinstance(cause, BaseException) else error
    behind = list(_behind(error))
    if {found.errno for found in behind if isinstance(found, OSError)} & {errno.EMFILE, errno.ENFILE}:
        return TooManyFiles(
            "This process has too many open files and connections to reach the cluster's API server; raise the limit "
            "for the user that runs Ansible (ulimit -n)."
        )
    if isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        return AnswerTimeout("The API server has not answered in time; see whether it is overloaded.")
    text = " ".join(redact(str(reason)).split())
    # By what OpenSSL raises, since a host in the text may be named after certificates, too.
    said = [found for found in behind if isinstance(found, ssl.SSLError)]
    if any(_CLIENT_CERTIFICATE.search(str(getattr(found, "reason", ""))) for found in said):
        return Unreachable(
            f"The API server does not accept the client's certificate ({text}); check client_cert and client_key, or "
            "the user of the kubeconfig.",
            reason="ClientCertificateNotAccepted",
        )
    if any(isinstance(found, ssl.SSLCertVerificationError) for found in said):
        return Unreachable(
            f"The API server's certificate is not accepted ({text}); set ca_cert to its authority.",
            reason="CertificateNotTrusted",
        )
    return Unreachable(
        f"The cluster's API server cannot be reached ({text}); check kubeconfig, context, host and proxy."
    )


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised for."""
    left, seen = [error], set()
    while left:
        found = left.pop()
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            # urllib3 wraps an error in another that is not raised itself.
            wrapped = (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args)
            left.extend(entry for entry in wrapped if isinstance(entry, BaseException))


def session(options: Mapping[str, Any]) -> AbstractContextManager[RestApi]:
    """Reach the API server that a module's options name, for many threads; see connect.

    :param options: among others those of kubernetes.core's AUTH_ARG_SPEC.
    """
    return closing(connect(lambda: kubernetes_core_client(options)))


def kubernetes_core_client(options: Mapping[str, Any]) -> Any:
    """Return kubernetes.core's client for a module's options."""
    headers = options["proxy_headers"] or {}
    names = {f"proxy_headers.{name}": headers.get(name) for name in ("basic_auth", "proxy_basic_auth")}
    for name in ("api_key", "username", "password"):
        # As kubernetes.core takes what is not given.
        names[name if options[name] is not None else f"K8S_AUTH_{name.upper()}"] = (
            options[name] if options[name] is not None else os.environ.get(f"K8S_AUTH_{name.upper()}")
        )
    reject_faults(
        *((key_fault if "API_KEY" in name.upper() else password_fault)(name, value) for name, value in names.items())
    )
    # What the item before in a loop has set is no default for this one.
    Configuration.set_default(None)
    given = {name: options[name] for name in AUTH_ARG_SPEC}
    try:
        return get_api_client(**{**given, **proxy_options(given, os.environ)})
    except Exception as error:
        error.add_note(_place(options))
        raise


def _place(options: Mapping[str, Any]) -> str:
    """Return where the configuration is read from, in the order of kubernetes.core and its client."""
    names = ("K8S_AUTH_KUBECONFIG", "KUBECONFIG")
    given = options["kubeconfig"] or next(filter(None, map(os.environ.get, names)), "~/.kube/config")
    return f"in {given}" if isinstance(given, str) else "in kubeconfig"


def connect(get_client: Callable[[], Any]) -> RestApi:
    """Return the API server that kubernetes.core's client factory finds, for many threads; see api_client."""
    client = api_client(get_client)
    pool = client.rest_client.pool_manager
    pool.connection_pool_kw["maxsize"] = CONNECTIONS
    # urllib3 neither waits once more for an answer that did not come in time, nor sleeps for what a Retry-After asks
    # for: whoever asks knows what else to do meanwhile.
    pool.connection_pool_kw["retries"] = urllib3.Retry(1, read=0, respect_retry_after_header=False)
    pool.clear()
    return RestApi(client)


def api_client(get_client: Callable[[], Any]) -> Any:
    """Return the ApiClient that kubernetes.core's client factory finds.

    :param get_client: get_api_client of kubernetes.core with the module's options.
    :raises KServeError: the library is not there, there is no usable configuration, or the server does not answer.
    """
    require("kubernetes", KUBERNETES_IMPORT_ERROR)
    try:
        # K8SClient, its dynamic client, and the ApiClient of that.
        return get_client().client.client
    except ApiException as error:
        raise api_error(error, "/apis") from None
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise connection_error(error) from None
    except (KServeError, SystemExit):
        raise
    except Exception as error:
        # kubernetes.core raises CoreException, the client ConfigException, and both let others through: all at
        # this point are about the configuration.
        text = " ".join(redact(str(error)).split()).removeprefix("Could not create API client: ")
        no_config = isinstance(error, ConfigException) or isinstance(error.__cause__, ConfigException)
        what = "There is no usable Kubernetes configuration" if no_config else "The connection cannot be set up"
        place = " ".join(["", *getattr(error, "__notes__", ())])
        raise KServeError(
            f"{what}{place} ({text}); set kubeconfig and context, or host and api_key.", reason="InvalidKubeconfig"
        ) from None
