# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owner references that name their owner, completed with its UID.

Kubernetes deletes an object whose owners are all gone, and tells owners apart by their UIDs, which no manifest can
know. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.discovery import find_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Kind, Manifest, Target

from .errors import refusal
from .options import Options

Json = Mapping[str, Any]


def with_owner_uids(api: ApplyApi, targets: Sequence[Target], options: Options) -> list[Target]:
    """Return the objects, with the UID of the live owner in each owner reference that has none.

    In check mode a reference to an owner that is missing is left out, since an earlier task may create it.

    :raises KServeError: an owner is missing, or cannot be read.
    """
    named = [target for target in targets if any(not one.get("uid") for one in _references(target))]
    if not named:
        return list(targets)
    owners = [_owner(target, reference) for target in named for reference in _references(target)]
    kinds = find_kinds(api, owners)

    def completed(target: Target) -> Target:
        found = [_completed(api, target, reference, kinds, options) for reference in _references(target)]
        references = [reference for reference in found if reference]
        metadata = {key: value for key, value in target.manifest.body["metadata"].items() if key != "ownerReferences"}
        metadata |= {"ownerReferences": references} if references else {}
        return replace(target, manifest=replace(target.manifest, body={**target.manifest.body, "metadata": metadata}))

    done = {target.manifest.key: new for target, new in zip(named, concurrently(completed, named), strict=True)}
    return [done.get(target.manifest.key, target) for target in targets]


def _references(target: Target) -> Sequence[Json]:
    references: Any = target.manifest.body["metadata"].get("ownerReferences") or ()
    if not isinstance(references, (list, tuple)) or not all(map(_names_an_owner, references)):
        raise KServeError(
            f"{target} has ownerReferences that are no list of entries with apiVersion, kind and name; correct them.",
            reason="InvalidManifest",
        )
    return list(references)


def _names_an_owner(reference: Any) -> bool:
    return isinstance(reference, Mapping) and all(
        isinstance(reference.get(key), str) and reference[key] for key in ("apiVersion", "kind", "name")
    )


def _owner(target: Target, reference: Json) -> Manifest:
    """Return what a reference names: an object of the namespace of what it owns, or one without a namespace."""
    metadata = {"name": reference["name"], "namespace": target.manifest.namespace}
    body = {"apiVersion": reference["apiVersion"], "kind": reference["kind"], "metadata": metadata}
    return Manifest(body, target.manifest.source)


def _completed(
    api: ApplyApi, target: Target, reference: Json, kinds: Mapping[tuple[str, str], Kind], options: Options
) -> Json | None:
    if reference.get("uid"):
        return reference
    owner = _owner(target, reference)
    kind = kinds.get((owner.api_version, owner.kind))
    if kind:
        try:
            return {**reference, "uid": api.get(Target(owner, kind).path)["metadata"]["uid"]}
        except ApiError as error:
            if error.status != 404:
                raise refusal(Target(owner, kind), error, options.webhook_timeout, verb="get") from None
    if options.check_mode:
        return None
    raise KServeError(
        f"{target} is not applied, since its owner {owner} is missing; create that first, or correct ownerReferences.",
        reason="OwnerMissing",
    )
