# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket of an S3-compatible store: what the collection asks of one, whoever answers.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

# Amazon S3 user guide, "General purpose bucket naming rules"; other stores follow them.
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")

Buffer: TypeAlias = "bytes | memoryview"


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it: size in bytes, and ETag without its quotes, or empty."""

    size: int
    etag: str


@dataclass(frozen=True)
class Part:
    """A part of an unfinished upload: size in bytes, ETag without its quotes, and sha256 in base64 where it is kept."""

    size: int
    etag: str
    checksum: str | None = None


class BucketMissing(KServeError):
    """The bucket is not there; in check mode an earlier task may be about to create it."""

    REASON = "BucketNotFound"


class AlreadyThere(KServeError):
    """An object that was to be new is there."""

    REASON = "ObjectExists"


class UploadGone(KServeError):
    """An unfinished upload is no longer there: another has finished it or given it up."""

    REASON = "ConcurrentRun"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The upload of {key} was ended by another; see that only one run writes to this version, and run again."
        )


class ObjectStore(Protocol):
    """One bucket. Every method may be called from several threads, and raises KServeError with a sentence for people.

    A sha256 is hexadecimal; the store refuses content that does not have it.
    """

    @property
    def requests(self) -> int:
        """How many requests were made, each retry counted."""

    def create(self) -> None:
        """Make the bucket."""

    def objects(self, prefix: str) -> dict[str, StoredObject]:
        """Return the objects below the prefix by their full key."""

    def folders(self, prefix: str) -> list[str]:
        """Return the names that stand between the prefix and the next slash."""

    def get(self, key: str) -> bytes | None:
        """Return an object's content, or None where there is none."""

    def read(self, key: str, start: int, size: int) -> bytes:
        """Return this many bytes of an object, from start on."""

    def put(self, key: str, content: Buffer, sha256: str, *, new: bool = False) -> str:
        """Store an object and return its ETag; with new, raise AlreadyThere when there is one."""

    def remove(self, key: str) -> None:
        """Remove an object; one that is already gone is no error."""

    def unfinished(self, prefix: str) -> dict[str, list[str]]:
        """Return the ids of unfinished uploads below the prefix by full key, the newest first."""

    def parts(self, key: str, upload: str) -> dict[int, Part]:
        """Return the parts of an unfinished upload by their number; raises UploadGone."""

    def start(self, key: str) -> str:
        """Begin an upload in parts, and return its id."""

    @property
    def wants_digests(self) -> bool:
        """Whether a part needs its digest: nothing else guards it on its way, or the store keeps it."""

    def put_part(self, key: str, upload: str, number: int, content: Buffer, sha256: str | None) -> Part:
        """Store a part, whose digest is there if the store wants it; raises UploadGone."""

    def finish(self, key: str, upload: str, parts: Mapping[int, Part]) -> str:
        """Make an object of the parts and return its ETag; raises UploadGone."""

    def abort(self, key: str, upload: str) -> None:
        """Give an unfinished upload up, with its parts; one that is already gone is no error."""


def check_bucket(bucket: str) -> None:
    """Refuse what cannot be the name of a bucket."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise KServeError(
            f"The bucket name {bucket!r} is not valid; use 3 to 63 lower-case letters, digits, dots and hyphens.",
            reason="InvalidOption",
        )
