# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model store modules against the in-cluster object store: interrupted runs, corrupt objects, request counts.

Each module runs as a process, as Ansible runs it, so that it can be killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.s3_client import S3Options
from local.settings import REPOSITORY, Settings

from .helpers import wait_until

MIB = 2**20
PART = 16 * MIB


class Modules:
    """The three modules on one bucket; where: the options with its endpoint and credentials; env: added variables."""

    def __init__(self, where: dict[str, Any], env: dict[str, str] | None = None) -> None:
        self._where = where
        self._env = env or {}

    @cached_property
    def store(self) -> s3.S3Store:
        return s3.connect(S3Options(**self._where))

    def start(self, module: str, **arguments: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"ansible_collections.hashfoundry.kserve.plugins.modules.{module}"],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "collections"), **self._env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**self._where, **arguments}}))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, module: str, **arguments: Any) -> dict[str, Any]:
        return self.end(self.start(module, **arguments))

    @staticmethod
    def end(process: subprocess.Popen[str]) -> dict[str, Any]:
        printed, errors = process.communicate(timeout=120)
        assert printed, errors
        result: dict[str, Any] = json.loads(printed)
        return result

    def upload(self, source: Path, **arguments: Any) -> dict[str, Any]:
        return self.run("spaces_upload", source=str(source), **{"name": "model", "version": "v1", **arguments})

    def kill_upload(self, source: Path, when: Callable[[], bool]) -> None:
        """Upload, and kill the module once the condition holds."""
        process = self.start("spaces_upload", source=str(source), name="model", version="v1", connections=2)

        def reached() -> bool:
            if when():
                return True
            assert process.poll() is None, "the upload ended before it could be killed"
            return False

        wait_until(reached, pause=0.01, what="the upload is at the point at which it is killed")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # Requests that were already sent may still arrive.
        held = None
        while held != (held := self._held()):
            time.sleep(0.5)

    def _held(self) -> tuple[int, int]:
        uploads = self.store.unfinished("").items()
        return len(self.store.objects("")), sum(len(self.store.parts(key, ids[0])) for key, ids in uploads)

    def clear(self) -> None:
        for key, uploads in self.store.unfinished("").items():
            for upload in uploads:
                self.store.abort(key, upload)
        for key in self.store.objects(""):
            self.store.remove(key)


@pytest.fixture(scope="module")
def bucket(settings: Settings) -> Iterator[Modules]:
    secret = (settings.state / "s3-secret-key").read_text().split()[0]
    where = {
        "bucket": f"test-{uuid.uuid4().hex[:12]}",
        "endpoint_url": f"http://127.0.0.1:{settings.s3_port}",
        "region": "us-east-1",
        "access_key": "local-owner",
        "secret_key": secret,
    }
    modules = Modules(where)
    modules.store.create()
    yield modules
    modules.clear()
    modules.store._client.call("delete_bucket")


