# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changing single fields of manifests from upstream.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Manifest

_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def with_ca_bundle(manifest: Manifest, ca: str) -> Manifest:
    """Return a configuration of webhooks with the CA in each that a Service answers, and anything else as it is.

    :param ca: certificates as PEM text.
    """
    if manifest.kind not in _WEBHOOKS:
        return manifest
    bundle = {"caBundle": base64.b64encode(ca.encode()).decode()}
    webhooks = [
        {**webhook, "clientConfig": {**webhook["clientConfig"], **bundle}}
        if "service" in (webhook.get("clientConfig") or {})
        else webhook
        for webhook in manifest.body.get("webhooks") or ()
    ]
    return replace(manifest, body={**manifest.body, "webhooks": webhooks})


def apply_patches(manifests: Iterable[Manifest], patches: Sequence[Mapping[str, Any]]) -> list[Manifest]:
    """Return the manifests with the patches merged into them, in the order given.

    :param patches: parts of objects, with kind and metadata.name; metadata.namespace where the name is not enough.
    :raises KServeError: a patch names no object, or one that is not among the manifests.
    """
    patched = list(manifests)
    for number, patch in enumerate(patches):
        metadata = patch.get("metadata")
        if not isinstance(metadata, Mapping) or not patch.get("kind") or not metadata.get("name"):
            raise KServeError(
                f"patches[{number}] needs kind and metadata.name, which select the object.", reason="InvalidPatch"
            )
        fits = [index for index, manifest in enumerate(patched) if _is_for(patch, manifest)]
        if not fits:
            raise KServeError(
                f"patches[{number}] is for {patch['kind']} {metadata['name']}, which is in no manifest; correct its "
                "kind, name and namespace, or leave it out.",
                reason="PatchUnmatched",
            )
        for index in fits:
            manifest = patched[index]
            patched[index] = replace(manifest, body=merge_patch(manifest.body, _with_texts(patch, manifest)))
    return patched


def _with_texts(patch: Mapping[str, Any], manifest: Manifest) -> Mapping[str, Any]:
    """Return a patch of a ConfigMap, whose values are texts, with its maps merged into the JSON of these texts.

    :raises KServeError: the text is no JSON object.
    """
    data = patch.get("data")
    if (manifest.group, manifest.kind) != ("", "ConfigMap") or not isinstance(data, Mapping):
        return patch
    below: Mapping[str, Any] = manifest.body.get("data") or {}
    texts = {key: _merged_json(manifest, key, below.get(key) or "{}", value) for key, value in data.items()}
    return {**patch, "data": texts}


def _merged_json(manifest: Manifest, key: str, below: str, above: Any) -> Any:
    if not isinstance(above, Mapping):
        return above
    try:
        before = json.loads(below)
    except ValueError:
        before = None
    if not isinstance(before, Mapping):
        raise KServeError(
            f"A patch has a map for {key} of {manifest}, whose text is no JSON object; give the whole text instead.",
            reason="InvalidPatch",
        )
    after = merge_patch(before, above)
    return below if after == before else json.dumps(after, indent=2)


def _is_for(patch: Mapping[str, Any], manifest: Manifest) -> bool:
    metadata = patch["metadata"]
    return bool(
        manifest.kind == patch["kind"]
        and manifest.name == metadata["name"]
        and manifest.api_version == patch.get("apiVersion", manifest.api_version)
        and manifest.namespace == metadata.get("namespace", manifest.namespace)
    )


def merge_patch(below: Any, above: Any) -> Any:
    """Return below with above merged into it.

    Maps are merged key by key, and lists whose entries have names entry by entry. Null takes a key away, and
    "$patch: delete" an entry, as in kubectl's strategic merge. Everything else replaces the existing value.
    """
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        both = {key: merge_patch(below.get(key), value) for key, value in above.items() if value is not None}
        return {key: value for key, value in below.items() if key not in above} | both
    if _are_named(below) and _are_named(above):
        changes = {entry["name"]: entry for entry in above}
        kept = [merge_patch(entry, changes.pop(entry["name"], {})) for entry in below if not _goes(entry, changes)]
        return kept + [merge_patch({}, entry) for entry in changes.values() if not _goes(entry, changes)]
    if isinstance(above, Mapping):
        return merge_patch({}, above)
    return above


def _goes(entry: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return bool(changes.get(entry["name"], {}).get("$patch") == "delete")


def _are_named(entries: Any) -> bool:
    return (
        isinstance(entries, Sequence)
        and not isinstance(entries, str)
        and bool(entries)
        and all(isinstance(entry, Mapping) and "name" in entry for entry in entries)
    )
