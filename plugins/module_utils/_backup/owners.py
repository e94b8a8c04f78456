# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which owners an object of a backup names: those that are restored before it, by the same backup.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

Json = dict[str, Any]
# API group, kind, namespace and name.
Identity = tuple[str, str, str, str]


def possible_owners(things: Iterable[Json]) -> set[Identity]:
    """Return the objects that others can name as owners: those without owners, which are restored first."""
    return {
        _identity(thing, str(thing["metadata"].get("namespace") or ""))
        for thing in things
        if not thing["metadata"].get("ownerReferences")
    }


def with_owners(portable: Json, live: Json, owners: Collection[Identity]) -> Json:
    """Return an object as it can be applied, with its references to owners that the backup has.

    :param owners: the objects of the backup that can be owners; references to others are left out.
    """
    references = [
        reference for reference in live["metadata"].get("ownerReferences") or () if _is_among(reference, live, owners)
    ]
    metadata = {**portable["metadata"], **({"ownerReferences": references} if references else {})}
    return {**portable, "metadata": metadata}


def without_owners(thing: Json) -> Json:
    """Return an object for a file that is applied as a whole, where an owner may come after what it owns."""
    metadata = {key: value for key, value in thing["metadata"].items() if key != "ownerReferences"}
    return {**thing, "metadata": metadata}


def _is_among(reference: Json, live: Json, owners: Collection[Identity]) -> bool:
    owner = {**reference, "metadata": {"name": reference["name"]}}
    # An owner is in the namespace of what it owns, or in none.
    return any(_identity(owner, space) in owners for space in (str(live["metadata"].get("namespace") or ""), ""))


def _identity(thing: Json, namespace: str) -> Identity:
    group = str(thing["apiVersion"]).rpartition("/")[0]
    return group, str(thing["kind"]), namespace, str(thing["metadata"]["name"])
