# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket of AWS, or of a store that speaks its protocol, by boto3.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any
from urllib.parse import unquote_plus

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

from .port import AlreadyThere, Buffer, Part, StoredObject, UploadGone
from .s3_client import ListingBroken, NotXML, Refused, S3Client, S3Options
from .s3_client import connect as _client

# Where the key may not list what is unfinished, or the store does not know how to.
_NOT_LISTED = ("AccessDenied", "NotImplemented", "MethodNotAllowed")
# A timeout counts for one write to the socket: what is larger goes as a file does, in many, for the sake of slow lines.
_BLOCK = 1024 * 1024


def session(options: S3Options) -> AbstractContextManager[S3Store]:
    """Reach the bucket, and close the connections at the end; see connect."""
    return closing(connect(options))


def connect(options: S3Options) -> S3Store:
    """Return the bucket; nothing is sent yet.

    :raises KServeError: the profile, endpoint or certificate bundle is not usable.
    """
    return S3Store(_client(options))


class S3Store:
    """The ObjectStore port over boto3."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        # Stores with other checksums than the required ones are few besides AWS, and several refuse them.
        self._checksums = client.options.on_aws
        self._creating = threading.Lock()
        self._created = False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def requests(self) -> int:
        """See ObjectStore."""
        return self._client.requests

    def create(self) -> None:
        """See ObjectStore; several models of one run may need it at once."""
        with self._creating:
            if not self._created:
                self._create()
            self._created = True

    def _create(self) -> None:
        region = self._client.options.region
        # AWS takes every region but its first as a constraint, and its first only without one.
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            self._client.call("create_bucket", **where)
        except Refused as refusal:
            # Another run has made it meanwhile, or this one, whose first answer was lost.
            if refusal.code != "BucketAlreadyOwnedByYou":
                raise

    def objects(self, prefix: str) -> dict[str, StoredObject]:
        """See ObjectStore; one request for each thousand objects."""
        return {
            found["Key"]: StoredObject(found["Size"], _etag(found))
            for page in self._pages(Prefix=prefix)
            for found in page.get("Contents", [])
        }

    def folders(self, prefix: str) -> list[str]:
        """See ObjectStore; one request for each thousand names and objects beside them."""
        return [
            found["Prefix"].removeprefix(prefix).rstrip("/")
            for page in self._pages(Prefix=prefix, Delimiter="/")
            for found in page.get("CommonPrefixes", [])
        ]

    def _pages(self, **which: str) -> Iterator[dict[str, Any]]:
        options = self._client.options
        try:
            pages = [*self._client.pages("list_objects_v2", **which)]
        except Refused as refusal:
            if refusal.code != "500":
                raise
            # boto3's code for what is not XML: names may contain control characters, and have to be encoded.
            pages = [_decoded(page) for page in self._client.pages("list_objects_v2", EncodingType="url", **which)]
        for page in pages:
            if not page.keys() & {"IsTruncated", "Name", "KeyCount", "Contents", "CommonPrefixes"}:
                raise NotXML(options)
            if page.get("IsTruncated") and not page.get("NextContinuationToken"):
                raise ListingBroken(options)
        yield from pages

    def get(self, key: str) -> bytes | None:
        """See ObjectStore."""
        try:
            return self._client.content(Key=key)
        except Refused as refusal:
            if refusal.code == "NoSuchKey":
                return None
            raise

    def read(self, key: str, start: int, size: int) -> bytes:
        """See ObjectStore."""
        if not size:
            return b""
        body = self._client.content(Key=key, Range=f"bytes={start}-{start + size - 1}")
        if len(body) != size:
            raise KServeError(
                f"The store gave {len(body)} bytes of {key} where {size} were asked for; run again.",
                reason="ObjectCorrupt",
            )
        return body

    def put(self, key: str, content: Buffer, sha256: str, *, new: bool = False) -> str:
        """See ObjectStore; a store that knows no conditions stores a new object as any other."""
        parameters = {"Key": key, **self._checksum(sha256)}
        condition = {"IfNoneMatch": "*"} if new else {}
        try:
            return _etag(self._client.call("put_object", Body=_body(content), **condition, **parameters))
        except Refused as refusal:
            if refusal.code == "PreconditionFailed":
                raise AlreadyThere(f"There is an object {key} already.") from None
            if not new or refusal.code != "NotImplemented":
                raise
            return _etag(self._client.call("put_object", Body=_body(content), **parameters))

    def remove(self, key: str) -> None:
        """See ObjectStore."""
        # One by one: DeleteObjects needs a checksum header on which S3-compatible stores disagree.
        self._client.call("delete_object", Key=key)

    def unfinished(self, prefix: str) -> dict[str, list[str]]:
        """See ObjectStore; none where the key may not list them, or the store does not know how to."""
        try:
            found = [
                (str(entry.get("Initiated", "")), entry["Key"], entry["UploadId"])
                for page in self._client.pages("list_multipart_uploads", Prefix=prefix)
                for entry in page.get("Uploads", [])
            ]
        except Refused as refusal:
            if refusal.code in _NOT_LISTED:
                return {}
            raise
        uploads: dict[str, list[str]] = {}
        for _initiated, key, upload in sorted(found, reverse=True):
            if key.startswith(prefix):
                uploads.setdefault(key, []).append(upload)
        return uploads

    def parts(self, key: str, upload: str) -> dict[int, Part]:
        """See ObjectStore; one request for each thousand parts, and none known where they cannot be listed."""
        try:
            with _of_upload(key):
                return {
                    part["PartNumber"]: Part(part["Size"], _etag(part), part.get("ChecksumSHA256"))
                    for page in self._client.pages("list_parts", Key=key, UploadId=upload)
                    for part in page.get("Parts", [])
                }
        except Refused as refusal:
            if refusal.code in _NOT_LISTED:
                return {}
            raise

    def start(self, key: str) -> str:
        """See ObjectStore."""
        checksum = {"ChecksumAlgorithm": "SHA256"} if self._checksums else {}
        return str(self._client.call("create_multipart_upload", Key=key, **checksum)["UploadId"])

    @property
    def wants_digests(self) -> bool:
        """See ObjectStore; where they are not kept, boto3 signs what TLS does not guard."""
        return self._checksums

    def put_part(self, key: str, upload: str, number: int, content: Buffer, sha256: str | None) -> Part:
        """See ObjectStore."""
        checksum = self._checksum(sha256)
        with _of_upload(key):
            answer = self._client.call(
                "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=_body(content), **checksum
            )
        return Part(len(content), _etag(answer), checksum.get("ChecksumSHA256"))

    def finish(self, key: str, upload: str, parts: Mapping[int, Part]) -> str:
        """See ObjectStore."""
        if not all(part.etag for part in parts.values()):  # they are needed, and the answers had none
            found = self.parts(key, upload)
            parts = {number: part if part.etag else found.get(number, part) for number, part in parts.items()}
        listed = [
            {"PartNumber": number, "ETag": f'"{part.etag}"'}
            | ({"ChecksumSHA256": part.checksum} if part.checksum else {})
            for number, part in sorted(parts.items())
        ]
        with _of_upload(key):
            return _etag(
                self._client.call(
                    "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": listed}
                )
            )

    def abort(self, key: str, upload: str) -> None:
        """See ObjectStore."""
        try:
            self._client.call("abort_multipart_upload", Key=key, UploadId=upload)
        except Refused as refusal:
            if refusal.code != "NoSuchUpload":
                raise

    def _checksum(self, sha256: str | None) -> dict[str, str]:
        """Have AWS keep the digest with the object, where it can be read without the object."""
        if not self._checksums or sha256 is None:
            return {}
        return {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}


@contextmanager
def _of_upload(key: str) -> Iterator[None]:
    """Send a request about an unfinished upload; raises UploadGone."""
    try:
        yield
    except Refused as refusal:
        # A part is not there, or another, where a second run finishes or sends the same upload.
        if refusal.code in ("NoSuchUpload", "InvalidPart"):
            raise UploadGone(key) from None
        raise


class _View(io.RawIOBase):
    """A file over a buffer that is not copied."""

    def __init__(self, content: Buffer) -> None:
        self._content = memoryview(content)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        block = self._content[self._at : self._at + len(buffer)]
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def _body(content: Buffer) -> Any:
    return _View(content) if len(content) > _BLOCK or not isinstance(content, bytes) else content


def _etag(answer: Mapping[str, Any]) -> str:
    # A proxy that compresses makes it a weak one.
    return str(answer.get("ETag") or "").removeprefix("W/").strip('"')


def _decoded(page: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page whose names are encoded, as it was asked for, with the names themselves."""
    if page.get("EncodingType") != "url":
        return {**page}
    names = {"Contents": "Key", "CommonPrefixes": "Prefix"}
    return {
        **page,
        **{
            entries: [{**entry, name: unquote_plus(entry[name])} for entry in page.get(entries, [])]
            for entries, name in names.items()
        },
    }
