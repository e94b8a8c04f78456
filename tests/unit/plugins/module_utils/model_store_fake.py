# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket in memory, and an S3 server for it over HTTP that can simulate faults."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree

from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import (
    AlreadyThere,
    BucketMissing,
    Buffer,
    Part,
    StoredObject,
    UploadGone,
)


class MemoryStore:
    """The ObjectStore port in memory; it records each call, and asserts that content matches its SHA-256.

    opaque: whether ETags are not MD5 digests but others each time, as with server-side encryption.
    """

    def __init__(self, content: Mapping[str, bytes] | None = None, *, opaque: bool = False) -> None:
        self.content: dict[str, bytes] = dict(content or {})
        self.etags: dict[str, str] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        self.part_etags: dict[tuple[str, int], str] = {}
        self.calls: list[tuple[str, ...]] = []
        self.opaque = opaque
        self.missing = False
        self.wants_digests = True
        self._writes = itertools.count(1)
        self._ids = (f"upload-{number}" for number in itertools.count())
        self._lock = threading.Lock()

    @property
    def requests(self) -> int:
        return len(self.calls)

    @property
    def writes(self) -> list[tuple[str, ...]]:
        return [
            call for call in self.calls if call[0] not in ("objects", "folders", "get", "read", "unfinished", "parts")
        ]

    def etag(self, content: Buffer) -> str:
        return "opaque" if self.opaque else hashlib.md5(content).hexdigest()

    def _new_etag(self, content: Buffer) -> str:
        return f"opaque{next(self._writes)}" if self.opaque else self.etag(content)

    def _part(self, upload: str, number: int) -> Part:
        content = self.uploads[upload][1][number]
        return Part(len(content), self.part_etags.get((upload, number), self.etag(content)))

    def _record(self, *call: str) -> None:
        with self._lock:
            self.calls.append(call)
        if self.missing and call[0] != "create":
            raise BucketMissing("The bucket is missing.")

    def create(self) -> None:
        self._record("create")
        self.missing = False

    def objects(self, prefix: str) -> dict[str, StoredObject]:
        self._record("objects", prefix)
        return {
            key: StoredObject(len(content), self.etags.get(key, self.etag(content)))
            for key, content in [*self.content.items()]
            if key.startswith(prefix)
        }

    def folders(self, prefix: str) -> list[str]:
        self._record("folders", prefix)
        rests = [key.removeprefix(prefix) for key in self.content if key.startswith(prefix)]
        # An object store sorts prefixes with their slash, which comes after a dot and a hyphen.
        return [name[:-1] for name in sorted({rest.partition("/")[0] + "/" for rest in rests if "/" in rest})]

    def get(self, key: str) -> bytes | None:
        self._record("get", key)
        return self.content.get(key)

    def read(self, key: str, start: int, size: int) -> bytes:
        self._record("read", key, str(start))
        return self.content[key][start : start + size]

    def put(self, key: str, content: Buffer, sha256: str, *, new: bool = False) -> str:
        self._record("put", key)
        assert hashlib.sha256(content).hexdigest() == sha256
        if new and key in self.content:
            raise AlreadyThere(key)
        etag = self._new_etag(content)
        with self._lock:
            self.content[key] = bytes(content)
            self.etags[key] = etag
        return etag

    def remove(self, key: str) -> None:
        self._record("remove", key)
        self.content.pop(key, None)
        self.etags.pop(key, None)

    def unfinished(self, prefix: str) -> dict[str, list[str]]:
        self._record("unfinished", prefix)
        found: dict[str, list[str]] = {}
        for upload, (key, _parts) in reversed([*self.uploads.items()]):
            if key.startswith(prefix):
                found.setdefault(key, []).append(upload)
        return found

    def parts(self, key: str, upload: str) -> dict[int, Part]:
        self._record("parts", key)
        if upload not in self.uploads:
            raise UploadGone(key)
        return {number: self._part(upload, number) for number in [*self.uploads[upload][1]]}

    def start(self, key: str) -> str:
        self._record("start", key)
        upload = next(self._ids)
        self.uploads[upload] = (key, {})
        return upload

    def put_part(self, key: str, upload: str, number: int, content: Buffer, sha256: str | None) -> Part:
        self._record("put_part", key, str(number))
        assert sha256 == (hashlib.sha256(content).hexdigest() if self.wants_digests else None)
        with self._lock:
            if upload not in self.uploads:
                raise UploadGone(key)
            self.uploads[upload][1][number] = bytes(content)
            self.part_etags[upload, number] = self._new_etag(content)
            return self._part(upload, number)

    def finish(self, key: str, upload: str, parts: Mapping[int, Part]) -> str:
        self._record("finish", key)
        with self._lock:
            if upload not in self.uploads:
                raise UploadGone(key)
            uploaded = self.uploads[upload][1]
            if any(n not in uploaded or part.etag != self._part(upload, n).etag for n, part in parts.items()):
                raise UploadGone(key)  # Amazon S3 calls it InvalidPart
            del self.uploads[upload]
            chosen = [uploaded[number] for number in sorted(parts)]
            joined = hashlib.md5(b"".join(hashlib.md5(content).digest() for content in chosen)).hexdigest()
            etag = f"{self._new_etag(b'') if self.opaque else joined}-{len(parts)}"
            self.content[key], self.etags[key] = b"".join(chosen), etag
        return etag

    def abort(self, key: str, upload: str) -> None:
        self._record("abort", key)
        self.uploads.pop(upload, None)


