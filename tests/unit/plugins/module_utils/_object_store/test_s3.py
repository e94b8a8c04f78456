# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter over real HTTP, with a server that simulates faults."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store import download, transfer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.download import fetch
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.upload import Published, publish
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3, s3_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import AlreadyThere, BucketMissing
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.s3_client import S3Options

from ..model_store_fake import MemoryStore, S3Server, serving
from ..scripted_server import Authority

TARGET = Target("models", "iris", "1")
BIG = bytes(range(250)) * 4
SHA256 = hashlib.sha256(b"model").hexdigest()
OPTIONS = S3Options(
    bucket="models",
    endpoint_url="https://store.example.com",
    region="fra1",
    access_key="PLANTED-ACCESS",
    secret_key="PLANTED-SECRET",
    session_token="PLANTED-TOKEN",
    connections=2,
)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PART_SIZE", 100)
    monkeypatch.setattr(download, "PART_SIZE", 100)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[S3Server]:
    with serving(MemoryStore()) as server:
        yield server


@pytest.fixture
def store(server: S3Server) -> s3.S3Store:
    return s3.connect(replace(OPTIONS, endpoint_url=server.url))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    (source / "big").write_bytes(BIG)
    (source / "a b+c%ü.txt").write_bytes(b"model")
    return source


def run(store: s3.S3Store, folder: Path) -> Published:
    return publish(store, TARGET, scan(folder), overwrite=False, check_mode=False, connections=2)


def test_upload_and_download_over_http(server: S3Server, store: s3.S3Store, folder: Path, tmp_path: Path) -> None:
    published = run(store, folder)
    assert server.store.content["iris/1/big"] == BIG
    assert server.store.content["iris/1/a b+c%ü.txt"] == b"model"
    # Manifest, objects, unfinished of the version and the file; a file and a file of ten parts; objects, unfinished of
    # the version and the file, manifest.
    assert published.requests == len(server.seen) == 2 + 2 + 1 + (1 + 10 + 1) + 1 + 2 + 1
    assert run(store, folder).requests == published.requests + 1
    fetched = fetch(store, TARGET, tmp_path / "dest", digest=published.digest, check_mode=False, connections=2)
    assert fetched.downloaded == ["a b+c%ü.txt", "big", "manifest.json"]
    assert (tmp_path / "dest" / "big").read_bytes() == BIG


def test_every_request_is_signed_with_the_digest_of_its_content(server: S3Server, store: s3.S3Store) -> None:
    store.put("iris/1/model.joblib", b"model", SHA256)
    ((method, path, headers),) = server.seen
    assert (method, path) == ("PUT", "/models/iris/1/model.joblib")
    assert headers["x-amz-content-sha256"] == SHA256
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=PLANTED-ACCESS/")
    assert "x-amz-content-sha256" in headers["authorization"] and "/fra1/s3/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "PLANTED-TOKEN"
    assert not [name for name in headers if "checksum" in name]


@pytest.mark.parametrize(
    ("endpoint_url", "wanted"),
    [("https://fra1.digitaloceanspaces.com", False), ("https://s3.eu-west-1.amazonaws.com", True)],
)
def test_parts_have_digests_if_the_store_returns_them(endpoint_url: str, wanted: bool) -> None:
    assert s3.connect(replace(OPTIONS, endpoint_url=endpoint_url)).wants_digests is wanted


def test_a_part_is_signed_too(server: S3Server, store: s3.S3Store) -> None:
    upload = store.start("iris/1/big")
    store.put_part("iris/1/big", upload, 1, memoryview(b"model"), None)
    assert server.seen[-1][2]["x-amz-content-sha256"] == SHA256


def every_request(store: s3.S3Store) -> None:
    """Send a request of each kind."""
    store.create()
    store.put("iris/1/a b+c%ü.txt", b"model", SHA256, new=True)
    assert store.get("iris/1/a b+c%ü.txt") == b"model"
    store.objects("iris/1/")
    store.folders("iris/")
    upload = store.start("iris/1/big")
    part = store.put_part("iris/1/big", upload, 1, memoryview(b"model"), SHA256)
    store.unfinished("iris/1/")
    assert list(store.parts("iris/1/big", upload)) == [1]
    store.finish("iris/1/big", upload, {1: part})
    store.abort("iris/1/big", store.start("iris/1/big"))
    store.remove("iris/1/big")


