# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option prometheus of a module: where Prometheus is, and what it requires.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.header_secrets import (
    key_fault,
    password_fault,
    reject_faults,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import (
    reject_credentials,
    without_credentials,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server

from .sources import ProxyApi, Service, Source, Url

ARGUMENT: dict[str, Any] = {
    "type": "dict",
    "options": {
        "url": {"type": "str"},
        "namespace": {"type": "str", "default": "monitoring"},
        "service": {"type": "str", "default": "http:prometheus-operated:9090"},
        "labels": {"type": "dict", "default": {}},
        "token": {"type": "str", "no_log": True},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "ca_path": {"type": "path"},
        "ca_content": {"type": "str"},
        "validate_certs": {"type": "bool", "default": True},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path"},
        "proxy": {"type": "str"},
        "proxy_headers": {"type": "dict", "options": {"proxy_basic_auth": {"type": "str", "no_log": True}}},
        "timeout": {"type": "float", "default": 10},
    },
    "mutually_exclusive": [("ca_path", "ca_content"), ("token", "username")],
    "required_together": [("username", "password")],
    "required_by": {"client_key": "client_cert", "token": "url", "username": "url"},
}
# The options that are URLs, and where credentials are set instead of in them.
_URLS = {"url": "set token, or username and password", "proxy": "set proxy_headers.proxy_basic_auth"}
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SERVER = (
    *("url", "ca_path", "ca_content", "validate_certs", "client_cert", "client_key", "proxy", "proxy_headers"),
    "timeout",
)


def server(given: Mapping[str, Any] | None) -> http_server.Server | None:
    """Return the server at the URL, or None if there is none.

    :param given: the option.
    :raises KServeError: it is not valid.
    """
    if not given:
        return None
    for name, cure in _URLS.items():
        reject_credentials(f"prometheus.{name}", given[name] or "", cure)
    user = given["username"] or ""
    reject_faults(
        key_fault("prometheus.token", given["token"]),
        password_fault("prometheus.username", user),
        "prometheus.username has a colon, which ends it in the header; correct it" if ":" in user else None,
        password_fault("prometheus.password", given["password"]),
        password_fault(
            "prometheus.proxy_headers.proxy_basic_auth", (given["proxy_headers"] or {}).get("proxy_basic_auth")
        ),
    )
    if not 0 < given["timeout"] <= 300:
        raise KServeError(
            f"prometheus.timeout is {given['timeout']:g}; give more than 0 and at most 300 seconds.",
            reason="InvalidOption",
        )
    for name in given["labels"]:
        if not _LABEL.fullmatch(str(name)):
            raise KServeError(
                f"prometheus.labels has {name!r}, which is no name of a label; correct it.", reason="InvalidOption"
            )
    if not given["url"]:
        return None
    chosen = {name: given[name] for name in _SERVER}
    return http_server.server(scheme="", host=None, port=None, address=None, **chosen)


def source(given: Mapping[str, Any] | None, at: http_server.Server | None, api: ProxyApi) -> Source | None:
    """Return Prometheus, or None if there is none.

    :param at: what server has returned.
    :param api: the cluster.
    """
    if not given:
        return None
    if at is None:
        return Service(api, given["namespace"], given["service"], given["timeout"])
    user = f"{given['username']}:{given['password']}" if given["username"] else None
    return Url(at, given["token"], user)


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module's options as they may be shown, apart from those with no_log."""
    given = options.get("prometheus")
    if not isinstance(given, Mapping):
        return {**options}
    urls = {name: without_credentials(value) for name in _URLS if isinstance(value := given.get(name), str)}
    return {**options, "prometheus": {**given, **urls}}
