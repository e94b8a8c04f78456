# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Downloading one version of a model into a folder, atomically.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import ObjectStore

from .folder import LocalFile, digest_all, scan_any
from .location import Target
from .manifest import MANIFEST, Entry, Manifest, parse, shortened
from .staging import not_writable, staging_folder
from .transfer import PART_SIZE
from .verify import contains


@dataclass(frozen=True)
class Fetched:
    """What was done, or in check mode would be.

    downloaded, removed, unchanged: paths below the folder, in order; before, after: size and sha256 by path;
    requests: how many were made.
    """

    target: Target
    dest: Path
    digest: str
    downloaded: list[str]
    removed: list[str]
    unchanged: list[str]
    bytes_received: int
    requests: int
    before: dict[str, Entry] = field(default_factory=dict)
    after: dict[str, Entry] = field(default_factory=dict)

    def result(self) -> dict[str, Any]:
        """Return the module's result; diff shows path, size and sha256 of each file on a line of its own."""
        return {
            "changed": bool(self.downloaded or self.removed),
            "dest": str(self.dest),
            "uri": self.target.uri,
            "digest": self.digest,
            "downloaded": self.downloaded,
            "removed": self.removed,
            "unchanged": self.unchanged,
            "bytes_received": self.bytes_received,
            "requests": self.requests,
            "diff": {"before": _lines(self.before), "after": _lines(self.after)},
        }


def fetch(
    store: ObjectStore,
    target: Target,
    dest: Path,
    *,
    digest: str | None,
    check_mode: bool,
    connections: int = 8,
) -> Fetched:
    """Download the version into the folder; one that is the same costs one request.

    :param digest: what the version's digest must be, or None for any.
    :raises KServeError: the version is not complete or another, the folder is not to be replaced, or what came is not
        what the manifest says.
    """
    manifest = complete_manifest(store, target, digest)
    wanted = {**manifest.files, MANIFEST: Entry(manifest.sha256, len(manifest.content))}
    _check_parent(dest)
    # Check mode changes nothing, so that it needs no lock.
    with nullcontext() if check_mode else staging_folder(dest) as folder:
        local = _compare(dest, wanted)
        if (local.differing or local.removed) and not check_mode:
            if folder is None:
                raise not_writable(dest.parent)
            missing = {name: manifest.files[name] for name in local.differing if name != MANIFEST}
            _keep(folder, {name: local.files[name] for name in local.fits if name != MANIFEST}, missing)
            _fill(_Source(store, target, manifest), folder, missing, connections)
            (folder / MANIFEST).write_bytes(manifest.content)
            _swap(folder, dest)
    return Fetched(
        target=target,
        dest=dest,
        digest=manifest.digest,
        downloaded=local.differing,
        removed=local.removed,
        unchanged=sorted(local.fits),
        bytes_received=sum(wanted[name].size for name in local.differing),
        requests=store.requests,
        before={name: Entry(file.known_sha256 or "differs", file.size) for name, file in local.files.items()},
        after=wanted,
    )


def complete_manifest(store: ObjectStore, target: Target, digest: str | None) -> Manifest:
    """Return the manifest of a version that is complete, in one request.

    :param digest: what the version's digest must be, or None for any.
    :raises KServeError: the version has no manifest or another digest.
    """
    content = store.get(target.prefix + MANIFEST)
    if content is None:
        raise KServeError(
            f"The version {target.uri} has no manifest, so it does not exist or is incomplete; "
            "correct name and version, or upload it with spaces_upload.",
            reason="VersionIncomplete",
        )
    manifest = parse(content, target.uri + MANIFEST)
    if digest and manifest.digest != digest:
        raise KServeError(
            f"The version {target.uri} has the digest {manifest.digest} and not {digest}; "
            "see who has changed it, or set digest to the one that is there.",
            reason="DigestMismatch",
        )
    return manifest


@dataclass(frozen=True)
class _Local:
    """The folder compared with a version: its files, and the names of those that fit, differ or are missing, or go."""

    files: dict[str, LocalFile]
    fits: set[str]
    differing: list[str]
    removed: list[str]


def _compare(dest: Path, wanted: Mapping[str, Entry]) -> _Local:
    files = _local(dest)
    # A size tells enough of most files that differ; the rest are read.
    digest_all(file for file in files.values() if file.name in wanted and file.size == wanted[file.name].size)
    fits = {name for name, file in files.items() if name in wanted and file.known_sha256 == wanted[name].sha256}
    return _Local(files, fits, sorted(wanted.keys() - fits), sorted(files.keys() - wanted.keys()))