# What proxies leave out or set anew, nginx with a cache among them.
CHANGED_BY_PROXIES = (
    "Range",
    "If-None-Match",
    "Accept-Encoding",
    "User-Agent",
    "Expect",
    "Connection",
    "Content-Length",
)


@pytest.mark.parametrize("checksums", [False, True])
def test_no_header_is_signed_that_a_proxy_may_drop(server: S3Server, store: s3.S3Store, checksums: bool) -> None:
    server.quirks.secret_key = "PLANTED-SECRET"
    store._checksums = checksums
    every_request(store)
    assert store.read("iris/1/a b+c%ü.txt", 1, 3) == b"ode"
    with pytest.raises(AlreadyThere):
        store.put("iris/1/a b+c%ü.txt", b"model", SHA256, new=True)
    for _method, _path, headers in server.seen:
        signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert [name for name in signed if not name.startswith("x-amz-")] == ["host"]
    server.store.content.clear()
    server.quirks.drops = CHANGED_BY_PROXIES
    every_request(store)
    server.quirks.secret_key = "another"
    with pytest.raises(KServeError, match="does not accept the signature"):
        store.get("iris/1/a")


def test_checksums_beyond_the_signature_go_to_aws(server: S3Server, store: s3.S3Store) -> None:
    store._checksums = True
    checksum = base64.b64encode(bytes.fromhex(SHA256)).decode()
    store.put("iris/1/model.joblib", b"model", SHA256)
    upload = store.start("iris/1/big")
    part = store.put_part("iris/1/big", upload, 1, b"model", SHA256)
    assert part.checksum == checksum
    store.finish("iris/1/big", upload, {1: part})
    sent = [
        {name: value for name, value in headers.items() if "checksum" in name} for *_request, headers in server.seen
    ]
    assert sent == [
        {"x-amz-checksum-sha256": checksum},
        {"x-amz-checksum-algorithm": "SHA256"},
        {"x-amz-checksum-sha256": checksum},
        {},
    ]


def puts(method: str, target: str) -> bool:
    return method == "PUT" and "/models/iris/1/" in target


def small(method: str, target: str) -> bool:
    return method == "PUT" and ".txt" in target


def part(method: str, target: str) -> bool:
    return method == "PUT" and "partNumber=3" in target


def finish(method: str, target: str) -> bool:
    return method == "POST" and "uploadId=" in target


def any_get(method: str, target: str) -> bool:
    return method == "GET"


HEALING = {
    "an internal error": (puts, "500 InternalError", 1),
    "a gateway's error without a body that S3 knows": (any_get, "502 ", 1),
    "SlowDown": (part, "503 SlowDown", 1),
    "SlowDown four times": (part, "503 SlowDown", 4),
    "too many requests": (puts, "429 TooManyRequests", 1),
    "a connection that breaks in the middle of a part": (part, "reset", 1),
    "a connection that breaks again and again": (part, "reset", 4),
    "a digest that is found wrong": (part, "400 BadDigest", 1),
    "a timeout of the server's": (puts, "400 RequestTimeout", 1),
    "an error behind status 200": (finish, "200 InternalError", 1),
    "an answer that is lost": (finish, "lost", 1),
}


@pytest.mark.parametrize("case", HEALING)
def test_temporary_faults(server: S3Server, store: s3.S3Store, folder: Path, case: str) -> None:
    where, what, times = HEALING[case]
    server.faults = [(where, what)] * times
    published = run(store, folder)
    assert server.faults == []
    assert server.store.content["iris/1/big"] == BIG and server.store.uploads == {}
    assert published.uploaded == ["a b+c%ü.txt", "big", "manifest.json"]
    assert published.requests == len(server.seen) >= 20


