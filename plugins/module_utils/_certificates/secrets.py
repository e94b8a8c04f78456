# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping a certificate authority and the certificates it has issued in Secrets of a cluster.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common import atomic_file
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import MASK, short
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Kind, Manifest, Target

from . import pki
from .pki import Pair

# The field manager of the role certificates, which deletes what this module has applied.
_FIELD_MANAGER = "hashfoundry.kserve.certificates"
_LABEL, _MANAGER = "app.kubernetes.io/managed-by", "hashfoundry.kserve"
_TYPE = "kubernetes.io/tls"
_ATTEMPTS = 5  # as many runs as may begin at once, with some to spare
_LONGEST_VALIDITY = 36500  # days; the time of a certificate ends with the year 9999
# A key in PEM, whole or from any line on, or in base64 once more. No name is that long without a dot or a hyphen.
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END|$)|[A-Za-z0-9+/]{40,}=*", re.DOTALL)
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Place:
    """Where a Secret is."""

    namespace: str
    secret: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.secret}"


@dataclass(frozen=True)
class Authority:
    """The authority as it is wanted; days: how long a new one is valid."""

    place: Place
    common_name: str
    days: int


@dataclass(frozen=True)
class Wanted:
    """A certificate as it is wanted; days: how long a new one is valid."""

    place: Place
    dns_names: tuple[str, ...]
    days: int


@dataclass(frozen=True)
class Request:
    """All that is wanted; renew_days: with fewer days left, a certificate is renewed."""

    authority: Authority
    certificates: tuple[Wanted, ...]
    renew_days: int


class _TakenError(Exception):
    """Another run has created a Secret that was absent; place: which."""

    def __init__(self, place: Place) -> None:
        super().__init__(str(place))
        self.place = place


@dataclass(frozen=True)
class _Held:
    """A Secret as the cluster has it; pair: None when it cannot be read."""

    pair: Pair | None
    ca_certificate: str | None
    version: str


def request(ca: Mapping[str, Any], certificates: Iterable[Mapping[str, Any]], renew_days: int) -> Request:
    """Return the module's options of these names, checked.

    :raises KServeError: one of them cannot be met.
    """
    authority = Authority(_place(ca), ca["common_name"], ca["days"])
    if not 0 < len(authority.common_name) <= pki.LONGEST_COMMON_NAME:
        raise KServeError(
            f"common_name of ca must have 1 to {pki.LONGEST_COMMON_NAME} characters.", reason="InvalidOption"
        )
    wanted = tuple(Wanted(_place(entry), pki.dns_names(entry["dns_names"]), entry["days"]) for entry in certificates)
    if renew_days < 0:
        raise KServeError(
            "renew_days is less than 0; give the number of days before the end to renew at.", reason="InvalidOption"
        )
    entries: list[Authority | Wanted] = [authority, *wanted]
    places = [entry.place for entry in entries]
    for entry in entries:
        if places.count(entry.place) > 1:
            raise KServeError(
                f"Secret {entry.place} is requested more than once; give each certificate a Secret of its own.",
                reason="InvalidOption",
            )
        if not renew_days < entry.days <= _LONGEST_VALIDITY:
            raise KServeError(
                f"The certificate in {entry.place} would be valid for {entry.days} days; let days be more than "
                f"renew_days, which is {renew_days}, and at most {_LONGEST_VALIDITY}.",
                reason="InvalidOption",
            )
    return Request(authority, wanted, renew_days)


def write_ca_certificate(path: Path, certificate: str, check_mode: bool) -> bool:
    """Have the file hold the authority's certificate, and return whether it did not.

    :param certificate: in PEM.
    :raises KServeError: the file cannot be read or written.
    """
    try:
        return atomic_file.write_if_changed(path, certificate.encode(), check_mode, mode=0o644, folder_mode=0o777)
    except OSError as error:
        raise KServeError(
            f"ca_file {path} cannot be written ({error.strerror}); name another place.", reason="FileNotWritable"
        ) from None


def _place(entry: Mapping[str, Any]) -> Place:
    for option in ("namespace", "secret"):
        if not _NAME.fullmatch(entry[option]):
            raise KServeError(
                f"{entry[option]!r} cannot be a {option}; use lower case letters, digits, hyphens and dots.",
                reason="InvalidOption",
            )
    return Place(entry["namespace"], entry["secret"])


