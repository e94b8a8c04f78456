# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket of AWS, or of a store that speaks its protocol.

What each request says is in the Amazon S3 API reference, under the name of the operation.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

from .port import AlreadyThere, Buffer, Part, StoredObject, UploadGone
from .s3_client import (
    Answer,
    Refused,
    S3Client,
    S3Options,
)
from .s3_client import (
    connect as _client,
)

# Where the key may not list what is unfinished, or the store does not know how to.
_NOT_LISTED = ("AccessDenied", "NotImplemented", "MethodNotAllowed")


@contextmanager
def session(options: S3Options) -> Iterator[S3Store]:
    """Reach the bucket, and close the connections at the end; see connect."""
    client = _client(options)
    try:
        yield S3Store(client)
    finally:
        client.close()


def connect(options: S3Options) -> S3Store:
    """Return the bucket; nothing is sent yet.

    :raises KServeError: the profile, endpoint or certificate bundle is not usable.
    """
    return S3Store(_client(options))


class S3Store:
    """The ObjectStore port over signed requests."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        # Stores with other checksums than the required ones are few besides AWS, and several refuse them.
        self._checksums = client.options.on_aws

    @property
    def requests(self) -> int:
        """See ObjectStore."""
        return self._client.requests

    def create(self) -> None:
        """See ObjectStore."""
        region = self._client.options.region
        # AWS takes every region but its first as a constraint, and its first only without one.
        content = b""
        if region not in (None, "us-east-1"):
            content = _xml("CreateBucketConfiguration", [("LocationConstraint", str(region))])
        try:
            self._client.request("PUT", content=content, sha256=hashlib.sha256(content).hexdigest())
        except Refused as refusal:
            # Another run has made it meanwhile, or this one, whose first answer was lost.
            if refusal.code != "BucketAlreadyOwnedByYou":
                raise

    def objects(self, prefix: str) -> dict[str, StoredObject]:
        """See ObjectStore; one request for each thousand objects."""
        return {
            _key(page, found.findtext("Key", "")): StoredObject(
                int(found.findtext("Size", "0")), found.findtext("ETag", "").strip('"')
            )
            for page in self._pages({"prefix": prefix})
            for found in page.iter("Contents")
        }

    def folders(self, prefix: str) -> list[str]:
        """See ObjectStore; one request for each thousand names and objects beside them."""
        return [
            _key(page, found.findtext("Prefix", "")).removeprefix(prefix).rstrip("/")
            for page in self._pages({"prefix": prefix, "delimiter": "/"})
            for found in page.iter("CommonPrefixes")
        ]

    def _pages(self, query: Mapping[str, str]) -> Iterator[ElementTree.Element]:
        query = {"list-type": "2", "encoding-type": "url", **query}
        while True:
            page = self._client.request("GET", query=query).xml()
            yield page
            token = page.findtext("NextContinuationToken")
            if page.findtext("IsTruncated") != "true" or not token:
                return
            query["continuation-token"] = token

    def get(self, key: str) -> bytes | None:
        """See ObjectStore."""
        try:
            return self._client.request("GET", key).body
        except Refused as refusal:
            if refusal.code == "NoSuchKey":
                return None
            raise

    def read(self, key: str, start: int, size: int) -> bytes:
        """See ObjectStore."""
        if not size:
            return b""
        body = self._client.request("GET", key, headers={"Range": f"bytes={start}-{start + size - 1}"}).body
        if len(body) != size:
            raise KServeError(
                f"The store gave {len(body)} bytes of {key} where {size} were asked for; run again.",
                reason="ObjectDamaged",
            )
        return body

    def put(self, key: str, content: Buffer, sha256: str, *, new: bool = False) -> str:
        """See ObjectStore; a store that knows no conditions stores a new object as any other."""
        headers = self._checksum(sha256)
        try:
            condition = {"If-None-Match": "*"} if new else {}
            answer = self._client.request("PUT", key, headers=headers | condition, content=content, sha256=sha256)
        except Refused as refusal:
            if refusal.code == "PreconditionFailed":
                raise AlreadyThere(f"There is an object {key} already.") from None
            if not new or refusal.code != "NotImplemented":
                raise
            answer = self._client.request("PUT", key, headers=headers, content=content, sha256=sha256)
        return _etag(answer)

    def remove(self, key: str) -> None:
        """See ObjectStore."""
        # One by one: DeleteObjects needs a checksum header on which S3-compatible stores disagree.
        self._client.request("DELETE", key)

    def unfinished(self, prefix: str) -> dict[str, list[str]]:
        """See ObjectStore; none where the key may not list them, or the store does not know how to."""
        found: list[tuple[str, str, str]] = []
        query = {"uploads": "", "prefix": prefix, "encoding-type": "url"}
        while True:
            try:
                page = self._client.request("GET", query=query).xml()
            except Refused as refusal:
                if refusal.code in _NOT_LISTED:
                    return {}
                raise
            for entry in page.iter("Upload"):
                key = _key(page, entry.findtext("Key", ""))
                found.append((entry.findtext("Initiated", ""), key, entry.findtext("UploadId", "")))
            if page.findtext("IsTruncated") != "true":
                break
            query["key-marker"] = _key(page, page.findtext("NextKeyMarker", ""))
            query["upload-id-marker"] = page.findtext("NextUploadIdMarker", "")
        uploads: dict[str, list[str]] = {}
        for _initiated, key, upload in sorted(found, reverse=True):
            if key.startswith(prefix):
                uploads.setdefault(key, []).append(upload)
        return uploads

    def parts(self, key: str, upload: str) -> dict[int, Part]:
        """See ObjectStore; one request for each thousand parts, and none known where they cannot be listed."""
        found: dict[int, Part] = {}
        query = {"uploadId": upload}
        while True:
            try:
                page = self._of_upload("GET", key, query).xml()
            except Refused as refusal:
                if refusal.code in _NOT_LISTED:
                    return {}
                raise
            for part in page.iter("Part"):
                number = int(part.findtext("PartNumber", "0"))
                found[number] = Part(
                    int(part.findtext("Size", "0")),
                    part.findtext("ETag", "").strip('"'),
                    part.findtext("ChecksumSHA256") or None,
                )
            if page.findtext("IsTruncated") != "true":
                return found
            query["part-number-marker"] = page.findtext("NextPartNumberMarker", "")

    def start(self, key: str) -> str:
        """See ObjectStore."""
        headers = {"x-amz-checksum-algorithm": "SHA256"} if self._checksums else {}
        answer = self._client.request("POST", key, {"uploads": ""}, headers=headers)
        return answer.xml().findtext("UploadId", "")

    @property
    def wants_digests(self) -> bool:
        """See ObjectStore; over TLS they would cost each side as much time again as the digest of the file."""
        return self._checksums or not self._client.options.by_tls

    def put_part(self, key: str, upload: str, number: int, content: Buffer, sha256: str | None) -> Part:
        """See ObjectStore."""
        query = {"partNumber": str(number), "uploadId": upload}
        headers = self._checksum(sha256) if sha256 else {}
        answer = self._of_upload("PUT", key, query, headers=headers, content=content, sha256=sha256)
        return Part(len(content), _etag(answer), next(iter(headers.values()), None))

    def finish(self, key: str, upload: str, parts: Mapping[int, Part]) -> str:
        """See ObjectStore."""
        listed = []
        for number, part in sorted(parts.items()):
            checksum = [("ChecksumSHA256", part.checksum)] if part.checksum else []
            listed.append(_xml("Part", [("PartNumber", str(number)), ("ETag", f'"{part.etag}"'), *checksum]))
        content = b"<CompleteMultipartUpload>" + b"".join(listed) + b"</CompleteMultipartUpload>"
        sha256 = hashlib.sha256(content).hexdigest()
        answer = self._of_upload("POST", key, {"uploadId": upload}, content=content, sha256=sha256)
        return answer.xml().findtext("ETag", "").strip('"')

    def abort(self, key: str, upload: str) -> None:
        """See ObjectStore."""
        try:
            self._client.request("DELETE", key, {"uploadId": upload})
        except Refused as refusal:
            if refusal.code != "NoSuchUpload":
                raise

    def _of_upload(self, method: str, key: str, query: Mapping[str, str], **content: Any) -> Answer:
        """Send a request about an unfinished upload; raises UploadGone."""
        try:
            return self._client.request(method, key, query, **content)
        except Refused as refusal:
            # A part is not there, or another, where a second run finishes or sends the same upload.
            if refusal.code in ("NoSuchUpload", "InvalidPart"):
                raise UploadGone(key) from None
            raise

    def _checksum(self, sha256: str) -> dict[str, str]:
        """Have AWS keep the digest with the object, where it can be read without the object."""
        if not self._checksums:
            return {}
        return {"x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode()}


def _key(page: ElementTree.Element, text: str) -> str:
    """Read a key of a listing: encoded, where the store says so, for not every character may stand in XML."""
    return unquote_plus(text) if page.findtext("EncodingType") == "url" else text


def _etag(answer: Answer) -> str:
    return answer.headers.get("etag", "").strip('"')


def _xml(name: str, children: list[tuple[str, str]]) -> bytes:
    root = ElementTree.Element(name)
    for child, text in children:
        ElementTree.SubElement(root, child).text = text
    return ElementTree.tostring(root)