@pytest.fixture
def modules(bucket: Modules) -> Iterator[Modules]:
    yield bucket
    bucket.clear()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with a file of two parts and a small file."""
    source = tmp_path / "large"
    source.mkdir()
    (source / "model.bin").write_bytes(os.urandom(PART + MIB))
    (source / "metadata.json").write_bytes(b"{}")
    return source


def test_upload_and_download_with_the_expected_number_of_requests(
    modules: Modules, large: Path, tmp_path: Path
) -> None:
    published = modules.upload(large)
    assert published["uploaded"] == ["manifest.json", "metadata.json", "model.bin"]
    again = modules.upload(large)
    assert (again["changed"], again["requests"], again["digest"]) == (False, 1, published["digest"])

    (version,) = modules.run("spaces_info")["versions"]
    assert version["digest"] == published["digest"]
    sha256 = hashlib.sha256((large / "model.bin").read_bytes()).hexdigest()
    assert {"name": "model.bin", "size": PART + MIB, "sha256": sha256} in version["files"]

    where = {"dest": str(tmp_path / "dest"), "name": "model", "version": "v1", "digest": published["digest"]}
    fetched = modules.run("spaces_download", **where)
    assert fetched["downloaded"] == published["uploaded"]
    assert (tmp_path / "dest" / "model.bin").read_bytes() == (large / "model.bin").read_bytes()
    again = modules.run("spaces_download", **where)
    assert (again["changed"], again["requests"]) == (False, 1)


def test_a_changed_file_is_rejected_unless_overwrite_is_set(modules: Modules, large: Path) -> None:
    first = modules.upload(large)
    (large / "metadata.json").write_bytes(b"[]")
    assert "is complete and the folder differs from it (changed: metadata.json)" in modules.upload(large)["msg"]
    result = modules.upload(large, overwrite=True)
    assert result["uploaded"] == ["manifest.json", "metadata.json"] and result["unchanged"] == ["model.bin"]
    assert result["digest"] != first["digest"]


def test_an_upload_interrupted_within_a_file(modules: Modules, large: Path) -> None:
    def some_parts() -> bool:
        held = modules.store.unfinished("model/v1/")
        return any(modules.store.parts(key, uploads[0]) for key, uploads in held.items())

    (large / "model.bin").write_bytes(os.urandom(12 * PART + MIB))
    modules.kill_upload(large, some_parts)
    assert modules.run("spaces_download", dest=str(large / "x"), name="model", version="v1")["failed"]
    ((key, (upload,)),) = modules.store.unfinished("model/v1/").items()
    held = sum(part.size for part in modules.store.parts(key, upload).values())
    assert held >= PART
    modules.store.start("model/v1/of-another-run")

    wanted = modules.run("spaces_upload", source=str(large), name="model", version="v1", _ansible_check_mode=True)
    rest = modules.upload(large)
    assert rest["bytes_sent"] == wanted["bytes_sent"]
    manifest = modules.store.get("model/v1/manifest.json") or b""
    assert rest["bytes_sent"] <= 12 * PART + MIB + 2 + len(manifest) - held
    assert modules.store.unfinished("") == {}
    assert modules.upload(large)["requests"] == 1


def test_an_upload_interrupted_between_many_files(modules: Modules, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(400):
        (source / f"{number:04}.bin").write_bytes(os.urandom(32 * 1024))
    modules.kill_upload(source, lambda: len(modules.store.objects("model/v1/")) >= 50)
    held = len(modules.store.objects("model/v1/"))
    assert 50 <= held < 400
    rest = modules.upload(source)
    assert len(rest["unchanged"]) == held and len(rest["uploaded"]) == 401 - held
    # Get the manifest, list objects and unfinished uploads; put missing objects and the manifest; list objects.
    assert rest["requests"] == 3 + (401 - held) + 1
    assert modules.upload(source)["requests"] == 1


def test_objects_without_a_manifest_are_completed(modules: Modules, large: Path) -> None:
    content = (large / "metadata.json").read_bytes()
    modules.store.put("model/v1/metadata.json", content, hashlib.sha256(content).hexdigest())
    (large / "model.bin").write_bytes(b"model")
    result = modules.upload(large)
    assert result["unchanged"] == ["metadata.json"] and result["uploaded"] == ["manifest.json", "model.bin"]


def test_a_truncated_object(modules: Modules, large: Path, tmp_path: Path) -> None:
    modules.upload(large)
    modules.store.put("model/v1/model.bin", b"cut", hashlib.sha256(b"cut").hexdigest())
    where = {"dest": str(tmp_path / "dest"), "name": "model", "version": "v1"}
    assert modules.run("spaces_download", **where)["failed"]
    assert not (tmp_path / "dest").exists()
    # The manifest still describes the version, but only overwrite compares the objects with it.
    assert modules.upload(large)["changed"] is False
    (large / "metadata.json").write_bytes(b"[]")
    assert modules.upload(large, overwrite=True)["uploaded"] == ["manifest.json", "metadata.json", "model.bin"]
    assert modules.run("spaces_download", **where)["changed"] is True


@pytest.mark.parametrize("interrupted", [False, True])
def test_four_uploads_of_one_folder_at_once(modules: Modules, large: Path, interrupted: bool) -> None:
    (large / "other.bin").write_bytes(os.urandom(PART + MIB))
    if interrupted:
        for name in ("model.bin", "other.bin", "other.bin", "gone.bin"):
            modules.store.start(f"model/v1/{name}")
    arguments = {"source": str(large), "name": "model", "version": "v1"}
    started = [modules.start("spaces_upload", **arguments) for _host in range(4)]
    results = [modules.end(process) for process in started]
    assert len({result.get("digest") for result in results}) == 1, results
    assert not [result for result in results if result.get("failed")], results
    assert modules.store.unfinished("") == {}
    assert modules.upload(large)["changed"] is False


def test_two_uploads_of_two_folders_at_once(modules: Modules, large: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.bin").write_bytes(os.urandom(PART))
    (other / "metadata.json").write_bytes(b"[]")
    started = [
        modules.start("spaces_upload", source=str(source), name="model", version="v1") for source in (large, other)
    ]
    results = [modules.end(process) for process in started]
    assert any("msg" in result for result in results)
    # In either case a version that does not match its manifest is not downloaded, and can be repaired.
    if modules.store.get("model/v1/manifest.json") is not None:
        fetched = modules.run("spaces_download", dest=str(tmp_path / "dest"), name="model", version="v1")
        assert fetched.get("changed") is True or not (tmp_path / "dest").exists(), fetched
        modules.upload(large, overwrite=True)
        fetched = modules.run("spaces_download", dest=str(tmp_path / "mended"), name="model", version="v1")
        assert fetched.get("changed") is True, fetched