LASTING: dict[str, tuple[Callable[[str, str], bool], str, int, str]] = {
    "SlowDown for ever": (part, "503 SlowDown", 5, "asks for fewer requests; run again later, or set connections"),
    "a token that expires in the middle": (part, "400 ExpiredToken", 1, "session token has expired; get new"),
    "a part that is too large": (part, "400 EntityTooLarge", 1, "split the file"),
    "a bucket without room": (puts, "403 QuotaExceeded", 1, "has no room left"),
    "a right that is missing": (puts, "403 AccessDenied", 1, "denies access; give the key the right"),
    "another region": (any_get, "301 PermanentRedirect", 1, "in another region; set region"),
    "an unknown error": (
        puts,
        "418 Teapot",
        1,
        "refused [a-z_]+ iris/1/.* in bucket models with Teapot: for",
    ),
    "connections that break for ever": (part, "reset", 5, "cannot be reached; check endpoint_url and the network"),
    "an object that is not what was sent": (small, "damaged", 1, "does not contain s3://models/iris/1/ as it was up"),
}


@pytest.mark.parametrize("case", LASTING)
def test_a_permanent_fault_is_one_sentence_and_the_next_run_resumes(
    server: S3Server, store: s3.S3Store, folder: Path, case: str
) -> None:
    where, what, times, says = LASTING[case]
    server.faults = [(where, what)] * times
    with pytest.raises(KServeError, match=says) as caught:
        run(store, folder)
    assert "PLANTED" not in str(caught.value)
    # A chained exception would show the message of the object store in a traceback.
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "iris/1/manifest.json" not in server.store.content
    server.faults = []
    run(store, folder)
    assert server.store.content["iris/1/big"] == BIG and server.store.uploads == {}
    assert "iris/1/manifest.json" in server.store.content


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("opaque", [False, True])
def test_several_runs_of_the_same_folder_at_once_all_succeed(folder: Path, resumed: bool, opaque: bool) -> None:
    (folder / "bigger").write_bytes(BIG * 3)
    start = threading.Barrier(4)
    with serving(MemoryStore(opaque=opaque)) as server:
        stores = [s3.connect(replace(OPTIONS, endpoint_url=server.url)) for _host in range(4)]
        if resumed:
            for name in ("big", "big", "bigger", "gone"):
                upload = stores[0].start(f"iris/1/{name}")
                stores[0].put_part(f"iris/1/{name}", upload, 1, BIG[:100], None)

        def one(store: s3.S3Store) -> str:
            start.wait()
            return run(store, folder).digest

        with ThreadPoolExecutor(4) as hosts:
            digests = list(hosts.map(one, stores))
        assert len(set(digests)) == 1
        content = server.store.content
        assert content["iris/1/big"] == BIG and content["iris/1/bigger"] == BIG * 3
        assert server.store.uploads == {}
        assert run(stores[0], folder).result()["changed"] is False


@pytest.mark.parametrize("fault", ["truncated", "reset", "500 InternalError", "503 SlowDown"])
def test_an_interrupted_download_is_retried(
    server: S3Server, store: s3.S3Store, folder: Path, tmp_path: Path, fault: str
) -> None:
    run(store, folder)
    server.faults = [(lambda _method, target: target.endswith("big"), fault)] * 2
    fetch(store, TARGET, tmp_path / "dest", digest=None, check_mode=False, connections=2)
    assert (tmp_path / "dest" / "big").read_bytes() == BIG and server.faults == []


def test_a_download_that_is_corrupted_in_transit(
    server: S3Server, store: s3.S3Store, folder: Path, tmp_path: Path
) -> None:
    run(store, folder)
    server.faults = [(lambda _method, target: target.endswith("big"), "damaged")]
    with pytest.raises(KServeError, match="though the object iris/1/big is intact"):
        fetch(store, TARGET, tmp_path / "dest", digest=None, check_mode=False, connections=2)
    assert not (tmp_path / "dest").exists()


def test_a_store_without_conditions(server: S3Server, store: s3.S3Store) -> None:
    server.faults = [(puts, "501 NotImplemented")]
    assert store.put("iris/1/a", b"model", SHA256, new=True)
    with pytest.raises(AlreadyThere):
        store.put("iris/1/a", b"model", SHA256, new=True)


