# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loader against the in-cluster object store: corrupt buckets, interrupted runs, and a full volume.

The loader runs here with the arguments of the Job, and a folder instead of the PVC.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.settings import REPOSITORY, Settings

from .helpers import s3_client, wait_until

PROGRAM = REPOSITORY / "roles" / "model_volume" / "files" / "load_model.py"
MIB = 2**20
SMALL = {"model.joblib": b"a model", "metadata.json": b"{}"}


class Loader:
    """Versions of the model `model` in a bucket for the test, and the loader that writes them to a folder."""

    def __init__(self, settings: Settings, volume: Path) -> None:
        self.volume = volume
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ACCESS_KEY_ID": "local-owner",
            "AWS_SECRET_ACCESS_KEY": (settings.state / "s3-secret-key").read_text().split()[0],
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{settings.s3_port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.bucket = f"test-{uuid.uuid4().hex[:12]}"
        self.store = s3_client(settings)

    def publish(self, version: str = "v1", files: dict[str, bytes] | None = None) -> str:
        """Upload a complete version to the bucket, and return its digest."""
        entries = {}
        for name, content in (files or SMALL).items():
            self.put(f"{version}/{name}", content)
            entries[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        manifest = json.dumps({"files": entries, "schema": 1}).encode()
        self.put(f"{version}/manifest.json", manifest)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def put(self, name: str, content: bytes) -> None:
        self.store.put_object(Bucket=self.bucket, Key=f"model/{name}", Body=content)

    def command(self, version: str = "v1", *words: str, volume: Path | None = None) -> list[str | Path]:
        where = [f"--bucket={self.bucket}", "--name=model", f"--version={version}", f"--volume={volume or self.volume}"]
        return [sys.executable, PROGRAM, *where, *words]

    def start(self, *words: str, env: dict[str, str] | None = None, **named: Any) -> subprocess.Popen[str]:
        command = self.command(*words, **named)
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env={**self.env, **(env or {})}, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str, **named: Any) -> tuple[int | None, str]:
        return self.end(self.start(*words, **named))

    @staticmethod
    def end(process: subprocess.Popen[str]) -> tuple[int | None, str]:
        printed, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors
        return process.returncode, (printed + errors).strip()

    def there(self) -> dict[str, bytes]:
        """The files of the volume, except locks."""
        found = {str(path.relative_to(self.volume)): path for path in self.volume.rglob("*") if path.is_file()}
        return {name: found[name].read_bytes() for name in sorted(found) if not name.endswith("/.lock")}

    def clear(self) -> None:
        for entry in self.store.list_objects_v2(Bucket=self.bucket).get("Contents", []):
            self.store.delete_object(Bucket=self.bucket, Key=entry["Key"])
        self.store.delete_bucket(Bucket=self.bucket)


@pytest.fixture
def loader(settings: Settings, tmp_path: Path) -> Iterator[Loader]:
    (tmp_path / "volume").mkdir()
    made = Loader(settings, tmp_path / "volume")
    made.store.create_bucket(Bucket=made.bucket)
    yield made
    made.clear()


def test_a_version_is_loaded_completely_and_once(loader: Loader) -> None:
    digest = loader.publish()
    code, output = loader.run("v1", f"--digest={digest}")
    assert (code, output) == (0, f"model v1 ({digest}, 2 files, 9 bytes) is loaded.")
    assert set(loader.there()) == {"model/v1/manifest.json", "model/v1/metadata.json", "model/v1/model.joblib"}
    assert "is in the volume already" in loader.run()[1]
    # Another user of the group must be able to load the next version.
    assert (loader.volume / "model/v1").stat().st_mode & 0o775 == 0o775


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.joblib", b"a mod", "model.joblib has 5 bytes where the version's manifest says 7: upload the version"),
        (
            "model.joblib",
            b"a mOdel",
            "model.joblib is not what the version's manifest says, its sha256 differs: upload",
        ),
        ("manifest.json", b'{"files": {', "manifest.json is no manifest of a version: upload the version again"),
    ],
    ids=["truncated", "corrupted", "manifest truncated"],
)
def test_an_object_that_does_not_match_the_upload(loader: Loader, name: str, content: bytes, message: str) -> None:
    loader.publish()
    loader.put(f"v1/{name}", content)
    code, printed = loader.run()
    assert code == 1 and message in printed
    assert not (loader.volume / "model" / "v1").exists()
    loader.publish()
    assert loader.run()[0] == 0