def reconcile(api: ApplyApi, wanted: Request, now: datetime, check_mode: bool) -> dict[str, Any]:
    """Issue what is due and return the module's result.

    :param now: the time, with a time zone.
    :raises KServeError: a Secret is not managed by this module, or the cluster refuses. Before the first write, every
        Secret has been read and none was another's.
    """
    reconciled: dict[Place, str] = {}
    for _attempt in range(_ATTEMPTS):
        try:
            return _reconciled(api, wanted, now, check_mode, reconciled)
        except _TakenError as error:
            # Another run has created it since it was read. Its authority is as good, and there must be only one.
            taken = error
    raise _conflict(taken.place)


def _reconciled(
    api: ApplyApi, wanted: Request, now: datetime, check_mode: bool, reconciled: dict[Place, str]
) -> dict[str, Any]:
    """Issue what is due.

    :param reconciled: why Secrets were written, also by earlier attempts of this run.
    :raises _TakenError: a Secret that was absent is there.
    """
    soon = now + timedelta(days=wanted.renew_days)
    authority = wanted.authority
    held = {place: _read(api, place) for place in (authority.place, *(entry.place for entry in wanted.certificates))}

    ca_held = held[authority.place]
    ca_reason = _authority_renewal_reason(ca_held, authority.common_name, soon)
    ca = ca_held.pair if ca_held else None
    if ca_reason and not check_mode:
        ca = _due_authority(authority, ca if ca_reason == pki.EXPIRES_SOON else None, now)
        _write(api, authority.place, pki.data(ca, ca.certificate), ca_held)
        reconciled[authority.place] = ca_reason
    planned = None if ca_reason and check_mode else ca
    changes = [_Change(authority.place, ca_held, planned, (), ca_reason or reconciled.get(authority.place))]

    for entry in wanted.certificates:
        leaf_held = held[entry.place]
        reason = _certificate_renewal_reason(leaf_held, ca, entry.dns_names, soon, ca_reason)
        leaf = leaf_held.pair if leaf_held and not reason else None
        if reason and ca and not check_mode:
            leaf = pki.issue(ca, entry.dns_names, entry.days, now)
            _write(api, entry.place, pki.data(leaf, ca.certificate), leaf_held)
            reconciled[entry.place] = reason
        changes.append(_Change(entry.place, leaf_held, leaf, entry.dns_names, reason or reconciled.get(entry.place)))
    return _result(changes, ca)


def _authority_renewal_reason(held: _Held | None, common_name: str, soon: datetime) -> str | None:
    return pki.authority_renewal_reason(held.pair, common_name, soon) if held else "absent"


def _due_authority(wanted: Authority, before: Pair | None, now: datetime) -> Pair:
    """Return the authority to write; before: the one that it continues, since clients trust that."""
    if before is not None:
        return pki.renewed_authority(before, wanted.days, now)
    return pki.new_authority(wanted.common_name, wanted.days, now)


def _certificate_renewal_reason(
    held: _Held | None, ca: Pair | None, names: Sequence[str], soon: datetime, ca_reason: str | None
) -> str | None:
    """Return why a certificate is due, or None; ca_reason: why the authority was, or would be, written."""
    if held is None:
        return "absent"
    if ca is None or ca_reason:
        return "the authority is renewed" if ca_reason == pki.EXPIRES_SOON else "the authority is new"
    if reason := pki.certificate_renewal_reason(held.pair, ca.certificate, names, soon):
        return reason
    return None if held.ca_certificate == pki.pem(ca.certificate) else "ca.crt is of another authority"


@dataclass(frozen=True)
class _Change:
    """What has become of a Secret; after: None when check mode has kept it from being issued."""

    place: Place
    held: _Held | None
    after: Pair | None
    names: tuple[str, ...]
    reason: str | None

    @property
    def action(self) -> str:
        return "issued" if self.reason else "unchanged"

    def entry(self) -> dict[str, Any]:
        certificate = self.after.certificate if self.after else None
        return {
            "namespace": self.place.namespace,
            "secret": self.place.secret,
            "dns_names": list(self.names),
            "not_after": pki.not_after(certificate) if certificate else None,
            "fingerprint_sha256": pki.fingerprint(certificate) if certificate else None,
            "action": self.action,
            "reason": self.reason or "",
        }

    def diff(self) -> dict[str, Any]:
        before = _public(self.held.pair) if self.held else {}
        planned = {"subject": None, "dns_names": list(self.names), "not_after": None, "fingerprint_sha256": None}
        header = f"Secret {self.place}"
        after = _public(self.after) if self.after else planned
        return {"before_header": header, "after_header": header, "before": before, "after": after}


