# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deleting objects that were applied before and are no longer among the manifests.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.apply_client import ApplyApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.discovery import find_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Json, Manifest, Target

from .contents import list_objects
from .delete import delete_objects
from .errors import refusal
from .options import Options, Timing, with_namespace

# Between requirements, not between the values of a set ("Labels and Selectors", Kubernetes docs).
_COMMA = re.compile(r",(?![^(]*\))")
_MET_WITHOUT_LABEL = re.compile(r"^!|!=|\snotin\b")


def prune(
    api: ApplyApi, selections: Sequence[Mapping[str, Any]], named: Iterable[Target], options: Options, timing: Timing
) -> dict[str, Any]:
    """Delete the objects that are selected, were applied by the field manager and are not named.

    :param selections: entries of the module's option prune.
    :param named: what the manifests name.
    :return: the result of a deletion.
    :raises KServeError: the API server refuses, or an object does not go.
    """
    kept = {target.manifest.key for target in named}
    manifests = [_manifest(entry, {"metadata": _place(entry)}) for entry in selections]
    kinds = find_kinds(api, manifests)
    found = [
        (target, live)
        for entry, manifest in zip(selections, manifests, strict=True)
        if (kind := kinds.get((manifest.api_version, manifest.kind)))
        for target, live in _selected(api, entry, with_namespace(manifest, kind, options), options)
        if target.manifest.key not in kept
    ]
    # What a previous field manager has applied may belong to any of those that take it over.
    return delete_objects(api, found, replace(options, previous_field_managers=()), timing)


def selections_of_kinds(
    selections: Sequence[Mapping[str, Any]], only_kinds: Collection[str], exclude_kinds: Collection[str]
) -> list[Mapping[str, Any]]:
    """Return the entries whose kind is not excluded; the manifests name no object of the others.

    :param only_kinds: the kinds that are looked at; all, when there is none.
    :raises KServeError: an entry selects objects by no label, as with an empty variable in it.
    """
    for entry in selections:
        selectors = entry["label_selectors"]
        if not all(map(str.strip, selectors)) or not any(map(_names_a_label, _requirements(selectors))):
            raise KServeError(
                f"An entry of prune would select every {entry['kind']}, or all but a few: its label_selectors are "
                f"{json.dumps(selectors)}; name a label that the objects have, such as example.com/made-by=this-list.",
                reason="InvalidOption",
            )
    return [
        entry
        for entry in selections
        if entry["kind"] not in exclude_kinds and (not only_kinds or entry["kind"] in only_kinds)
    ]


def _requirements(selectors: Iterable[str]) -> list[str]:
    return [one.strip() for one in _COMMA.split(",".join(selectors))]


def _names_a_label(requirement: str) -> bool:
    """Say whether a requirement is met only by objects with a label; all others are met by those without any."""
    return bool(requirement) and not _MET_WITHOUT_LABEL.search(requirement)


def _manifest(entry: Mapping[str, Any], body: Json) -> Manifest:
    return Manifest({**body, "apiVersion": entry["api_version"], "kind": entry["kind"]}, "prune")


def _place(entry: Mapping[str, Any]) -> Json:
    # In the place of a name is what an error tells of them.
    return {"name": ",".join(entry["label_selectors"]), "namespace": entry["namespace"]}


def _selected(
    api: ApplyApi, entry: Mapping[str, Any], place: Target, options: Options
) -> Iterator[tuple[Target, Json]]:
    try:
        for live in list_objects(api, place.collection, labelSelector=",".join(entry["label_selectors"])):
            manifest = _manifest(entry, live)  # entries of a list have no kind of their own
            yield Target(manifest, place.kind), manifest.body
    except ApiError as error:
        raise refusal(place, error, options.webhook_timeout, verb="list") from None