@dataclass
class Quirks:
    """What stores do in their own way, or a proxy before them.

    etag: what an answer to a write has as its header; listed_etags: whether listings have ETags; lag: how many listings
    still show the objects as they were before; exact_uploads: unfinished uploads are listed by exact key only;
    false_encoding: names are said to be encoded, as asked for, and are not; drops: headers that do not arrive;
    secret_key: with which signatures are verified.
    """

    etag: Callable[[str], str | None] = '"{}"'.format
    listed_etags: bool = True
    lag: int = 0
    before: dict[str, StoredObject] = field(default_factory=dict)
    exact_uploads: bool = False
    false_encoding: bool = False
    drops: tuple[str, ...] = ()
    secret_key: str = ""


# A predicate on method and path, and the fault: a status with an S3 error code, or one of the connection or response.
Fault = tuple[Callable[[str, str], bool], str]


class S3Server(ThreadingHTTPServer):
    """A bucket C(models) over HTTP, addressed by path.

    faults: each applies once, to the first request whose method and path with query match its predicate;
    refuses: how the next connections end before anything is read, so that there is no handshake of TLS;
    seen: the received requests with their headers; quirks: what of the protocol it does in its own way, for good.
    """

    daemon_threads = True

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store
        self.faults: list[Fault] = []
        self.quirks = Quirks()
        self.refuses: list[str] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.Lock()

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self.refuses:
            _BREAKS[self.refuses.pop()](connection)
            raise ConnectionError
        return connection, address

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error, because some tests close the connection."""

    def fault(self, method: str, target: str) -> str | None:
        with self.lock:
            for fault in self.faults:
                if fault[0](method, target):
                    self.faults.remove(fault)
                    return fault[1]
        return None


@contextlib.contextmanager
def serving(store: MemoryStore, context: ssl.SSLContext | None = None) -> Iterator[S3Server]:
    """Serve a bucket until the end of the block; with a context over TLS."""
    with S3Server(store) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _reset(connection: socket.socket) -> None:
    """Drop the connection as a load balancer that is restarted: the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket(fileno=connection.detach()).close()


def _cut(connection: socket.socket) -> None:
    """End the connection without the farewell of TLS."""
    raw = socket.socket(fileno=connection.detach())
    raw.shutdown(socket.SHUT_WR)
    raw.close()


def _garble(connection: socket.socket) -> None:
    """Send what is neither TLS nor HTTP, as a broken proxy does."""
    raw = socket.socket(fileno=connection.detach())
    raw.sendall(b"\x99" * 100)
    raw.shutdown(socket.SHUT_WR)
    raw.close()


