# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alertmanager's configuration, in which each secret is a file that Kubernetes mounts from a Secret.

A field such as ``api_url: {secret: {name: slack, key: url}}`` becomes Alertmanager's ``api_url_file``. Such an entry in
the ``secrets`` of an HTTP header becomes one of its ``files``. This file is private to the collection and may change at
any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import has_credentials

FOLDER = "/etc/alertmanager/secrets"  # where the Prometheus Operator mounts the Secrets of spec.secrets
_REFERENCE = "{secret: {name: <name of the Secret>, key: <its key>}}"
# The fields of Alertmanager's receivers that contain secrets. All but the last three have a twin with _file.
_FIELDS = frozenset(
    (
        *("alert_source_token", "api_key", "api_secret", "app_token", "auth_password", "auth_secret", "bearer_token"),
        *("bot_token", "client_secret", "credentials", "password", "routing_key", "service_key", "token", "token_id"),
        *("user_key", "webhook_url", "secret_key", "client_certificate_key", "proxy_connect_header"),
    )
)
# These may contain one, and have a twin with _file.
_URLS = frozenset((("slack_configs", "api_url"), ("webhook_configs", "url"), ("incidentio_configs", "url")))
_SECRET_FIELDS = frozenset((("slack_configs", "api_url"),))
_NOT_SECRET = frozenset((("victorops_configs", "routing_key"),))
_FILES = (_FIELDS | {"username", "key", "cert", "ca"}) - {"secret_key", "proxy_connect_header"}
# Mappings of names that the user chooses to values, of which any may be a secret.
_FREE = frozenset(("endpoint_params",))
# Names of headers and of parameters of which redact knows too little.
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[-_])(?:key|auth|authentication|credentials?|signature|assertion|token|secret)(?:[-_]?\d+)?$"
)
# User and password in a URL, in the text of a message.
_USER_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s:@<>{}]*:[^/?#\s@<>{},]+@")
# As Kubernetes validates them: IsDNS1123Subdomain and IsConfigMapKey.
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"(?!\.\.)(?!\.\Z)[-._A-Za-z0-9]+")
_LONGEST = 253


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

        :raises KServeError: a part has another form than Alertmanager's, a route names no receiver, or a receiver
            contains a secret or refers to none.
        """
        receivers = _mappings(receivers, "monitoring_receivers")
        inhibit_rules = _mappings(inhibit_rules, "monitoring_inhibit_rules")
        names = [_name(receiver.get("name"), "the name of an entry of monitoring_receivers") for receiver in receivers]
        if not all(names) or len(set(names)) != len(names):
            raise _invalid("each entry of monitoring_receivers needs a name of its own")
        for name in _receivers_of(route):
            if name not in names:
                raise _invalid(
                    f"monitoring_route names the receiver {name or 'of no name'}, and monitoring_receivers has "
                    f"{', '.join(names) or 'none'}; add it, or correct the name"
                )
        found: set[str] = set()
        written = [_receiver(receiver, found) for receiver in receivers]
        content = {"receivers": written, "route": dict(route), "inhibit_rules": [dict(rule) for rule in inhibit_rules]}
        return cls(content, tuple(sorted(found)))


def _mappings(value: Any, place: str) -> Sequence[Mapping[str, Any]]:
    """Return a list of mappings. None, which Ansible makes of an empty value, is an empty one, as to Alertmanager."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(entry, Mapping) for entry in value):
        raise _invalid(f"{place} is not a list of mappings; correct it")
    return value


def _name(value: Any, place: str) -> str:
    if isinstance(value, Mapping | list | tuple):
        raise _invalid(f"{place} is not a string; correct it")
    return str(value or "")


def _receivers_of(route: Any, inherited: str = "") -> Iterator[str]:
    if not isinstance(route, Mapping):
        raise _invalid("monitoring_route is not a mapping; correct it")
    name = _name(route.get("receiver"), "a receiver in monitoring_route") or inherited
    yield name
    for below in _mappings(route.get("routes"), "routes in monitoring_route"):
        yield from _receivers_of(below, name)


def _receiver(receiver: Mapping[str, Any], found: set[str]) -> dict[str, Any]:
    place = f"receiver {receiver['name']}"
    integrations = {kind: value for kind, value in receiver.items() if kind != "name"}
    for kind, value in integrations.items():
        _mappings(value, f"{kind} of {place}")
    return {
        "name": receiver["name"],
        **{kind: _written(value, str(kind), place, str(kind), found) for kind, value in integrations.items()},
    }


def _written(value: Any, kind: str, place: str, key: str, found: set[str]) -> Any:
    """Return the value of a field with its references as files. kind: the kind of receiver, such as slack_configs."""
    if isinstance(value, Mapping):
        written: dict[Any, Any] = {}
        for given, below in value.items():
            name = str(given)
            if name == "http_headers":
                written[name] = _headers(below, place, found)
            elif _is_reference(below):
                if not _has_file(kind, name):
                    raise _no_file(f"{place}, {name}")
                written[f"{name}_file"] = _file(below, f"{place}, {name}", found)
            else:
                _reject_plain(below, kind, name, key, place)
                written[given] = _written(below, kind, place, name, found)
        return written
    if isinstance(value, list | tuple):
        if any(map(_is_reference, value)):
            raise _no_file(f"{place}, {key}")
        return [_written(entry, kind, place, key, found) for entry in value]
    _reject_in_url(value, kind, key, place)
    return value


