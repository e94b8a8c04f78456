# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operations on the objects of a bucket that batch predictions need."""

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
    """One bucket; every method raises the errors of botocore if the object store cannot be reached."""

    def get(self, key: str) -> bytes | None:
        """The content of an object, or None if it is missing."""

    def size(self, key: str, etag: str) -> int:
        """The size of an object in bytes; BatchError if it is missing or has another ETag."""

    def read(self, key: str, etag: str, start: int, size: int) -> bytes:
        """Read size bytes of an object from start on; BatchError as for size."""

    def put(self, key: str, content: bytes) -> None:
        """Upload an object."""

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is not an error."""


class Bucket:
    """The Objects of a bucket; endpoint, region, credentials and CA come from the environment variables of AWS."""

    def __init__(self, name: str) -> None:
        self._name = name
        # Several S3-compatible object stores reject optional checksums.
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
            raise _translated(key, error) from error

    def read(self, key: str, etag: str, start: int, size: int) -> bytes:
        """See Objects."""
        try:
            response = self._client.get_object(
                Bucket=self._name, Key=key, IfMatch=_quoted(etag), Range=f"bytes={start}-{start + size - 1}"
            )
        except ClientError as error:
            raise _translated(key, error) from error
        content: bytes = response["Body"].read()
        return content

    def put(self, key: str, content: bytes) -> None:
        """See Objects."""
        self._client.put_object(Bucket=self._name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        """See Objects."""
        self._client.delete_object(Bucket=self._name, Key=key)


class ObjectFile(io.RawIOBase):
    """An object as a seekable file."""

    def __init__(self, objects: Objects, key: str, etag: str) -> None:
        super().__init__()
        self._objects, self._key, self._etag = objects, key, etag
        self._size = objects.size(key, etag)
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position, and return it."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read at most size bytes; by default all that remain."""
        remaining = max(0, self._size - self._position)
        size = remaining if size is None or size < 0 else min(size, remaining)
        if not size:
            return b""
        content = self._objects.read(self._key, self._etag, self._position, size)
        self._position += len(content)
        return content


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _translated(key: str, error: ClientError) -> Exception:
    """The error, as a BatchError if a retry does not fix it."""
    if _code(error) in ("PreconditionFailed", "412"):
        return BatchError(f"The file {key} was changed while it was read: run again with the new ETag.")
    if _code(error) in ("NoSuchKey", "404"):
        return BatchError(f"The file {key} is missing in the bucket: upload it, and run again.")
    return error
