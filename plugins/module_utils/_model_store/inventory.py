# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listing the models and versions in a bucket.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import ObjectStore

from .batch_predictions import is_of_a_batch
from .location import Target, is_segment
from .manifest import MANIFEST, Manifest, parse


def versions(
    store: ObjectStore, bucket: str, name: str | None, version: str | None, *, connections: int = 8
) -> list[dict[str, Any]]:
    """Describe each version of the bucket, in the order of names and versions.

    This takes a request for the names, one for each name, one for each version, and one more for each that is not
    complete. What has no valid name of a model or version is passed over, and so are the files and predictions of
    batches.

    :param name: only versions of this model; version: only versions of this name.
    """
    with ThreadPoolExecutor(connections) as pool:
        if name and version:
            return _described(store, Target(bucket, name, version))
        names = [name] if name else [found for found in store.folders("") if is_segment(found)]
        of_names = pool.map(lambda each: store.folders(f"{each}/"), names)
        targets = [
            Target(bucket, each, found)
            for each, those in zip(names, of_names, strict=True)
            for found in those
            if is_segment(found) and version in (None, found)
        ]
        # A store sorts its prefixes with their slash, by which 1.0.1/ comes before 1.0/.
        targets.sort(key=lambda target: (target.name, target.version))
        return [found for those in pool.map(lambda target: _described(store, target), targets) for found in those]


def _described(store: ObjectStore, target: Target) -> list[dict[str, Any]]:
    """Return what is known of a version, or nothing; without a manifest its objects tell one that is incomplete."""
    found = _describe(store, target)
    return [found] if found["complete"] or not all(map(is_of_a_batch, store.objects(target.prefix))) else []


def _describe(store: ObjectStore, target: Target) -> dict[str, Any]:
    content = store.get(target.prefix + MANIFEST)
    manifest: Manifest | None = None
    if content is not None:
        try:
            manifest = parse(content, target.uri + MANIFEST)
        except KServeError:
            manifest = None  # as good as none, since the version cannot be downloaded
    files = manifest.files if manifest else {}
    return {
        "name": target.name,
        "version": target.version,
        "uri": target.uri,
        "complete": manifest is not None,
        "digest": manifest.digest if manifest else None,
        "size": manifest.size if manifest else None,
        "files": [{"name": file, "size": files[file].size, "sha256": files[file].sha256} for file in sorted(files)],
    }
