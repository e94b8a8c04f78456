# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the loader's Job runs: ``python3 load_model.py --bucket B --name N --version V --volume DIR``.

It brings one version of a model from a bucket to ``DIR/N/V`` of a volume that many pods mount. It needs no more than
Python 3.9 and boto3, so that KServe's storage initializer can run it. The keys and the store's address are in AWS's
own environment variables.

- A version is there whole or not at all: its files are put together in a folder beside it, compared with the size and
  sha256 in the version's manifest and written through to the disk, and then the folder is renamed.
- One loader at a time works on a model. Another one waits, and then finds the work done.
- What a killed loader has left is taken away by the next one.
- The versions that were asked for last are kept, and each one that serves.

The exit code is 1 where running again does not help, and 75 where it may.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

MANIFEST = "manifest.json"
# What stands beside the versions. None of it is a version, whose name cannot begin with a dot.
LOADING, REPLACED, REMOVED, LOCK = ".loading", ".replaced", ".removed", ".lock"
TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LoadError(Exception):
    """The version is not loaded; the text is one sentence that says what to change."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class DamagedError(LoadError):
    """An object is not what the version's manifest says."""


@dataclass(frozen=True)
class Entry:
    """A file of a version; size: bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The files of a version by their path, and the bytes that say so."""

    content: bytes
    files: dict[str, Entry]

    @property
    def digest(self) -> str:
        """What the version is known by."""
        return _digest(self.content)

    @property
    def size(self) -> int:
        """The size of all files together, in bytes."""
        return sum(entry.size for entry in self.files.values())


