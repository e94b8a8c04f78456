# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alertmanager's configuration, in which each secret is a file that Kubernetes mounts from a Secret.

A field such as ``api_url: {secret: {name: slack, key: url}}`` becomes Alertmanager's ``api_url_file``. This file is
private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import has_credentials

FOLDER = "/etc/alertmanager/secrets"  # where the Prometheus Operator mounts the Secrets of spec.secrets
_REFERENCE = "{secret: {name: <name of the Secret>, key: <its key>}}"
# The fields of Alertmanager's receivers that contain secrets. All but the last have a twin with _file.
_FIELDS = frozenset(
    (
        *("alert_source_token", "api_key", "api_secret", "app_token", "auth_password", "auth_secret", "bearer_token"),
        *("bot_token", "client_secret", "credentials", "password", "routing_key", "service_key", "token", "token_id"),
        *("user_key", "webhook_url", "secret_key"),
    )
)
# These contain one only in some receivers, and may be given either way in the others.
_URLS = frozenset(("api_url", "url"))
_SECRET_URLS = frozenset((("slack_configs", "api_url"),))
_NOT_SECRET = frozenset((("victorops_configs", "routing_key"),))
_FILES = (_FIELDS | _URLS | {"username", "key", "cert", "ca"}) - {"secret_key"}


@dataclass(frozen=True)
class Config:
    """content: Alertmanager's configuration; secrets: the Secrets that it refers to, in order."""

    content: dict[str, Any]
    secrets: tuple[str, ...]

    @classmethod
    def of(
        cls,
        receivers: Sequence[Mapping[str, Any]],
        route: Mapping[str, Any],
        inhibit_rules: Sequence[Mapping[str, Any]],
    ) -> Config:
        """Return the configuration.

        :raises KServeError: a route names no receiver, or a receiver contains a secret or refers to none.
        """
        names = [str(receiver.get("name") or "") for receiver in receivers]
        if not all(names) or len(set(names)) != len(names):
            raise _invalid("each entry of monitoring_receivers needs a name of its own")
        for name in _receivers_of(route):
            if name not in names:
                raise _invalid(
                    f"monitoring_route names the receiver {name or 'of no name'}, and monitoring_receivers has "
                    f"{', '.join(names) or 'none'}; add it, or correct the name"
                )
        found: set[str] = set()
        written = [
            {key: _written(value, key, f"receiver {receiver['name']}", key, found) for key, value in receiver.items()}
            for receiver in receivers
        ]
        content = {"receivers": written, "route": dict(route), "inhibit_rules": [dict(rule) for rule in inhibit_rules]}
        return cls(content, tuple(sorted(found)))


def _receivers_of(route: Mapping[str, Any], inherited: str = "") -> Iterator[str]:
    name = str(route.get("receiver") or inherited)
    yield name
    for below in route.get("routes") or ():
        yield from _receivers_of(below, name)


def _written(value: Any, kind: str, place: str, key: str, found: set[str]) -> Any:
    """Return a value with its references as files. kind: the kind of receiver, such as slack_configs."""
    if isinstance(value, Mapping):
        written = {}
        for name, below in value.items():
            if isinstance(below, Mapping) and set(below) == {"secret"}:
                written[f"{name}_file"] = _file(below["secret"], f"{place}, {name}", name, found)
            else:
                _refuse_plain(below, kind, name, place)
                written[name] = _written(below, kind, place, name, found)
        return written
    if isinstance(value, list):
        return [_written(entry, kind, place, key, found) for entry in value]
    return value


def _file(reference: Any, place: str, name: str, found: set[str]) -> str:
    if name not in _FILES:
        raise _invalid(f"{place}: Alertmanager cannot read this field from a file, so a Secret is not possible here")
    secret, key = (reference.get("name"), reference.get("key")) if isinstance(reference, Mapping) else (None, None)
    if not (isinstance(secret, str) and secret and isinstance(key, str) and key) or "/" in secret + key:
        raise _invalid(f"{place}: a reference is {_REFERENCE}; correct it")
    found.add(secret)
    return f"{FOLDER}/{secret}/{key}"


def _refuse_plain(value: Any, kind: str, name: str, place: str) -> None:
    secret = (name in _FIELDS and (kind, name) not in _NOT_SECRET) or (kind, name) in _SECRET_URLS
    if secret and value is not None and not isinstance(value, Mapping):
        raise KServeError(
            f"{place}: {name} is a secret and is written in the inventory; put it into a Secret in the namespace of "
            f"Alertmanager, and write {name}: {_REFERENCE}.",
            reason="AlertSecretNotReferenced",
        )
    if name.endswith("url") and isinstance(value, str) and (has_credentials(value) or redact(value) != value):
        cure = f"put the URL into a Secret, and write {name}: {_REFERENCE}" if name in _URLS else "remove them"
        raise KServeError(
            f"{place}: the URL in {name} contains credentials and is written in the inventory; {cure}.",
            reason="AlertSecretNotReferenced",
        )


def _invalid(what: str) -> KServeError:
    return KServeError(f"Alertmanager's configuration is not valid: {what}.", reason="InvalidAlertRouting")
