# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entrypoint of the storage initializer, with a minimal S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

pytest.importorskip("kserve_storage", reason="needs the packages of model/storage_initializer/requirements.txt")

ENTRYPOINT = Path(__file__).parents[1] / "storage_initializer/entrypoint.py"
OBJECTS = {"iris/v1/model.joblib": b"a model", "iris/v1/metadata.json": b"{}", "iris/v10/model.joblib": b"another"}


class S3(BaseHTTPRequestHandler):
    """Lists and gets the objects of one bucket, in path style, for the access key 'key'."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        key = unquote(url.path).removeprefix("/models").removeprefix("/")
        if "Credential=key/" not in self.headers.get("Authorization", ""):
            self.respond(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        elif not key:
            prefix = parse_qs(url.query).get("prefix", [""])[0]
            contents = "".join(
                f"<Contents><Key>{name}</Key><Size>{len(data)}</Size></Contents>"
                for name, data in OBJECTS.items()
                if name.startswith(prefix)
            )
            self.respond(200, f"<ListBucketResult><Name>models</Name>{contents}</ListBucketResult>".encode())
        elif key in OBJECTS:
            self.respond(200, OBJECTS[key])
        else:
            self.respond(404, b"<Error><Code>NoSuchKey</Code></Error>")

    do_HEAD = do_GET

    def respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), S3)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(*arguments: str, endpoint: str = "", key: str = "key") -> subprocess.CompletedProcess[str]:
    # The variables that KServe sets from the data and the annotations of the Secret.
    s3 = {"AWS_ENDPOINT_URL": endpoint, "S3_USER_VIRTUAL_BUCKET": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    credentials = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "planted-secret"}
    return subprocess.run(
        [sys.executable, str(ENTRYPOINT), *arguments],
        env={"PATH": os.environ["PATH"], **s3, **credentials},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_version_is_downloaded(tmp_path: Path, endpoint: str) -> None:
    result = run("s3://models/iris/v1/", str(tmp_path / "mnt/models"), endpoint=endpoint)
    assert result.returncode == 0, result.stderr
    assert content(tmp_path / "mnt/models") == {"model.joblib": b"a model", "metadata.json": b"{}"}
    assert "planted-secret" not in result.stdout + result.stderr


def test_several_models_are_downloaded(tmp_path: Path, endpoint: str) -> None:
    result = run(
        *("s3://models/iris/v1/", str(tmp_path / "a"), "s3://models/iris/v10/", str(tmp_path / "b")), endpoint=endpoint
    )
    assert result.returncode == 0, result.stderr
    assert set(content(tmp_path / "a")) == {"model.joblib", "metadata.json"}
    assert content(tmp_path / "b") == {"model.joblib": b"another"}


@pytest.mark.parametrize(
    ("uri", "key", "reason"),
    [
        ("s3://models/iris/v9", "key", "v9"),
        ("s3://models/iris/v1", "other", "Forbidden"),
        ("file:///absent", "key", "does not exist"),
        ("ftp://models/iris", "key", "Cannot recognize storage type"),
    ],
)
def test_a_failed_download_is_reported_in_one_sentence(
    tmp_path: Path, endpoint: str, uri: str, key: str, reason: str
) -> None:
    result = run(uri, str(tmp_path / "models"), endpoint=endpoint, key=key)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert reason in line
    assert "Traceback" not in result.stderr
    assert "planted-secret" not in result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [[], ["s3://models/iris/v1"], ["a", "b", "c"]])
def test_arguments_must_be_pairs(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 1
    assert result.stderr == "Error: the arguments must be pairs of a URI and a folder to download it to.\n"