class Bucket:
    """The bucket, by boto3's client for S3."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def uri(self, key: str) -> str:
        """The object's address, for people."""
        return f"s3://{self._name}/{key}"

    def read(self, key: str) -> bytes | None:
        """A small object's content, or None where there is none."""
        try:
            content: bytes = self._client.get_object(Bucket=self._name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise self._failure(key, error) from error
        except BotoCoreError as error:
            raise self._failure(key, error) from error
        return content

    def fetch(self, key: str, path: Path, size: int) -> None:
        """Write the object to the path, if it has as many bytes as it must."""
        try:
            found = self._client.head_object(Bucket=self._name, Key=key)["ContentLength"]
            if found != size:
                raise DamagedError(
                    f"The object {self.uri(key)} has {found} bytes where the version's manifest says {size}: "
                    "upload the version again with overwrite."
                )
            self._client.download_file(self._name, key, str(path))
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise self._failure(key, error) from error

    def sha256(self, key: str) -> str:
        """The digest of an object, which is read again for it."""
        digest = hashlib.sha256()
        try:
            for block in self._client.get_object(Bucket=self._name, Key=key)["Body"].iter_chunks(1 << 20):
                digest.update(block)
        except (ClientError, BotoCoreError) as error:
            raise self._failure(key, error) from error
        return digest.hexdigest()

    def _failure(self, key: str, error: Exception) -> LoadError:
        status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
        return LoadError(
            f"The object {self.uri(key)} cannot be read ({_one_line(error)}): check the store's address, the bucket, "
            "and the keys and what they may read.",
            TEMPORARY if status >= 500 else 1,
        )


@dataclass(frozen=True)
class Loader:
    """Loads versions of one model into a volume.

    Args:
        bucket: where the versions are, below ``NAME/VERSION/``.
        name: of the model.
        volume: the folder at which the volume is mounted.
        keep: how many versions stay, the one that is loaded among them.
        serving: versions that stay in any case.
        overwrite: whether a complete version with other content is replaced.
    """

    bucket: Bucket
    name: str
    volume: Path
    keep: int = 3
    serving: Collection[str] = ()
    overwrite: bool = False
    patience: int = 600

    @property
    def folder(self) -> Path:
        """The model's folder, in which each version has one."""
        return self.volume / self.name

    def load(self, version: str, digest: str | None = None) -> str:
        """Make the version be there, and return what was done as a sentence.

        Args:
            digest: what the version's digest must be, or None for any.

        Raises:
            LoadError: the version is not complete in the bucket, is another one there or in the volume, or cannot be
                written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock():
                self._tidy()
                return self._load(version, digest)
        except OSError as error:
            raise self._unwritable(error) from error

    def _load(self, version: str, digest: str | None) -> str:
        manifest = self._manifest(version, digest)
        who = f"{self.name} {version} ({manifest.digest}, {len(manifest.files)} files, {manifest.size} bytes)"
        if self._complete(version, manifest):
            message = f"{who} is in the volume already."
        else:
            self._refuse_other(version, manifest)
            self._fill(version, manifest)
            self._exchange(version)
            message = f"{who} is loaded."
        os.utime(self.folder / version / MANIFEST)
        removed = self._prune(version)
        return f"{message} Removed: {', '.join(removed)}." if removed else message

    def _manifest(self, version: str, digest: str | None) -> Manifest:
        key = f"{self.name}/{version}/{MANIFEST}"
        content = self.bucket.read(key)
        if content is None:
            raise LoadError(
                f"There is no {self.bucket.uri(key)}, so the version is not there or not complete: upload it, or "
                "correct name and version."
            )
        try:
            manifest = Manifest(content, _files(json.loads(content)))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise LoadError(
                f"{self.bucket.uri(key)} is no manifest of a version: upload the version again with overwrite."
            ) from None
        if digest and manifest.digest != digest:
            raise LoadError(
                f"The version {self.name} {version} has the digest {manifest.digest} in the bucket and not {digest}: "
                "see who has changed it, or run from the upload on again."
            )
        return manifest

    def _complete(self, version: str, manifest: Manifest) -> bool:
        folder = self.folder / version
        try:
            return (folder / MANIFEST).read_bytes() == manifest.content and all(
                (folder / name).stat().st_size == entry.size and _sha256_of(folder / name) == entry.sha256
                for name, entry in manifest.files.items()
            )
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _refuse_other(self, version: str, manifest: Manifest) -> None:
        """A version that is damaged is mended; one with another manifest, or none, is somebody's."""
        folder = self.folder / version
        if self.overwrite or not folder.exists():
            return
        try:
            there = _digest((folder / MANIFEST).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            there = "unknown, without a manifest"
        if there != manifest.digest:
            raise LoadError(
                f"The version {self.name} {version} is in the volume with other content (digest {there}, in the "
                f"bucket {manifest.digest}): give the new content another version, or allow overwriting."
            )

    def _fill(self, version: str, manifest: Manifest) -> None:
        stat = os.statvfs(self.folder)
        free = stat.f_bavail * stat.f_frsize
        if free < manifest.size:
            raise LoadError(
                f"The volume has {free} bytes left and {self.name} {version} needs {manifest.size}: make it larger, "
                "or keep fewer versions."
            )
        folder = self._beside(version, LOADING)
        folder.mkdir()
        # The largest first: it is the one that fails.
        for name, entry in sorted(manifest.files.items(), key=lambda item: -item[1].size):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            key = f"{self.name}/{version}/{name}"
            try:
                self._fetch(key, path, entry)
            except DamagedError as error:
                raise self._replaced(version, manifest) or error from error
        (folder / MANIFEST).write_bytes(manifest.content)
        _flush(folder / MANIFEST)
        for place, _folders, _names in os.walk(folder):
            _flush(Path(place))

    def _fetch(self, key: str, path: Path, entry: Entry) -> None:
        self.bucket.fetch(key, path, entry.size)
        _flush(path)
        if path.stat().st_size == entry.size and _sha256_of(path) == entry.sha256:
            return
        # To upload the version again is advised only if the object itself is seen to be another one.
        if self.bucket.sha256(key) == entry.sha256:
            raise LoadError(
                f"{path} is not what was downloaded to it, though the object {self.bucket.uri(key)} is intact: see the "
                "volume and the connection, and run again.",
                TEMPORARY,
            )
        raise DamagedError(
            f"The object {self.bucket.uri(key)} is not what the version's manifest says, its sha256 differs: "
            "upload the version again with overwrite."
        )

    def _replaced(self, version: str, manifest: Manifest) -> LoadError | None:
        """Return the error for a version that another has uploaded again meanwhile, or None."""
        if self.bucket.read(f"{self.name}/{version}/{MANIFEST}") == manifest.content:
            return None
        return LoadError(
            f"The version {self.name} {version} was replaced in the bucket while it was loaded: run again.", TEMPORARY
        )

    def _exchange(self, version: str) -> None:
        """Put the finished folder in its place. Pods that have mounted the old one keep it until they end."""
        folder, old = self.folder / version, self._beside(version, REPLACED)
        replaced = folder.exists()
        if replaced:
            folder.rename(old)
        self._beside(version, LOADING).rename(folder)
        _flush(self.folder)
        if replaced:
            shutil.rmtree(old, ignore_errors=True)

    def _tidy(self) -> None:
        """Take away what a killed loader has left, and put back what it had only put aside."""
        for path in self.folder.glob(f".*{REPLACED}"):
            folder = self.folder / path.name[1 : -len(REPLACED)]
            if not folder.exists():
                path.rename(folder)
        for ending in (LOADING, REPLACED, REMOVED):
            for path in self.folder.glob(f".*{ending}"):
                shutil.rmtree(path)

    def _prune(self, loaded: str) -> list[str]:
        """Remove the versions beyond those to keep, the longest unused first; return their names."""
        used = {path.parent.name: path.stat().st_mtime_ns for path in self.folder.glob(f"[!.]*/{MANIFEST}")}
        others = sorted(used.keys() - {loaded}, key=lambda version: -used[version])
        removed = [version for version in others[max(self.keep - 1, 0) :] if version not in self.serving]
        for version in removed:
            # A version that is half removed is none.
            aside = self._beside(version, REMOVED)
            (self.folder / version).rename(aside)
            shutil.rmtree(aside)
        return removed

    def _beside(self, version: str, ending: str) -> Path:
        return self.folder / f".{version}{ending}"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Be the only loader of this model; the lock of one that is killed is free."""
        handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o664)
        try:
            before = signal.signal(signal.SIGALRM, self._waited)
            signal.alarm(self.patience)
            fcntl.flock(handle, fcntl.LOCK_EX)
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
            yield
        finally:
            os.close(handle)

    def _waited(self, *_signal: Any) -> None:
        raise LoadError(
            f"Another loader has been at work on {self.name} for {self.patience} seconds: see what keeps it, or run "
            "again later.",
            TEMPORARY,
        )

    def _unwritable(self, error: OSError) -> LoadError:
        if error.errno in _FULL:
            return LoadError(
                f"The volume is full ({error.strerror}): make it larger, or keep fewer versions; {self.name} is as it "
                "was before."
            )
        return LoadError(
            f"{error.filename or self.folder} cannot be written ({error.strerror}): see to it that user {os.getuid()} "
            f"or group {os.getgid()} may write to the volume."
        )


def _files(data: Any) -> dict[str, Entry]:
    files = {}
    for name, entry in data["files"].items():
        # The name becomes a path.
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name or name == MANIFEST:
            raise ValueError(name)
        if not _SHA256.fullmatch(entry["sha256"]) or not isinstance(entry["size"], int):
            raise ValueError(name)
        files[name] = Entry(entry["sha256"], entry["size"])
    if not files:
        raise ValueError("no files")
    return files


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _client() -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    # What is no Amazon store seldom has a name in DNS for each bucket.
    style = "auto" if not endpoint or "amazonaws.com" in endpoint else "path"
    settings: Any = {"addressing_style": style}
    config = Config(s3=settings, retries={"mode": "standard", "max_attempts": 5})
    # Without a word the authorities of AWS_CA_BUNDLE, or botocore's own, must have signed the store's certificate.
    verify = False if os.environ.get("S3_VERIFY_SSL") == "0" else None
    return boto3.client("s3", endpoint_url=endpoint or None, config=config, verify=verify)


def _serving(path: Path | None, name: str) -> list[str]:
    """The versions of the model that serve, of a file with a list for each model; none where there is no file."""
    if path is None or not path.exists():
        return []
    versions: list[str] = json.loads(path.read_bytes()).get(name, [])
    return versions


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="load_model.py", description="Load a version of a model into a volume.")
    parser.add_argument("--bucket", required=True, help="the bucket")
    parser.add_argument("--name", required=True, help="the model")
    parser.add_argument("--version", required=True, help="its version")
    parser.add_argument("--volume", type=Path, required=True, help="the folder at which the volume is mounted")
    parser.add_argument("--digest", help="what the version's digest must be")
    parser.add_argument("--keep", type=int, default=3, help="how many versions stay (default: %(default)s)")
    parser.add_argument("--serving", type=Path, help="a JSON file with the versions that serve, by model")
    parser.add_argument("--overwrite", action="store_true", help="replace a version that has other content")
    parser.add_argument("--patience", type=int, default=600, help="seconds to wait for another loader (%(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the version, and say so; or say on stderr in one sentence why not."""
    options = _parser().parse_args(arguments)
    # Files are for the group, too: another user of it may load the next version.
    os.umask(0o002)
    try:
        loader = Loader(
            bucket=Bucket(_client(), options.bucket),
            name=options.name,
            volume=options.volume,
            keep=options.keep,
            serving=_serving(options.serving, options.name),
            overwrite=options.overwrite,
            patience=options.patience,
        )
        print(loader.load(options.version, options.digest))
    except LoadError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