def _headers(headers: Any, place: str, found: set[str]) -> dict[str, Any]:
    """Return http_headers, whose secrets become files beside those that are given."""
    place = f"{place}, http_headers"
    headers = {} if headers is None else headers
    if not isinstance(headers, Mapping) or not all(isinstance(one, Mapping | None) for one in headers.values()):
        raise _invalid(f"{place} is not a mapping of mappings with values, secrets and files; correct it")
    written = {}
    for name, given in headers.items():
        header = given or {}
        parts = {part: header.get(part) or [] for part in ("values", "secrets", "files")}
        if set(header) - set(parts) or not all(isinstance(part, list | tuple) for part in parts.values()):
            raise _invalid(f"{place}, {name} is not a mapping of the lists values, secrets and files; correct it")
        for value in parts["values"]:
            if _looks_secret(str(name), value):
                raise _plain(f"{place}, {name}", "values", f"secrets: [{_REFERENCE}]")
            if has_credentials(str(value)):
                raise _plain(f"{place}, {name}", "values", f"secrets: [{_REFERENCE}]")
        if not all(map(_is_reference, parts["secrets"])):
            raise _plain(f"{place}, {name}", "secrets", f"secrets: [{_REFERENCE}]")
        files = [_file(secret, f"{place}, {name}", found) for secret in parts.pop("secrets")]
        parts["files"] = [*parts["files"], *files]
        written[name] = {part: list(entries) for part, entries in parts.items() if entries}
    return written


def _is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secret"}


def _file(reference: Mapping[str, Any], place: str, found: set[str]) -> str:
    named = reference["secret"]
    secret, key = (named.get("name"), named.get("key")) if isinstance(named, Mapping) else (None, None)
    if not isinstance(named, Mapping) or set(named) != {"name", "key"} or not (_is_text(secret) and _is_text(key)):
        raise _invalid(f"{place}: a reference is {_REFERENCE}; correct it")
    if not _SUBDOMAIN.fullmatch(secret):
        raise _invalid(f"{place}: a reference has a name that no Secret can have; set it to the name of the Secret")
    if not _KEY.fullmatch(key):
        raise _invalid(f"{place}: a reference has a key that no Secret can have; set it to a key of the Secret")
    found.add(secret)
    return f"{FOLDER}/{secret}/{key}"


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST


def _reject_plain(value: Any, kind: str, name: str, parent: str, place: str) -> None:
    """Fail if a field of a secret has a value in place of a reference."""
    secret = (
        (name in _FIELDS and (kind, name) not in _NOT_SECRET)
        or (kind, name) in _SECRET_FIELDS
        or (parent, name) == ("tls_config", "key")
        or (parent in _FREE and _looks_secret(name, value))
    )
    if secret and value is not None:
        if _has_file(kind, name) and isinstance(value, Mapping):
            raise _invalid(f"{place}, {name}: a reference is {_REFERENCE}; correct it")
        raise _plain(place, name, f"{name}: {_REFERENCE}" if _has_file(kind, name) else None)


def _has_file(kind: str, name: str) -> bool:
    """Return whether Alertmanager reads a field of a kind of receiver from a file, too."""
    return name in _FILES or (kind, name) in _URLS


def _reject_in_url(value: Any, kind: str, name: str, place: str) -> None:
    """Fail if a value is a URL with a secret in it, or a text that has a URL with user and password."""
    text = str(value)
    is_url = name.endswith("url")
    if (has_credentials(text) or redact(text) != text) if is_url else _USER_IN_TEXT.search(text):
        cure = f"{name}: {_REFERENCE}" if _has_file(kind, name) else None
        raise KServeError(
            f"{place}: {name} has a secret in a URL, and is written in the inventory; "
            + (_by_reference(cure) if cure else "remove it from the URL."),
            reason="AlertSecretNotReferenced",
        )


def _looks_secret(name: str, value: Any) -> bool:
    """Return whether a value is a secret by its name, such as X-Api-Key, or by its form."""
    text = f"{name}: {value}"
    return value is not None and (bool(_SECRET_NAME.search(name)) or redact(text) != text)


def _plain(place: str, name: str, cure: str | None) -> KServeError:
    """Return the error about a secret in the inventory. cure: how the field is written; None without a way."""
    todo = _by_reference(cure) if cure else "remove it, since Alertmanager cannot read this field from a file."
    return KServeError(
        f"{place}: {name} is a secret and is written in the inventory; {todo}", reason="AlertSecretNotReferenced"
    )


def _by_reference(field: str) -> str:
    return f"put it into a Secret in the namespace of Alertmanager, and write {field}."


def _no_file(place: str) -> KServeError:
    return _invalid(f"{place}: Alertmanager cannot read this field from a file, so a Secret is not possible here")


def _invalid(what: str) -> KServeError:
    return KServeError(f"Alertmanager's configuration is not valid: {what}.", reason="InvalidAlertRouting")