@pytest.mark.parametrize("code", ["403 AccessDenied", "501 NotImplemented", "405 MethodNotAllowed"])
def test_credentials_without_permission_to_list_unfinished_uploads(
    server: S3Server, store: s3.S3Store, code: str
) -> None:
    server.faults = [(any_get, code)]
    assert store.unfinished("iris/1/") == {}


@pytest.mark.parametrize("code", ["403 AccessDenied", "501 NotImplemented", "405 MethodNotAllowed"])
def test_without_permission_to_list_parts_an_upload_starts_again(
    server: S3Server, store: s3.S3Store, folder: Path, code: str
) -> None:
    upload = store.start("iris/1/big")
    store.put_part("iris/1/big", upload, 1, BIG[:100], None)
    server.faults = [(lambda method, target: method == "GET" and "uploadId=" in target, code)]
    published = run(store, folder)
    assert server.faults == [] and published.bytes_sent >= len(BIG)
    assert server.store.content["iris/1/big"] == BIG and server.store.uploads == {}


def test_a_bucket_that_was_created_concurrently(server: S3Server, store: s3.S3Store) -> None:
    server.faults = [(lambda method, _target: method == "PUT", "409 BucketAlreadyOwnedByYou")]
    store.create()
    server.faults = [(lambda method, _target: method == "PUT", "409 BucketAlreadyExists")]
    with pytest.raises(KServeError, match="BucketAlreadyExists"):
        s3.connect(replace(OPTIONS, endpoint_url=server.url)).create()


PAGE = "<ListBucketResult><IsTruncated>true</IsTruncated>{}</ListBucketResult>"


@pytest.mark.parametrize("tokens", [[""], ["a", "a"], ["a", "b", "a"], ["a", "b", "c"] * 9])
def test_a_listing_that_cannot_be_continued_is_an_error(server: S3Server, store: s3.S3Store, tokens: list[str]) -> None:
    given = [f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "" for token in tokens]
    server.faults = [(any_get, f"page {PAGE.format(token)}") for token in given]
    with pytest.raises(KServeError, match="lists a part of bucket models and not how to go on") as caught:
        store.objects("iris/")
    assert caught.value.reason == "StoreUnusable" and len(server.seen) <= 4


@pytest.mark.parametrize("page", ["<html><body>Sign in</body></html>", "<!DOCTYPE html><p>Sign in", "", "<a><b"])
def test_a_page_that_is_not_of_s3_is_no_empty_listing(server: S3Server, store: s3.S3Store, page: str) -> None:
    server.faults = [(any_get, f"page {page}")] * 10
    with pytest.raises(KServeError, match="with something else than the XML of S3"):
        store.objects("iris/")


NAMES = ["iris/1/100%25.txt", "iris/1/1.0+cu118.bin", "iris/1/a b.txt", "iris/1/%ü"]


@pytest.mark.parametrize("false_encoding", [False, True])
def test_names_in_listings(server: S3Server, store: s3.S3Store, false_encoding: bool) -> None:
    server.quirks.false_encoding = false_encoding
    server.store.content = dict.fromkeys(NAMES, b"model")
    assert sorted(store.objects("iris/1/")) == sorted(NAMES)
    assert store.folders("iris/") == ["1"]


def test_names_that_xml_cannot_contain(server: S3Server, store: s3.S3Store) -> None:
    server.store.content = dict.fromkeys(["iris/1/a\x01b+c", "iris/1/d e"], b"model")
    assert sorted(store.objects("iris/1/")) == ["iris/1/a\x01b+c", "iris/1/d e"]


ETAGS: dict[str, Callable[[str], str | None]] = {
    "weak": lambda etag: f'W/"{etag}"',
    "missing": lambda _etag: None,
    "without quotes": lambda etag: etag,
    "of its own": lambda _etag: '"00000000000000000000000000000000"',
}


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("case", ETAGS)
def test_etags_that_are_not_as_usual(
    server: S3Server, store: s3.S3Store, folder: Path, monkeypatch: pytest.MonkeyPatch, case: str, listed: bool
) -> None:
    if case == "of its own":
        monkeypatch.setattr(transfer, "PART_SIZE", 10_000)  # parts are known by nothing else
    server.quirks.etag, server.quirks.listed_etags = ETAGS[case], listed
    published = run(store, folder)
    assert server.store.content["iris/1/big"] == BIG and server.store.uploads == {}
    assert published.uploaded == ["a b+c%ü.txt", "big", "manifest.json"]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("case", ETAGS)
