# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting one version of a model into an object store: what differs, and in which order it is changed.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_folder import LocalFile

# Written last and taken away first, so that a version that has it is whole.
MARKER = "metadata.json"

# Amazon S3 user guide, "General purpose bucket naming rules"; other stores follow them.
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it: size in bytes, and ETag without its quotes."""

    size: int
    etag: str


class BucketMissing(KServeError):
    """The bucket is not there; in check mode an earlier task may be about to create it."""


class ObjectStore(Protocol):
    """One bucket. Every method raises KServeError with a sentence for people."""

    def create(self) -> None:
        """Make the bucket."""

    def list(self, prefix: str) -> dict[str, StoredObject]:
        """Return the objects below the prefix by their full key."""

    def sha256(self, key: str) -> str | None:
        """Return the sha256 that was stored with an object, or None."""

    def upload(self, files: Mapping[str, LocalFile]) -> None:
        """Store each file under its key, together with its sha256; return when all are there."""

    def remove(self, key: str) -> None:
        """Remove an object; one that is already gone is no error."""


@dataclass(frozen=True)
class Target:
    """Where a version lives; refuses names that would not be one segment of a key."""

    bucket: str
    name: str
    version: str

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket) or ".." in self.bucket:
            raise KServeError(
                f"The bucket name {self.bucket!r} is not valid; "
                "use 3 to 63 lower-case letters, digits, dots and hyphens."
            )
        for option, value in (("name", self.name), ("version", self.version)):
            if not _SEGMENT.fullmatch(value):
                raise KServeError(
                    f"The {option} {value!r} is not valid; use letters, digits, dots, hyphens and underscores, "
                    "and begin with a letter or digit."
                )

    @property
    def prefix(self) -> str:
        """The version's keys begin with this; the slash keeps version 1 apart from version 10."""
        return f"{self.name}/{self.version}/"

    @property
    def uri(self) -> str:
        """What an InferenceService takes as its storageUri."""
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class Plan:
    """Names below the version's prefix, each list sorted; withdraw: the marker must go before the rest."""

    upload: list[str]
    remove: list[str]
    unchanged: list[str]
    withdraw: bool

    @property
    def changed(self) -> bool:
        """Whether the store would look different afterwards."""
        return bool(self.upload or self.remove)


def compare(files: Sequence[LocalFile], stored: Mapping[str, StoredObject], equal: Iterable[str], purge: bool) -> Plan:
    """Say what has to be done so that the store holds the folder.

    :param files: the folder's files.
    :param stored: what the store holds, by name below the prefix.
    :param equal: names of files whose stored content is known to be the same.
    :param purge: whether objects that the folder lacks are removed.
    """
    local = {file.name for file in files}
    unchanged = local & set(equal)
    upload = local - unchanged
    remove = set(stored) - local if purge else set()
    # While other files change under a marker that stays, a reader would take a mixture for a whole version.
    withdraw = MARKER in stored and bool((upload | remove) - {MARKER}) and (MARKER in local or purge)
    if withdraw and MARKER in local:
        unchanged.discard(MARKER)
        upload.add(MARKER)
    return Plan(sorted(upload), sorted(remove), sorted(unchanged), withdraw)


@dataclass(frozen=True)
class Published:
    """What was done, or in check mode would be. before and after: size and ETag by name."""

    plan: Plan
    bytes_sent: int
    before: dict[str, StoredObject]
    after: dict[str, StoredObject]
    warning: str | None = None

    def result(self, target: Target) -> dict[str, Any]:
        """Return the module's result; diff shows key, size and ETag of each object on a line of its own."""
        return {
            "changed": self.plan.changed,
            "uri": target.uri,
            "uploaded": self.plan.upload,
            "removed": self.plan.remove,
            "unchanged": self.plan.unchanged,
            "bytes_sent": self.bytes_sent,
            "diff": {"before": _lines(target, self.before), "after": _lines(target, self.after)},
        }


def _lines(target: Target, objects: Mapping[str, StoredObject]) -> str:
    return "".join(f"{target.prefix}{name} {stored.size} {stored.etag}\n" for name, stored in sorted(objects.items()))


def publish(
    store: ObjectStore,
    target: Target,
    files: Sequence[LocalFile],
    *,
    purge: bool,
    check_mode: bool,
    create_bucket: bool = False,
) -> Published:
    """Bring one version in the store to what the folder holds; with create_bucket make its bucket if need be.

    A re-run over an unchanged folder costs one listing.

    :raises KServeError: the store refuses, or what it holds afterwards is not what was sent.
    """
    warning = None
    try:
        before = _below(store.list(target.prefix), target.prefix)
    except BucketMissing as error:
        before = {}
        if check_mode:
            warning = f"{error} Check mode goes on as if it were empty."
        elif create_bucket:
            store.create()
        else:
            raise
    equal = [file.name for file in files if _same(store, target.prefix + file.name, file, before.get(file.name))]
    plan = compare(files, before, equal, purge)
    if plan.changed and not check_mode:
        _apply(store, target.prefix, {file.name: file for file in files}, plan)

    sent = [file for file in files if file.name in plan.upload]
    after = {name: stored for name, stored in before.items() if name not in plan.remove}
    after.update({file.name: StoredObject(file.size, file.etag) for file in sent})
    return Published(plan, sum(file.size for file in sent), before, after, warning)


def _below(listing: Mapping[str, StoredObject], prefix: str) -> dict[str, StoredObject]:
    # Consoles create empty objects that end in a slash to show a folder; they are no part of a model.
    return {key.removeprefix(prefix): stored for key, stored in listing.items() if not key.endswith("/")}


def _same(store: ObjectStore, key: str, file: LocalFile, stored: StoredObject | None) -> bool:
    if stored is None or stored.size != file.size:
        return False
    # Under SSE-KMS and SSE-C an ETag is no digest, and other clients cut other parts: then, and
    # only then, one more request asks for the sha256 stored with the object.
    return stored.etag == file.etag or store.sha256(key) == file.sha256


def _apply(store: ObjectStore, prefix: str, files: Mapping[str, LocalFile], plan: Plan) -> None:
    if plan.withdraw:
        store.remove(prefix + MARKER)
    content = {prefix + name: files[name] for name in plan.upload if name != MARKER}
    if content:
        store.upload(content)
    for name in plan.remove:
        if name != MARKER or not plan.withdraw:
            store.remove(prefix + name)
    if content:
        _verify(store, prefix, content)
    if MARKER in plan.upload:
        store.upload({prefix + MARKER: files[MARKER]})


def _verify(store: ObjectStore, prefix: str, content: Mapping[str, LocalFile]) -> None:
    stored = store.list(prefix)
    for key, file in content.items():
        if not _same(store, key, file, stored.get(key)):
            raise KServeError(
                f"The store does not hold {key} as it was sent; check that nothing else writes to "
                f"{file.path} or to this version, and run again."
            )