def test_a_missing_object_and_an_incomplete_version(loader: Loader) -> None:
    loader.publish()
    loader.store.delete_object(Bucket=loader.bucket, Key="model/v1/model.joblib")
    code, printed = loader.run()
    assert code == 1 and "model.joblib cannot be read" in printed and "404" in printed
    loader.put("v2/model.joblib", b"half")
    code, printed = loader.run("v2")
    assert code == 1 and "manifest.json, so the version is not there or not complete: upload it" in printed
    assert loader.there() == {}


def test_a_version_whose_content_has_changed(loader: Loader) -> None:
    loader.publish()
    loader.run()
    before = loader.there()
    other = loader.publish(files={**SMALL, "model.joblib": b"another"})
    code, printed = loader.run()
    assert code == 1 and "is in the volume with other content" in printed and other in printed
    assert loader.there() == before
    assert loader.run("v1", "--overwrite")[0] == 0
    assert loader.there()["model/v1/model.joblib"] == b"another"


def test_wrong_credentials_and_an_object_store_that_does_not_answer(loader: Loader, closed_port: int) -> None:
    loader.publish()
    code, printed = loader.end(loader.start(env={"AWS_SECRET_ACCESS_KEY": "wrong"}))
    assert code == 1 and "check the store's address, the bucket, and the keys and what they may read" in printed
    # The Job retries errors that may be temporary.
    code, printed = loader.end(loader.start(env={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port}"}))
    assert code == 75 and "Could not connect" in printed
    assert loader.there() == {}


def test_an_interrupted_loader(loader: Loader) -> None:
    large = os.urandom(64 * MIB)
    loader.publish(files={"model.joblib": large})
    process = loader.start()
    loading = loader.volume / "model" / ".v1.loading"

    def begun() -> bool:
        assert process.poll() is None, process.communicate()
        return any(path.stat().st_size for path in [*loading.glob("model.joblib*")])

    wait_until(begun, pause=0.002, what="the loader writes the model file")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert loading.exists() and not (loader.volume / "model" / "v1").exists()
    code, output = loader.run()
    assert code == 0 and output.endswith("is loaded.")
    assert hashlib.sha256(loader.there()["model/v1/model.joblib"]).digest() == hashlib.sha256(large).digest()
    assert not loading.exists()


def test_two_loaders_at_once(loader: Loader) -> None:
    loader.publish(files={"model.joblib": os.urandom(16 * MIB)})
    ended = [loader.end(process) for process in [loader.start() for _number in range(2)]]
    assert [code for code, _output in ended] == [0, 0]
    assert sorted(message.rpartition(") ")[2] for _code, message in ended) == [
        "is in the volume already.",
        "is loaded.",
    ]


def test_the_retained_versions(loader: Loader, tmp_path: Path) -> None:
    serving = tmp_path / "serving.json"
    serving.write_text('{"model": ["v1"], "other": ["v2"]}')
    for version in ("v1", "v2", "v3"):
        loader.publish(version)
        assert loader.run(version, "--keep=1", f"--serving={serving}")[0] == 0
    assert {name.split("/")[1] for name in loader.there()} == {"v1", "v3"}


@pytest.fixture
def small_disk(loader: Loader) -> Any:
    """Run the loader with a tmpfs of 8 MiB and the given number of inodes as its volume, in a mount namespace."""

    def run(inodes: int) -> tuple[int, str]:
        volume = loader.volume
        disk = f"mount -t tmpfs -o size=8m,nr_inodes={inodes} none {volume}"
        # The remaining files are listed inside the mount namespace, since the tmpfs is unmounted with it.
        script = f'{disk} && "$@"; code=$?; find {volume} -path "*/v1*"; exit $code'
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *loader.command()]
        result = subprocess.run(command, env=loader.env, capture_output=True, text=True, check=False)
        if "unshare failed" in result.stderr or "permission denied" in result.stderr.lower():
            pytest.skip("only root may mount a disk on this machine")
        return result.returncode, (result.stdout + result.stderr).strip()

    return run


def test_a_volume_that_is_too_small(loader: Loader, small_disk: Any) -> None:
    loader.publish(files={"model.joblib": os.urandom(9 * MIB)})
    code, printed = small_disk(100)
    assert code == 1
    assert "bytes left and model v1 needs 9437184: make it larger, or keep fewer versions." in printed
    assert "/v1" not in printed


def test_a_volume_that_becomes_full(loader: Loader, small_disk: Any) -> None:
    loader.publish(files={f"{number}.bin": b"x" for number in range(8)})
    code, printed = small_disk(8)
    assert code == 1
    assert "The volume is full (No space left on device): make it larger, or keep fewer versions; model is" in printed
    assert "/v1" not in printed