def test_damage_shows_in_spite_of_unusual_etags(
    server: S3Server, store: s3.S3Store, folder: Path, monkeypatch: pytest.MonkeyPatch, case: str, listed: bool
) -> None:
    monkeypatch.setattr(transfer, "PART_SIZE", 10_000)
    server.quirks.etag, server.quirks.listed_etags = ETAGS[case], listed
    server.faults = [(lambda method, target: method == "PUT" and target.endswith("big"), "damaged")]
    with pytest.raises(KServeError, match=r"does not contain s3://models/iris/1/ as it was uploaded \(big\)"):
        run(store, folder)
    assert "iris/1/manifest.json" not in server.store.content


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_listing_that_lags(server: S3Server, store: s3.S3Store, folder: Path, overwrite: bool) -> None:
    if overwrite:
        server.store.content = {"iris/1/big": BIG[::-1], "iris/1/gone": b"", "iris/1/manifest.json": b"{}"}
        server.quirks.before = {
            key: one for key, one in server.store.objects("iris/1/").items() if key != "iris/1/manifest.json"
        }
    server.quirks.lag = 4
    publish(store, TARGET, scan(folder), overwrite=overwrite, check_mode=False, connections=2)
    assert sorted(server.store.content) == ["iris/1/a b+c%ü.txt", "iris/1/big", "iris/1/manifest.json"]


def test_unfinished_uploads_that_are_listed_by_exact_key_only(
    server: S3Server, store: s3.S3Store, folder: Path
) -> None:
    server.quirks.exact_uploads = True
    upload = store.start("iris/1/big")
    for number in (1, 2, 3, 4):
        store.put_part("iris/1/big", upload, number, BIG[number * 100 - 100 : number * 100], None)
    store.start("iris/1/bigger")
    published = run(store, folder)
    assert published.bytes_sent == 600 + len(b"model") + len(server.store.content["iris/1/manifest.json"])
    assert [key for key, _parts in server.store.uploads.values()] == ["iris/1/bigger"]  # a file that is not there


def test_a_missing_bucket_has_its_own_error_and_is_created_in_its_region(server: S3Server, store: s3.S3Store) -> None:
    server.store.missing = True
    with pytest.raises(BucketMissing, match=r"There is no bucket models at http://127\.0\.0\.1:\d+; create it, set"):
        store.objects("iris/1/")
    store.create()
    assert store.objects("iris/1/") == {}
    assert [path for method, path, _headers in server.seen if method == "PUT"] == ["/models"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("InvalidAccessKeyId", "does not know the access key"),
        ("XAdminUserNotFound", "does not know the access key"),
        ("SignatureDoesNotMatch", "the secret key is wrong"),
        ("InvalidToken", "does not accept the session token"),
        ("RequestTimeTooSkewed", "set the clock"),
    ],
)
def test_the_first_request_is_rejected(server: S3Server, store: s3.S3Store, code: str, says: str) -> None:
    server.faults = [(any_get, f"403 {code}")]
    with pytest.raises(KServeError, match=says) as caught:
        store.get("iris/1/manifest.json")
    assert "PLANTED" not in str(caught.value) and store.requests == 1


def test_the_region_of_a_bucket_in_another_region() -> None:
    client = s3_client.connect(replace(OPTIONS, endpoint_url="https://s3.eu-west-1.amazonaws.com"))
    with Stubber(client.boto) as stub:
        stub.add_client_error(
            "get_object",
            "PermanentRedirect",
            http_status_code=301,
            response_meta={"HTTPHeaders": {"x-amz-bucket-region": "eu-north-1"}},
        )
        with pytest.raises(KServeError) as caught:
            client.content(Key="model")
    assert str(caught.value) == (
        "Amazon S3 keeps the bucket in another region; set region and endpoint_url to that of the bucket "
        "(bucket models in eu-north-1, PermanentRedirect)."
    )


