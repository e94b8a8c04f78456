# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of one bucket, as the batch program needs them."""

from __future__ import annotations

import io
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .errors import BatchError

ATTEMPTS = 5
BLOCK = 8 * 2**20


class Objects(Protocol):
    """One bucket; every method raises botocore's errors where the store cannot be reached."""

    def get(self, key: str) -> bytes | None:
        """An object's content, or None where there is none."""

    def size(self, key: str, etag: str) -> int:
        """The size of an object in bytes; BatchError where it is gone, or no longer the one with this ETag."""

    def read(self, key: str, etag: str, start: int, size: int) -> bytes:
        """So many bytes of an object from start on; BatchError as for size."""

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""

    def remove(self, key: str) -> None:
        """Remove an object; one that is already gone is no error."""


class Bucket:
    """The Objects of a bucket; endpoint, region, keys and authorities are taken from the variables of AWS's tools."""

    def __init__(self, name: str) -> None:
        self._name = name
        # Several stores besides AWS refuse checksums that no request needs.
        config = Config(
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = boto3.client("s3", config=config)

    def get(self, key: str) -> bytes | None:
        """See Objects."""
        try:
            content: bytes = self._client.get_object(Bucket=self._name, Key=key)["Body"].read()
        except ClientError as error:
            if _code(error) in ("NoSuchKey", "404"):
                return None
            raise
        return content

    def size(self, key: str, etag: str) -> int:
        """See Objects."""
        try:
            return int(self._client.head_object(Bucket=self._name, Key=key, IfMatch=_quoted(etag))["ContentLength"])
        except ClientError as error:
            raise _changed(key, error) from error

    def read(self, key: str, etag: str, start: int, size: int) -> bytes:
        """See Objects."""
        try:
            answer = self._client.get_object(
                Bucket=self._name, Key=key, IfMatch=_quoted(etag), Range=f"bytes={start}-{start + size - 1}"
            )
        except ClientError as error:
            raise _changed(key, error) from error
        content: bytes = answer["Body"].read()
        return content

    def put(self, key: str, content: bytes) -> None:
        """See Objects."""
        self._client.put_object(Bucket=self._name, Key=key, Body=content)

    def remove(self, key: str) -> None:
        """See Objects."""
        self._client.delete_object(Bucket=self._name, Key=key)


class ObjectFile(io.RawIOBase):
    """An object as a file that is read in any order."""

    def __init__(self, objects: Objects, key: str, etag: str) -> None:
        super().__init__()
        self._objects, self._key, self._etag = objects, key, etag
        self._size = objects.size(key, etag)
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, and return it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end; all that is left without a number."""
        left = max(0, self._size - self._at)
        size = left if size is None or size < 0 else min(size, left)
        if not size:
            return b""
        content = self._objects.read(self._key, self._etag, self._at, size)
        self._at += len(content)
        return content


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _changed(key: str, error: ClientError) -> Exception:
    """Name the errors that another try meets again."""
    if _code(error) in ("PreconditionFailed", "412"):
        return BatchError(f"The file {key} was changed while it was read: run again, for the file as it is now.")
    if _code(error) in ("NoSuchKey", "404"):
        return BatchError(f"There is no file {key} in the bucket any more: put it there, and run again.")
    return error