def _public(pair: Pair | None) -> dict[str, Any]:
    if pair is None:
        return {}
    certificate = pair.certificate
    return {
        "subject": pki.subject(certificate),
        "dns_names": pki.names_of(certificate),
        "not_after": pki.not_after(certificate),
        "fingerprint_sha256": pki.fingerprint(certificate),
    }


def _result(changes: Sequence[_Change], ca: Pair | None) -> dict[str, Any]:
    return {
        "changed": any(change.reason for change in changes),
        "ca_certificate": pki.pem(ca.certificate) if ca else "",
        "ca_action": changes[0].action,
        "ca_reason": changes[0].reason or "",
        "certificates": [change.entry() for change in changes[1:]],
        "diff": [change.diff() for change in changes if change.reason],
    }


def _read(api: ApplyApi, place: Place) -> _Held | None:
    try:
        secret = api.get(_target(place, {}).path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    labels = secret["metadata"].get("labels") or {}
    if labels.get(_LABEL) != _MANAGER:
        raise KServeError(
            f"Secret {place} exists already and is not managed by this module; name another Secret, or give "
            f"this one the label {_LABEL}={_MANAGER} to have it overwritten.",
            reason="SecretNotManaged",
        )
    if secret.get("type") != _TYPE:
        raise KServeError(
            f"Secret {place} is of type {secret.get('type')}, and that of a certificate is {_TYPE}; name another "
            "Secret.",
            reason="SecretTypeMismatch",
        )
    content = secret.get("data") or {}
    pair = pki.parse(content)
    return _Held(pair, pki.text(content, "ca.crt"), str(secret["metadata"].get("resourceVersion") or ""))


def _target(place: Place, content: Mapping[str, Any], version: str = "") -> Target:
    metadata = {"name": place.secret, "namespace": place.namespace, "labels": {_LABEL: _MANAGER}}
    if version:
        metadata["resourceVersion"] = version
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": _TYPE, "data": content}
    return Target(Manifest(body, "this module"), Kind("secrets", namespaced=True))


def _write(api: ApplyApi, place: Place, content: Mapping[str, Any], held: _Held | None) -> None:
    """Apply a Secret, and create its namespace if it does not exist.

    A Secret that was read is taken over only as it was read, and one that was absent is not taken over at all.

    :raises _TakenError: another run has created it meanwhile.
    """
    try:
        version = held.version if held else _created(api, place, content)
        _apply(api, _target(place, content, version), force=True)
    except ApiError as error:
        raise _refused(place, error) from None


def _created(api: ApplyApi, place: Place, content: Mapping[str, Any]) -> str:
    """Create a Secret, and return its version. Two applies of one field manager would not exclude each other."""
    target = _target(place, content)

    def create() -> str:
        return str(json.loads(api.post(target.collection, target.manifest.body))["metadata"]["resourceVersion"])

    try:
        try:
            return create()
        except ApiError as error:
            if error.status != 404:
                raise
            _apply(api, _namespace(place.namespace), force=False)
            return create()
    except ApiError as error:
        if error.status == 409 and "already exists" in error.text:
            raise _TakenError(place) from None
        raise


def _conflict(place: Place) -> KServeError:
    return KServeError(f"Secret {place} was changed by another client meanwhile; run again.", reason="SecretConflict")


def _refused(place: Place, error: ApiError) -> KServeError:
    if error.status == 401:
        return KServeError(str(error), **error.result)
    if error.status in (404, 409):
        return _conflict(place)
    if "being terminated" in error.text:
        return KServeError(
            f"Namespace {place.namespace} is being deleted; run again when it is gone.", reason="NamespaceTerminating"
        )
    # A webhook may repeat what it refuses, and what was there before. This comes before anything is cut off, since the
    # rest of a key would be harder to tell.
    message = short(_KEY.sub(MASK, error.text)).rstrip(".")
    advice = "; grant it to the user of the kubeconfig or api_key" if error.lacks_permission else ""
    return KServeError(
        f"Secret {place} is not applied, the API server answers {error.status}: {message}{advice}.",
        reason="APIServerRejected",
    )


def _apply(api: ApplyApi, target: Target, force: bool) -> None:
    api.apply(target.path, target.manifest.body, fieldManager=_FIELD_MANAGER, force=str(force).lower())


def _namespace(name: str) -> Target:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return Target(Manifest(body, "this module"), Kind("namespaces", namespaced=False))