# Prints which of botocore's descriptions a client has opened.
OPENED = """
import sys
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3_client
{preload}
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
s3_client.connect(s3_client.S3Options("models", "https://store.example.com", "fra1", "a", "b")).close()
print(sum("botocore" in path and ".json" in path for path in opened))
"""


@pytest.mark.parametrize(("preload", "reads"), [("", True), ("s3_client.preload()", False)])
def test_a_client_reads_nothing_that_was_preloaded(preload: str, reads: bool) -> None:
    command = [sys.executable, "-c", OPENED.format(preload=preload)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert (int(result.stdout) > 0) is reads


def test_an_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        store = s3.connect(replace(OPTIONS, endpoint_url=url))
        with pytest.raises(KServeError, match=f"{url} cannot be reached; check endpoint_url and the network"):
            store.get("model")
    assert store.requests == len(pauses) + 1 == s3_client.ATTEMPTS


def test_a_server_without_tls(server: S3Server) -> None:
    store = s3.connect(replace(OPTIONS, endpoint_url=server.url.replace("http:", "https:")))
    with pytest.raises(KServeError, match=r"no TLS connection .*; check the network, and that endpoint_url"):
        store.get("model")


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[S3Server, S3Options]]:
    """A server with TLS, and its options."""
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.sign("localhost"))
    with serving(MemoryStore(), context) as server:
        url = f"https://localhost:{server.server_address[1]}"
        yield server, replace(OPTIONS, endpoint_url=url, ca_bundle=authority.path)


@pytest.mark.parametrize("change", [{"ca_bundle": None}, {"host": "127.0.0.1"}], ids=["another CA", "another name"])
def test_a_server_without_a_trusted_certificate(secure: tuple[S3Server, S3Options], change: dict[str, Any]) -> None:
    url = str(secure[1].endpoint_url).replace("localhost", change.get("host", "localhost"))
    store = s3.connect(replace(secure[1], endpoint_url=url, ca_bundle=change.get("ca_bundle", secure[1].ca_bundle)))
    with pytest.raises(KServeError, match=rf"certificate of {url} is not trusted .*; set ca_bundle") as caught:
        store.get("model")
    assert caught.value.reason == "CertificateNotTrusted"


