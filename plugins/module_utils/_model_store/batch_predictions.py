# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the predictions of a model for a file are in a bucket, and whether they are all there.

They are the objects below C(FILE.predictions/NAME-VERSION-ID/), which the batch program of model/batch writes, with
C(manifest.json) last. ID stands for all that the predictions depend on: the file's content by its ETag, the model's
digest, and what is asked for. So other content, or another model under the same name, is another place.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import ObjectStore

from .download import complete_manifest
from .location import Target
from .manifest import MANIFEST

ENDINGS = (".csv", ".parquet")
PREDICTIONS = ".predictions/"
_COUNTS = ("rows", "rejected", "parts", "rejects")


def is_of_a_batch(key: str) -> bool:
    """Say whether an object is a file that can be predicted, or belongs to the predictions of one."""
    lower = key.lower()
    return lower.endswith(ENDINGS) or any(ending + PREDICTIONS in lower for ending in ENDINGS)


def describe(
    store: ObjectStore, target: Target, key: str, *, digest: str | None, probabilities: bool, keep: Sequence[str]
) -> dict[str, Any]:
    """Return what is known of file, model and predictions; three requests, or two where there are no predictions.

    :param key: of the file; digest: what the version's digest must be, or None for any.
    :param probabilities, keep: what is asked for beside the predictions.
    :raises KServeError: the file is not there or of no kind that can be read, or the version is not complete.
    """
    if not key.lower().endswith(ENDINGS):
        raise KServeError(
            f"The file {key} ends in neither .csv nor .parquet; give it the ending of what it holds.",
            reason="InvalidOption",
        )
    found = store.objects(key)
    if key not in found:
        raise KServeError(
            f"There is no file {key} in the bucket {target.bucket}; put it there, or correct input and bucket.",
            reason="ObjectNotFound",
        )
    model = complete_manifest(store, target, digest)
    etag, size = found[key].etag, found[key].size
    request = json.dumps([etag, size, model.digest, probabilities, list(keep)])
    identity = hashlib.sha256(request.encode()).hexdigest()[:12]
    output = f"{key}{PREDICTIONS}{target.name}-{target.version}-{identity}/"
    complete = output + MANIFEST in found
    return {
        "input": {"key": key, "etag": etag, "size": size},
        "model": {"name": target.name, "version": target.version, "digest": model.digest, "uri": target.uri},
        "id": identity,
        "output": output,
        "uri": f"s3://{target.bucket}/{output}",
        "complete": complete,
        **(_counts(store, target, output) if complete else dict.fromkeys(_COUNTS)),
    }


def _counts(store: ObjectStore, target: Target, output: str) -> dict[str, Any]:
    content = store.get(output + MANIFEST)
    try:
        manifest = json.loads(content or b"")
        return {
            "rows": int(manifest["rows"]),
            "rejected": int(manifest["rejected"]),
            "parts": sorted(manifest["parts"]),
            "rejects": sorted(manifest["rejects"]),
        }
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        raise KServeError(
            f"s3://{target.bucket}/{output}{MANIFEST} is not a manifest of predictions; "
            "see who has written it, or remove it if nobody needs it, and run the batch again.",
            reason="InvalidManifest",
        ) from error