def _check_parent(dest: Path) -> None:
    """Refuse a folder that cannot be replaced as a whole."""
    here = Path.cwd()
    if dest.name in ("", "..") or dest.resolve() in (here, *here.parents):
        raise KServeError(
            f"{dest} cannot be replaced as a whole, since it is no folder's name, or the module runs in it; set dest "
            "to another path.",
            reason="InvalidOption",
        )
    if dest.is_symlink() or (dest.exists() and not dest.is_dir()):
        raise KServeError(f"{dest} is not a folder; set dest to another path.", reason="InvalidOption")
    if not dest.parent.is_dir():
        raise KServeError(
            f"The folder {dest.parent} does not exist; create it, or set dest to another path.", reason="InvalidOption"
        )


def _local(dest: Path) -> dict[str, LocalFile]:
    if not dest.exists():
        return {}
    files = {file.name: file for file in scan_any(dest)}
    if files and MANIFEST not in files:
        raise KServeError(
            f"The folder {dest} holds files ({shortened(sorted(files))}) and no {MANIFEST}, so it is not a downloaded "
            "version; set dest to another path, or empty the folder if nothing in it is needed.",
            reason="DestinationNotEmpty",
        )
    return files


def _keep(folder: Path, local: Mapping[str, LocalFile], missing: dict[str, Entry]) -> None:
    """Delete from the folder what is not in the version, and move what fits into it."""
    left = {file.name: file for file in scan_any(folder)}
    digest_all(file for file in left.values() if file.name in missing and file.size == missing[file.name].size)
    for name, file in left.items():
        if name in missing and file.known_sha256 == missing[name].sha256:
            del missing[name]
        else:
            file.path.unlink()
    for name, file in local.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.hardlink_to(file.path)
        except OSError:
            shutil.copyfile(file.path, path)


@dataclass(frozen=True)
class _Source:
    """The version in the bucket."""

    store: ObjectStore
    target: Target
    manifest: Manifest

    def key(self, name: str) -> str:
        return self.target.prefix + name

    def fault(self, name: str, entry: Entry, path: Path) -> KServeError:
        """Return why a file is not what the manifest says, which may be the fault of the disk, or of another run.

        To upload the version again is advised only if the object itself is seen to be another one.
        """
        if contains(self.store, self.key(name), entry.size, entry.sha256):
            return KServeError(
                f"{path} is not what was downloaded to it, though the object {self.key(name)} is intact; see the disk "
                "and the connection, and run again.",
                reason="DownloadDamaged",
            )
        if self.store.get(self.key(MANIFEST)) != self.manifest.content:
            return KServeError(
                f"The version {self.target.uri} was replaced while it was downloaded; run again.",
                reason="ConcurrentRun",
            )
        return KServeError(
            f"The object {self.key(name)} is not what the version's manifest says; upload the version again with "
            "overwrite.",
            reason="ObjectCorrupt",
        )


def _fill(source: _Source, folder: Path, missing: Mapping[str, Entry], connections: int) -> None:
    with ThreadPoolExecutor(connections, thread_name_prefix="fetch") as pool:
        waiting: list[Future[None]] = []
        try:
            # The largest first, so that the last is not fetched alone.
            for name, entry in sorted(missing.items(), key=lambda item: -item[1].size):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if entry.size < PART_SIZE:
                    waiting.append(pool.submit(_small, source, name, path, entry))
                    continue
                path.write_bytes(b"")
                ranges = [
                    pool.submit(_range, source, name, path, start, min(PART_SIZE, entry.size - start))
                    for start in range(0, entry.size, PART_SIZE)
                ]
                waiting.append(pool.submit(_joined, source, name, path, entry, ranges))
            for future in waiting:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _small(source: _Source, name: str, path: Path, entry: Entry) -> None:
    content = source.store.read(source.key(name), 0, entry.size)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise source.fault(name, entry, path)
    path.write_bytes(content)


def _range(source: _Source, name: str, path: Path, start: int, size: int) -> None:
    content = source.store.read(source.key(name), start, size)
    # A stream without a buffer would write a part and say so, where the disk is full.
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(content)


def _joined(source: _Source, name: str, path: Path, entry: Entry, ranges: list[Future[None]]) -> None:
    for part in ranges:
        part.result()
    if LocalFile(path.name, path, entry.size).sha256 != entry.sha256:
        raise source.fault(name, entry, path)


def _swap(folder: Path, dest: Path) -> None:
    """Replace the old folder with the finished one."""
    old = dest.with_name(f".{dest.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if dest.exists():
        dest.rename(old)
    folder.rename(dest)
    shutil.rmtree(old, ignore_errors=True)


def _lines(files: Mapping[str, Entry]) -> str:
    return "".join(f"{name} {entry.size} sha256:{entry.sha256}\n" for name, entry in sorted(files.items()))