@pytest.mark.parametrize("fault", ["closed", "reset", "cut", "garbled"])
def test_a_put_over_an_interrupted_tls_connection_is_retried(secure: tuple[S3Server, S3Options], fault: str) -> None:
    server, options = secure
    server.faults = [(small, fault), (part, fault)]
    store = s3.connect(options)
    content = bytes(8_000_000)
    store.put("iris/1/a.txt", content, hashlib.sha256(content).hexdigest())
    assert server.store.content == {"iris/1/a.txt": content}
    # TLS protects the content, so a digest in the signature would only take time.
    assert server.seen[-1][2]["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    store.put_part("iris/1/big", store.start("iris/1/big"), 3, memoryview(content), None)
    assert server.faults == [] and store.requests == len(server.seen) == 5


@pytest.mark.parametrize("fault", ["closed", "reset", "cut", "garbled"])
@pytest.mark.parametrize("where", [any_get, small])
def test_a_tls_connection_that_breaks_for_ever_is_not_called_untrusted(
    secure: tuple[S3Server, S3Options], where: Callable[[str, str], bool], fault: str
) -> None:
    server, options = secure
    server.store.content = {"iris/1/a.txt": b"model"}
    server.faults = [(where, fault)] * 99
    store = s3.connect(options)
    content = bytes(8_000_000)
    with pytest.raises(KServeError, match="check") as caught:
        if where is small:
            store.put("iris/1/a.txt", content, hashlib.sha256(content).hexdigest())
        else:
            store.get("iris/1/a.txt")
    assert caught.value.reason == "StoreUnreachable" and "ca_bundle" not in str(caught.value)
    assert store.requests == s3_client.ATTEMPTS


@pytest.mark.parametrize("fault", ["closed", "reset", "cut", "garbled"])
def test_a_get_over_an_interrupted_tls_connection_is_retried(secure: tuple[S3Server, S3Options], fault: str) -> None:
    server, options = secure
    content = bytes(2_000_000)
    server.store.content = {"iris/1/a.txt": content}
    server.faults = [(any_get, f"truncated {fault}")] * 4
    assert s3.connect(options).get("iris/1/a.txt") == content
    server.faults = [(any_get, f"truncated {fault}")] * 99
    with pytest.raises(KServeError, match="check") as caught:
        s3.connect(options).read("iris/1/a.txt", 0, len(content))
    assert caught.value.reason == "StoreUnreachable" and "ca_bundle" not in str(caught.value)


@pytest.mark.parametrize("fault", ["closed", "reset", "cut", "garbled"])
def test_a_handshake_that_is_interrupted_is_retried(secure: tuple[S3Server, S3Options], fault: str) -> None:
    server, options = secure
    server.refuses = [fault] * 4
    assert s3.connect(options).get("iris/1/a.txt") is None
    server.refuses = [fault] * 99
    with pytest.raises(KServeError, match="check") as caught:
        s3.connect(options).get("iris/1/a.txt")
    assert caught.value.reason == "StoreUnreachable" and "ca_bundle" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "style", "url"),
    [
        ("https://fra1.digitaloceanspaces.com", "virtual", "https://models.fra1.digitaloceanspaces.com/key?"),
        ("https://fra1.digitaloceanspaces.com", "path", "https://fra1.digitaloceanspaces.com/models/key?"),
        ("http://minio:9000", "auto", "http://minio:9000/models/key?"),
        ("https://s3.eu-west-1.amazonaws.com", "auto", "https://s3.eu-west-1.amazonaws.com/models/key?"),
    ],
)
def test_the_addressing_style(endpoint: str, style: str, url: str) -> None:
    client = s3_client.connect(replace(OPTIONS, endpoint_url=endpoint, addressing_style=style))
    assert signed(client, "key").startswith(url)


def signed(client: s3_client.S3Client, key: str = "key") -> str:
    """Return the URL by which boto3 would read an object; it contains endpoint, region, access key and token."""
    url: str = client.boto.generate_presigned_url("get_object", {"Bucket": "models", "Key": key})
    return url


@pytest.mark.parametrize(
    ("endpoint", "on_aws"),
    [
        (None, True),
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://fra1.digitaloceanspaces.com", False),
        ("https://amazonaws.com.example.com", False),
    ],
)
def test_which_endpoints_are_aws(endpoint: str | None, on_aws: bool) -> None:
    assert S3Options(bucket="models", endpoint_url=endpoint).on_aws is on_aws


OTHERS = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


@pytest.fixture
def aws_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(
        "[profile team]\nregion = ams3\nendpoint_url = https://ams3.digitaloceanspaces.com\nca_bundle = /nonexistent\n"
        "[profile other]\nservices = here\n[services here]\ns3 =\n  endpoint_url = http://127.0.0.1:7070/\n"
    )
    credentials.write_text("[team]\naws_access_key_id = of-the-team\naws_secret_access_key = PLANTED-SECRET\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", *OTHERS):
        monkeypatch.delenv(name, raising=False)


def test_options_default_to_the_profile(aws_files: None) -> None:
    team = S3Options(bucket="models", profile="team", validate_certs=False)
    client = s3_client.connect(team)
    # Requests and messages depend on the provider.
    assert (client.options.on_aws, client.options.endpoint_name) == (False, "https://ams3.digitaloceanspaces.com")
    assert client.options.region == "ams3" and "=of-the-team" in signed(client)
    client = s3_client.connect(replace(team, region="fra1", access_key="mine", secret_key="mine"))
    assert client.options.region == "fra1" and "=mine" in signed(client)
    with pytest.raises(KServeError, match="/nonexistent cannot be read"):
        s3_client.connect(replace(team, validate_certs=True))


