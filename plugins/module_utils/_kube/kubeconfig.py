# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kubeconfig with a token of a ServiceAccount that ends by itself.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common import atomic_file
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

from .client import ApiError, KubeApi

with suppress(ImportError):  # kubernetes.core's module class says so before anything here is called
    import yaml

# The least and the most seconds that the API server accepts (TokenRequestSpec of authentication.k8s.io/v1).
SHORTEST, LONGEST = 600, 2**32
# What the parts of a foreign token, kubeconfig or answer may lead to, of any type and depth.
_NOT_READABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, RecursionError)

_CLUSTER = "cluster"


@dataclass(frozen=True)
class Wanted:
    """The account whose token is wanted.

    seconds: how long a new token is to be valid; renew_seconds: with fewer left, another is asked for.
    """

    namespace: str
    name: str
    path: Path
    seconds: int
    renew_seconds: int

    def renewal(self, granted: int) -> int:
        """Return with how many seconds left another token is due, in proportion to those that were granted.

        Where the API server grants less than it is asked for, each token could be due at once.
        """
        return min(self.renew_seconds, self.renew_seconds * granted // self.seconds)


@dataclass(frozen=True)
class Server:
    """The API server as clients reach it; ca: the authority of its certificate as PEM text, or nothing."""

    host: str
    ca: str


def server(configuration: Any) -> Server:
    """Return the API server of a Kubernetes client's configuration.

    :raises KServeError: the file with its authority cannot be read.
    """
    path = configuration.ssl_ca_cert
    try:
        return Server(configuration.host, Path(path).read_text(encoding="utf-8") if path else "")
    except OSError as error:
        raise KServeError(
            f"{path} with the API server's authority cannot be read ({error.strerror}).", reason="FileNotReadable"
        ) from None


def reconcile(api: KubeApi, wanted: Wanted, at: Server, now: datetime, check_mode: bool) -> dict[str, Any]:
    """Request a token where the file contains no valid one, and return the module's result.

    :param now: the time, with a time zone.
    :raises KServeError: an option cannot be met, there is no such account, or the file cannot be written.
    """
    if not 0 <= wanted.renew_seconds < wanted.seconds or not SHORTEST <= wanted.seconds <= LONGEST:
        raise KServeError(
            f"A token of {wanted.seconds} seconds cannot be renewed with {wanted.renew_seconds} left; let "
            f"duration be at least {SHORTEST}, at most {LONGEST} and more than renew_before.",
            reason="InvalidOption",
        )
    account = f"/api/v1/namespaces/{wanted.namespace}/serviceaccounts/{wanted.name}"
    try:
        uid = api.get(account)["metadata"]["uid"]
    except ApiError as error:
        if error.status != 404:
            raise
        if check_mode:  # what would make it has not made it either
            return _result(wanted, "absent", None)
        raise KServeError(
            f"There is no ServiceAccount {wanted.namespace}/{wanted.name}; create it first, or name another.",
            reason="ServiceAccountNotFound",
        ) from None
    held, reason = _held(wanted, at, uid, now)
    if not reason or check_mode:
        return _result(wanted, reason, held)
    token_request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    answer = api.post(f"{account}/token", {**token_request, "spec": {"expirationSeconds": wanted.seconds}})
    try:
        token = str(json.loads(answer)["status"]["token"])
        granted = _Lifetime.of(_claims(token))
    except _NOT_READABLE:
        raise KServeError(
            f"The API server's token for ServiceAccount {wanted.namespace}/{wanted.name} does not say for how long it "
            "is valid; check host, and what is between the controller and the API server.",
            reason="TokenNotReadable",
        ) from None
    _write(wanted.path, yaml.safe_dump(_kubeconfig(wanted, at, token), sort_keys=False))
    return _result(wanted, reason, granted)


def warnings(wanted: Wanted, result: Mapping[str, Any]) -> list[str]:
    """Return a sentence if the token of a result is valid for a shorter time than was asked for."""
    granted = result["seconds"]
    if granted is None or granted >= wanted.seconds:
        return []
    return [
        f"The token of ServiceAccount {wanted.namespace}/{wanted.name} is valid for {granted} seconds, as the API "
        f"server has granted, and not for {wanted.seconds}; it is renewed with fewer than {wanted.renewal(granted)} "
        f"left. Set duration to at most {granted}."
    ]


@dataclass(frozen=True)
class _Lifetime:
    """When a token ends, and for how many seconds it was granted."""

    end: datetime
    seconds: int

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> _Lifetime:
        """Return what the claims say; raises one of _NOT_READABLE if they are no times."""
        end, start = (datetime.fromtimestamp(claims[name], UTC) for name in ("exp", "iat"))
        if any(isinstance(claims[name], bool) for name in ("exp", "iat")) or end <= start:
            raise ValueError(claims)
        return cls(end, int((end - start).total_seconds()))


def _result(wanted: Wanted, reason: str, held: _Lifetime | None) -> dict[str, Any]:
    return {
        "changed": bool(reason),
        "path": str(wanted.path),
        "reason": reason,
        "expires": held.end.strftime("%Y-%m-%dT%H:%M:%SZ") if held else None,
        "seconds": held.seconds if held else None,
    }


def _held(wanted: Wanted, at: Server, uid: str, now: datetime) -> tuple[_Lifetime | None, str]:
    """Return the lifetime of the file's token, and why another is due, or nothing.

    :raises KServeError: the file has the credentials of others.
    """
    try:
        found = yaml.safe_load(wanted.path.read_text(encoding="utf-8"))
        if _others(found, wanted):
            raise KServeError(
                f"{wanted.path} is a kubeconfig with other users or clusters, which would be lost; set path to another "
                "file.",
                reason="OtherKubeconfig",
            )
        token = str(found["users"][0]["user"]["token"])
        claims = _claims(token)
        held = _Lifetime.of(claims)
        owner = claims["kubernetes.io"]["serviceaccount"]["uid"]
        mode = wanted.path.stat().st_mode
    except FileNotFoundError:
        return None, "absent"
    except (*_NOT_READABLE, yaml.YAMLError):
        return None, "unreadable"
    if owner != uid:
        return None, "of another account"
    if held.end < now + timedelta(seconds=wanted.renewal(held.seconds)):
        return None, "about to expire"
    if found != _kubeconfig(wanted, at, token):
        return None, "of another address"
    return (None, "open to others") if mode & 0o077 else (held, "")


def _others(found: Any, wanted: Wanted) -> bool:
    """Say whether a kubeconfig has what this module has not written: other users, or clusters of other names."""
    if not isinstance(found, Mapping):
        return False
    named = (("users", wanted.name), ("clusters", _CLUSTER))
    entries = [(entry, name) for key, name in named for entry in found.get(key) or ()]
    return any(not isinstance(entry, Mapping) or entry.get("name") != name for entry, name in entries)


def _claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a token, which only the API server can verify."""
    part = token.split(".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _kubeconfig(wanted: Wanted, at: Server, token: str) -> dict[str, Any]:
    authority = {"certificate-authority-data": base64.b64encode(at.ca.encode()).decode()} if at.ca else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _CLUSTER, "cluster": {"server": at.host, **authority}}],
        "users": [{"name": wanted.name, "user": {"token": token}}],
        "contexts": [{"name": wanted.name, "context": {"cluster": _CLUSTER, "user": wanted.name}}],
        "current-context": wanted.name,
    }


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, text.encode())
    except OSError as error:
        raise KServeError(
            f"{path} cannot be written ({error.strerror}); set path to another file.", reason="FileNotWritable"
        ) from None
