# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploading one version of a model to an object store, atomically.

A version is complete when its manifest is there, which is written last, and from then on it stays as it is.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import (
    AlreadyThere,
    BucketMissing,
    ObjectStore,
    StoredObject,
)

from .folder import LocalFile, digest_all
from .location import Target
from .manifest import MANIFEST, Entry, Manifest, differences, parse, shortened
from .transfer import ATTEMPTS, Outcome, changed, in_parts, send, unfinished_uploads
from .verify import Wanted, contains, differing

# Takes the files and a function that gives the sha256 of their manifest, and raises KServeError where they may not go.
Gate = Callable[[Sequence[LocalFile], Callable[[], str]], dict[str, Any]]


@dataclass(frozen=True)
class Published:
    """What was done, or in check mode would be.

    uploaded, removed, unchanged: names below the prefix, in order; before, after: what diff mode shows of each object,
    by name; requests: how many were made; gate: what it returned, where there is one and it was needed.
    """

    target: Target
    digest: str
    uploaded: list[str]
    removed: list[str]
    unchanged: list[str]
    bytes_sent: int
    requests: int
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    warning: str | None = None
    gate: dict[str, Any] | None = None

    def result(self) -> dict[str, Any]:
        """Return the module's result; diff shows key, size and digest of each object on a line of its own."""
        return {
            "changed": bool(self.uploaded or self.removed),
            "uri": self.target.uri,
            "digest": self.digest,
            "uploaded": self.uploaded,
            "removed": self.removed,
            "unchanged": self.unchanged,
            "bytes_sent": self.bytes_sent,
            "requests": self.requests,
            **({"gate": self.gate} if self.gate else {}),
            "diff": {"before": self._lines(self.before), "after": self._lines(self.after)},
        }

    def _lines(self, objects: Mapping[str, str]) -> str:
        return "".join(f"{self.target.prefix}{name} {text}\n" for name, text in sorted(objects.items()))


def publish(
    store: ObjectStore,
    target: Target,
    files: Sequence[LocalFile],
    *,
    overwrite: bool,
    check_mode: bool,
    create_bucket: bool = False,
    connections: int = 8,
    gate: Gate | None = None,
) -> Published:
    """Upload the folder as the version; with create_bucket create its bucket if needed.

    A version that is the same costs one request. One that is complete and differs is refused unless overwrite, and so
    are objects that the folder lacks in one that is not complete. Where there is something to do, the gate comes first.

    :raises KServeError: the version is not to be changed, the store refuses, or it does not hold what was sent.
    """
    files = _without_own_manifest(files)
    missing = None
    try:
        content = store.get(target.prefix + MANIFEST)
    except BucketMissing as error:
        if not check_mode and not create_bucket:
            raise
        content, missing = None, error
    released = None
    if content is not None:
        digest_all(files)
        here = _manifest(files)
        if here.content == content:
            lines = _described(here)
            names = sorted([*here.files, MANIFEST])
            return Published(target, here.digest, [], [], names, 0, store.requests, lines, lines)
        released = _released(target, content, here, overwrite)
    passed = gate(files, lambda: _digested(files).sha256) if gate else None
    warning = f"{missing} Check mode continues as if it were empty." if missing and check_mode else None
    if missing and not check_mode:
        store.create()
    run = _Run(store, target, files, released, connections, check_mode, overwrite)
    result = run.complete(withdraw=content is not None, empty=warning is not None, warning=warning)
    return replace(result, gate=passed)


def _without_own_manifest(files: Sequence[LocalFile]) -> list[LocalFile]:
    """Take a downloaded version's manifest out of the list: it is written again, and must be the same."""
    others = [file for file in files if file.name != MANIFEST]
    for given in (file for file in files if file.name == MANIFEST):
        digest_all(others)
        if not others or given.sha256 != _manifest(others).sha256:
            raise KServeError(
                f"{given.path} is not the manifest of the files beside it; remove it, since the module writes its own.",
                reason="FileUnsupported",
            )
    return others