def test_options_default_to_the_environment(aws_files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTED-SECRET")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "PLANTED-TOKEN")
    monkeypatch.setenv("AWS_PROFILE", "other")
    url = signed(s3_client.connect(S3Options(bucket="models")))
    assert url.startswith("http://127.0.0.1:7070/models/key?")
    assert "=of-the-environment" in url and "oken=PLANTED-TOKEN" in url
    # A profile or credentials in the options exclude a session token of the environment.
    given = signed(s3_client.connect(S3Options(bucket="models", profile="team", validate_certs=False)))
    assert "=of-the-team" in given and "oken=" not in given
    given = signed(s3_client.connect(S3Options(bucket="models", access_key="mine", secret_key="mine")))
    assert "=mine" in given and "oken=" not in given


def test_a_secret_of_the_environment_is_masked(
    server: S3Server, aws_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "PLANTED-ACCESS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTED-SECRET")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "PLANTED-TOKEN")
    server.faults = [(any_get, "403 Odd")]
    store = s3.connect(S3Options(bucket="models", endpoint_url=server.url))
    with pytest.raises(KServeError, match=r"with Odd") as caught:
        store.get("model")
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(("region", "host"), [("eu-north-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")])
def test_amazon_without_an_endpoint(aws_files: None, region: str, host: str) -> None:
    client = s3_client.connect(S3Options("models", None, region, "a", "b"))
    assert client.options.endpoint_url == f"https://s3.{region}.{host}" and client.options.endpoint_name == "Amazon S3"


PROXY = "http://proxy.example.com:3128"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The proxies of each of boto3's clients, which are made as ever."""
    proxies: list[dict[str, str]] = []

    class Counting(s3_client.boto3.Session):  # type: ignore[misc]
        def client(self, *arguments: Any, config: Any, **options: Any) -> Any:
            proxies.append(config.proxies)
            return super().client(*arguments, config=config, **options)

    monkeypatch.setattr(s3_client.boto3, "Session", Counting)
    return proxies


@pytest.mark.parametrize(
    ("endpoint", "exempt", "proxies"),
    [
        ("https://store.example.com", "10.0.0.0/8", {"https": PROXY}),
        ("https://10.1.2.3:9000", "10.0.0.0/8", {}),
        ("https://store.example.com", "models.store.example.com", {}),
        ("http://store.example.com", "", {}),
    ],
)
def test_the_client_is_made_once_with_the_proxy_of_its_endpoint(
    made: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, endpoint: str, exempt: str, proxies: dict[str, str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exempt)
    s3_client.connect(replace(OPTIONS, endpoint_url=endpoint)).close()
    assert made == [proxies]


def test_the_proxy_is_that_of_the_endpoint_which_boto3_is_configured_with(
    made: list[dict[str, str]], aws_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    team = S3Options("models", profile="team", validate_certs=False)
    s3_client.connect(team).close()
    monkeypatch.setenv("NO_PROXY", "ams3.digitaloceanspaces.com")
    s3_client.connect(team).close()
    assert made[1::2] == [{"https": PROXY}, {}]


def test_invalid_options_are_reported_before_the_first_request(aws_files: None) -> None:
    for options, says in (
        (S3Options(bucket="models", profile="nobodys"), "The profile nobodys is not configured"),
        (S3Options(bucket="models"), "credentials are incomplete or missing for Amazon S3"),
        (replace(OPTIONS, endpoint_url="fra1.digitaloceanspaces.com"), "is not valid; give one such as"),
        (replace(OPTIONS, endpoint_url="https://[::1"), r"The endpoint_url https://\[::1 is not valid; give one"),
        (S3Options(bucket="models", endpoint_url="https://[::1"), "credentials are incomplete or missing for https://"),
    ):
        with pytest.raises(KServeError, match=says):
            s3_client.connect(options)


def test_a_missing_profile_of_the_environment_is_reported(aws_files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(KServeError, match="The profile nobodys is not configured; check profile or AWS_PROFILE"):
        s3_client.connect(S3Options(bucket="models"))


def test_a_missing_certificate_bundle() -> None:
    with pytest.raises(KServeError, match="/nonexistent"):
        s3_client.connect(replace(OPTIONS, ca_bundle="/nonexistent"))