# How a connection ends in the middle of a request.
_BREAKS: dict[str, Callable[[socket.socket], None]] = {
    "closed": lambda connection: connection.shutdown(socket.SHUT_RDWR),
    "reset": _reset,
    "cut": _cut,
    "garbled": _garble,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise each body waits for the acknowledgement of the headers
    server: S3Server

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""

    def _disconnect(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with self.server.lock:
            self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        fault = self.server.fault(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        if fault in _BREAKS:
            self.rfile.read(length // 2)
            self.close_connection = True
            _BREAKS[fault](self.connection)
            return
        content = self.rfile.read(length)
        for name in self.server.quirks.drops:
            del self.headers[name]
        if (secret_key := self.server.quirks.secret_key) and not self._is_signed(secret_key):
            self._error(403, "SignatureDoesNotMatch")
            return
        if fault and fault.startswith("page "):
            self._send(200, fault.removeprefix("page ").encode())
            return
        if fault and fault[0].isdigit():
            status, _space, code = fault.partition(" ")
            self._error(int(status), code)
            return
        if self.headers["X-Amz-Content-SHA256"] not in (hashlib.sha256(content).hexdigest(), "UNSIGNED-PAYLOAD"):
            self._error(400, "XAmzContentSHA256Mismatch")
            return
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix("/models/")
        try:
            self._respond(key, dict(parse_qsl(parts.query, keep_blank_values=True)), content, fault)
        except BucketMissing:
            self._error(404, "NoSuchBucket")
        except UploadGone:
            self._error(404, "NoSuchUpload")
        except AlreadyThere:
            self._error(412, "PreconditionFailed")

    do_GET = do_PUT = do_POST = do_DELETE = _serve

    def _is_signed(self, secret_key: str) -> bool:
        """Verify the signature by "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API reference."""
        given = dict(part.strip().split("=", 1) for part in self.headers["Authorization"].partition(" ")[2].split(","))
        names = given["SignedHeaders"].split(";")
        if any(self.headers[name] is None for name in names):
            return False
        parts = urlsplit(self.path)
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        request = [
            self.command,
            parts.path,
            "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query),
            *(f"{name}:{' '.join(self.headers[name].split())}" for name in names),
            "",
            given["SignedHeaders"],
            self.headers["X-Amz-Content-SHA256"],
        ]
        _access_key, _slash, scope = given["Credential"].partition("/")
        digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
        to_sign = "\n".join(["AWS4-HMAC-SHA256", self.headers["X-Amz-Date"], scope, digest])
        key = f"AWS4{secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, to_sign.encode(), "sha256").hex() == given["Signature"]

    def _respond(self, key: str, query: dict[str, str], content: bytes, fault: str | None) -> None:
        store, sha256 = self.server.store, hashlib.sha256(content).hexdigest()
        match self.command:
            case "GET" if "list-type" in query:
                self._list(query)
            case "GET" if "uploads" in query:
                prefix, exact = query["prefix"], self.server.quirks.exact_uploads
                uploads = store.unfinished(prefix)
                entries = [
                    (key, upload) for key, ids in uploads.items() for upload in ids if key == prefix or not exact
                ]
                url = query.get("encoding-type") == "url"
                rows = [("Upload", [("Key", quote(k) if url else k), ("UploadId", u)]) for k, u in entries]
                self._xml("R", rows, url=url)
            case "GET" if "uploadId" in query:
                found = store.parts(key, query["uploadId"])
                rows = [
                    ("Part", [("PartNumber", str(n)), ("ETag", f'"{p.etag}"'), ("Size", str(p.size))])
                    for n, p in found.items()
                ]
                self._xml("R", rows)
            case "GET":
                self._object(key, fault)
            case "PUT" if not key or key == "/models":
                store.create()
                self._send(200, b"")
            case "PUT" if "partNumber" in query:
                part = store.put_part(key, query["uploadId"], int(query["partNumber"]), content, sha256)
                self._send(200, b"", etag=part.etag)
            case "PUT":
                etag = store.put(key, content, sha256, new="If-None-Match" in self.headers)
                if fault == "damaged":
                    store.content[key] = bytes(len(content))
                self._send(200, b"", etag="0" * 32 if fault in ("etag", "damaged") else etag)
            case "POST" if "uploads" in query:
                self._xml("R", [("UploadId", store.start(key))])
            case "POST":
                listed = ElementTree.fromstring(content).findall("{*}Part")
                parts = {
                    int(part.findtext("{*}PartNumber", "")): Part(0, part.findtext("{*}ETag", "").strip('"'))
                    for part in listed
                }
                etag = store.finish(key, query["uploadId"], parts)
                if fault == "lost":
                    self._disconnect()
                    return
                sent = self.server.quirks.etag(etag)
                self._xml("R", [("ETag", sent)] if sent else [])
            case "DELETE":
                if "uploadId" in query:
                    store.abort(key, query["uploadId"])
                else:
                    store.remove(key)
                self._send(204, b"")

    def _list(self, query: dict[str, str]) -> None:
        store, prefix, quirks = self.server.store, query["prefix"], self.server.quirks
        url_encoding = query.get("encoding-type") == "url"
        encode = quote if url_encoding and not quirks.false_encoding else str
        if "delimiter" in query:
            rows = [("CommonPrefixes", [("Prefix", encode(f"{prefix}{n}/"))]) for n in store.folders(prefix)]
            self._xml("R", [("Name", "models"), *rows], url=url_encoding)
            return
        objects = store.objects(prefix)
        with self.server.lock:
            if quirks.lag:
                quirks.lag -= 1
                objects = quirks.before
        found = sorted(objects.items())
        # Two per page, so that longer listings are paginated.
        at = int(query.get("continuation-token", 0))
        entries = [
            (
                "Contents",
                [("Key", encode(key)), ("Size", str(one.size)), ("ETag", f'"{one.etag}"')][: 2 + quirks.listed_etags],
            )
            for key, one in found[at : at + 2]
        ]
        more = at + 2 < len(found)
        ends = [("IsTruncated", str(more).lower()), ("NextContinuationToken", str(at + 2))]
        self._xml("R", [*entries, *ends], url=url_encoding)

    def _object(self, key: str, fault: str | None) -> None:
        content = self.server.store.get(key)
        if content is None:
            self._error(404, "NoSuchKey")
            return
        if requested := self.headers.get("Range"):
            first, _dash, last = requested.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1]
        if fault and fault.startswith("truncated"):
            self._headers(200, len(content))
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            _BREAKS[fault.partition(" ")[2] or "closed"](self.connection)
            return
        if fault == "damaged":
            content = bytes(len(content))
        self._send(200, content)

    def _error(self, status: int, code: str) -> None:
        text = f"for {self.headers.get('Authorization')} {self.headers.get('X-Amz-Security-Token')}"
        self._xml("Error", [("Code", code), ("Message", text)], status=status)

    def _xml(self, name: str, children: list[tuple[str, object]], status: int = 200, url: bool = False) -> None:
        def add(parent: ElementTree.Element, entries: list[tuple[str, object]]) -> None:
            for tag, value in entries:
                child = ElementTree.SubElement(parent, tag)
                if isinstance(value, list):
                    add(child, value)
                else:
                    child.text = str(value)

        # As in Amazon S3, an error has no namespace.
        namespace = {} if name == "Error" else {"xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"}
        root = ElementTree.Element(name, namespace)
        add(root, children)
        if url:
            ElementTree.SubElement(root, "EncodingType").text = "url"
        self._send(status, ElementTree.tostring(root))

    def _send(self, status: int, content: bytes, etag: str | None = None) -> None:
        self._headers(status, len(content), etag)
        self.wfile.write(content)

    def _headers(self, status: int, length: int, etag: str | None = None) -> None:
        self.send_response(status)
        if etag and (sent := self.server.quirks.etag(etag)):
            self.send_header("ETag", sent)
        self.send_header("Content-Length", str(length))
        self.end_headers()