def _digested(files: Sequence[LocalFile]) -> Manifest:
    digest_all(files)
    return _manifest(files)


def _manifest(files: Sequence[LocalFile]) -> Manifest:
    return Manifest({file.name: Entry(file.sha256, file.size) for file in files})


def _released(target: Target, content: bytes, here: Manifest, overwrite: bool) -> dict[str, Entry]:
    """Return the files of the complete version that may be overwritten, or refuse."""
    try:
        there = parse(content, target.uri + MANIFEST)
    except KServeError:
        if overwrite:
            return {}
        raise
    if not overwrite:
        raise KServeError(
            f"The version {target.uri} is complete and the folder differs from it "
            f"({differences(there.files, here.files)}); give the folder another version, or set overwrite.",
            reason="VersionExists",
        )
    return there.files


def _described(manifest: Manifest) -> dict[str, str]:
    lines = {name: f"{entry.size} sha256:{entry.sha256}" for name, entry in manifest.files.items()}
    return {**lines, MANIFEST: f"{len(manifest.content)} {manifest.digest}"}


class _Run:
    """A run that has something to do.

    released: the entries of an existing manifest, by name.
    """

    def __init__(
        self,
        store: ObjectStore,
        target: Target,
        files: Sequence[LocalFile],
        released: Mapping[str, Entry] | None,
        connections: int,
        check_mode: bool,
        overwrite: bool,
    ) -> None:
        self._store = store
        self._target = target
        self._files = files
        self._released = released or {}
        self._connections = connections
        self._check_mode = check_mode
        self._overwrite = overwrite

    def complete(self, *, withdraw: bool, empty: bool, warning: str | None) -> Published:
        """Send what is missing, remove what is superfluous, verify the result, and write the manifest.

        :param withdraw: whether a manifest is there, which has to go before anything else changes.
        :param empty: whether the bucket is not there.
        """
        prefix = self._target.prefix
        stored = {} if empty else self._list()
        removed = sorted(stored.keys() - {file.name for file in self._files})
        if removed and not self._overwrite:
            raise KServeError(
                f"The incomplete version {self._target.uri} contains objects that are not in the folder "
                f"({shortened(removed)}); add them to the folder, or set overwrite to have them removed.",
                reason="VersionIncomplete",
            )
        if withdraw and not self._check_mode:
            self._store.remove(prefix + MANIFEST)
        kept = {file.name: stored[file.name] for file in self._files if self._is_kept(file, stored)}
        unfinished = {} if empty else unfinished_uploads(self._store, prefix, self._files, self._connections)
        outcomes = send(
            self._store,
            prefix,
            [file for file in self._files if file.name not in kept],
            stored,
            unfinished,
            connections=self._connections,
            dry_run=self._check_mode,
        )
        manifest = self._manifest(outcomes)
        if not self._check_mode:
            self._remove(removed)
            self._verify(kept, outcomes)
            if unfinished or any(in_parts(file) for file in self._files):
                self._give_up_unfinished()
            self._release(manifest, outcomes)
        unchanged = sorted([*kept, *(name for name, outcome in outcomes.items() if outcome.kept)])
        after = _described(manifest)
        return Published(
            target=self._target,
            digest=manifest.digest,
            uploaded=sorted([MANIFEST, *(name for name, outcome in outcomes.items() if not outcome.kept)]),
            removed=removed,
            unchanged=unchanged,
            bytes_sent=sum(outcome.sent for outcome in outcomes.values()) + len(manifest.content),
            requests=self._store.requests,
            before={name: after[name] if name in unchanged else _as_listed(stored[name]) for name in stored},
            after=after,
            warning=warning,
        )

    def _list(self) -> dict[str, StoredObject]:
        prefix = self._target.prefix
        listing = self._store.objects(prefix)
        # Consoles create empty objects that end in a slash to show a folder; they are no part of a model.
        names = {key.removeprefix(prefix): found for key, found in listing.items() if not key.endswith("/")}
        names.pop(MANIFEST, None)
        return names

    def _is_kept(self, file: LocalFile, stored: Mapping[str, StoredObject]) -> bool:
        held, entry = stored.get(file.name), self._released.get(file.name)
        return bool(held and entry and held.size == entry.size == file.size and entry.sha256 == file.sha256)

    def _manifest(self, outcomes: Mapping[str, Outcome]) -> Manifest:
        entries = {}
        for file in self._files:
            sent = outcomes[file.name].sha256 if file.name in outcomes else file.sha256
            # What was validated before, by whoever decided that this folder may be sent, must be what was sent.
            if file.known_sha256 not in (None, sent):
                raise changed(file)
            entries[file.name] = Entry(sent, file.size)
        return Manifest(entries)

    def _remove(self, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(self._connections) as pool:
            for _nothing in pool.map(self._store.remove, [self._target.prefix + name for name in names]):
                pass

    def _verify(self, kept: Mapping[str, StoredObject], outcomes: Mapping[str, Outcome]) -> None:
        """Verify that the store contains the objects that it has acknowledged, and nothing else."""
        wanted = {
            file.name: Wanted(file.size, kept[file.name].etag, file.sha256)
            if file.name in kept
            else Wanted(file.size, outcomes[file.name].etag or "", outcomes[file.name].sha256)
            for file in self._files
        }
        wrong = differing(self._store, self._target.prefix, wanted, self._list)
        if wrong:
            raise KServeError(
                f"The object store does not contain {self._target.uri} as it was uploaded ({shortened(wrong)}); "
                "see that only one run writes to this version, and run again.",
                reason="ConcurrentRun",
            )

    def _give_up_unfinished(self) -> None:
        """Abort uploads of earlier runs, and those of a start whose answer was lost.

        Not before every object is there: another run that sends the same files then finds them.
        """
        for key, uploads in unfinished_uploads(
            self._store, self._target.prefix, self._files, self._connections
        ).items():
            for upload in uploads:
                self._store.abort(key, upload)

    def _release(self, manifest: Manifest, outcomes: Mapping[str, Outcome]) -> None:
        key = self._target.prefix + MANIFEST
        for _attempt in range(ATTEMPTS):
            try:
                self._store.put(key, manifest.content, manifest.sha256, new=True)
            except AlreadyThere:
                content = self._store.get(key)
                if content is None:  # another run with overwrite has deleted it in between
                    continue
                if content != manifest.content:
                    self._yield(content, outcomes)
            return
        raise KServeError(
            f"Other runs keep changing {self._target.uri}, so it may be incomplete; run one of them again.",
            reason="ConcurrentRun",
        )

    def _yield(self, content: bytes, outcomes: Mapping[str, Outcome]) -> None:
        """Another run was first with another content: its version stays unless this run has damaged it."""
        where = self._target.uri
        try:
            theirs = parse(content, where + MANIFEST).files
        except KServeError:
            theirs = {}
        found = self._list()
        damaged = [
            name
            for name, outcome in outcomes.items()
            if name in found
            and self._is_mine(name, outcome, found[name])
            and theirs.get(name, Entry("", 0)).sha256 != outcome.sha256
        ]
        if damaged:
            self._store.remove(self._target.prefix + MANIFEST)
            raise KServeError(
                f"Two runs with different files wrote to {where} at once, so it is incomplete; run one of them again.",
                reason="ConcurrentRun",
            )
        raise KServeError(
            f"Another run with other files has completed {where} meanwhile; use another version.",
            reason="VersionExists",
        )

    def _is_mine(self, name: str, outcome: Outcome, found: StoredObject) -> bool:
        if found.etag and outcome.etag:
            return found.etag == outcome.etag
        size = next(file.size for file in self._files if file.name == name)
        return found.size == size and contains(self._store, self._target.prefix + name, size, outcome.sha256)


def _as_listed(stored: StoredObject) -> str:
    return f"{stored.size} etag:{stored.etag}"
