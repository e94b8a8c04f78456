# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects in the parts that each field manager has applied, so that each of them can apply its part again.

An object that is restored as a whole belongs to one field manager. The roles that had applied it would meet its fields
as another's: with the defaults that the API server has added, a list that is replaced as a whole even differs. This
file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
_COLLECTION = "hashfoundry.kserve"
# For what no role has applied: objects that users created, and what they have added to others.
RESTORING = f"{_COLLECTION}.model_backup"


def groups(objects: Iterable[tuple[Json, Json]]) -> list[Json]:
    """Return the objects as they are to be applied, each group by its field manager and in this order.

    Objects that name owners come after those without, among which their owners are.

    :param objects: each object as the API server returned it, and as it can be applied.
    :return: groups with the keys field_manager, objects, and adds: whether they only add to objects of earlier groups.
    """
    found: dict[tuple[bool, bool, str], list[Json]] = {}
    for live, portable in objects:
        # The largest part of a role comes first: that of one which adds a label would not be valid alone.
        parts = sorted(_parts(live, portable), key=lambda part: (part[0] == RESTORING, -_size(part[1])))
        parts = parts or [(RESTORING, portable)]
        has_owner = "ownerReferences" in portable["metadata"]
        for index, (manager, part) in enumerate(parts):
            found.setdefault((index > 0, has_owner, manager), []).append(_with_named_owners(part))
    # A role's objects may need those of users.
    order = sorted(found, key=lambda group: (group[0], group[1], group[2] != RESTORING, group[2]))
    return [
        {"field_manager": manager, "adds": adds, "objects": found[adds, has_owner, manager]}
        for adds, has_owner, manager in order
    ]


def _with_named_owners(thing: Json) -> Json:
    """Return an object whose owners are named without their UIDs, as in another cluster they have others."""
    metadata = dict(thing["metadata"])
    if references := metadata.pop("ownerReferences", None):
        metadata["ownerReferences"] = [{key: one[key] for key in one if key != "uid"} for one in references]
    return {**thing, "metadata": metadata}


def _parts(live: Json, portable: Json) -> list[tuple[str, Json]]:
    """Return what each manager of the collection has applied, and what others have added; nothing without the first."""
    managed = [entry for entry in live["metadata"].get("managedFields") or () if not entry.get("subresource")]
    # The names of fields are those of the API version they were applied in.
    managed = [entry for entry in managed if entry.get("apiVersion") == portable["apiVersion"]]
    ours = [entry for entry in managed if _is_ours(entry) and entry.get("operation") == "Apply"]
    parts = [(str(entry["manager"]), owned_part(portable, [entry.get("fieldsV1") or {}])) for entry in ours]
    others = [entry.get("fieldsV1") or {} for entry in managed if not _is_ours(entry)]
    parts = [(manager, part) for manager, part in parts if _size(part)]
    added = owned_part(portable, others)
    return [*parts, (RESTORING, added)] if parts and _size(added) else parts


def _is_ours(entry: Mapping[str, Any]) -> bool:
    name = str(entry.get("manager"))
    return name == _COLLECTION or name.startswith(f"{_COLLECTION}.")


def _size(part: Json) -> int:
    """Return how much a part has beside the identity of its object."""
    rest = {key: value for key, value in part.items() if key not in ("apiVersion", "kind")}
    metadata = {key: value for key, value in part["metadata"].items() if key not in ("name", "namespace")}
    return len(json.dumps({**rest, "metadata": metadata})) if len(rest) > 1 or metadata else 0


def owned_part(thing: Json, owned: Sequence[Mapping[str, Any]]) -> Json:
    """Return of an object its identity and the fields that are owned.

    :param owned: fieldsV1 of entries of managedFields.
    """
    metadata = {key: thing["metadata"][key] for key in ("name", "namespace") if key in thing["metadata"]}
    fields = _owned(thing, owned)
    own = {key: value for key, value in fields.items() if key != "metadata"}
    return {
        "apiVersion": thing["apiVersion"],
        "kind": thing["kind"],
        "metadata": {**metadata, **(fields.get("metadata") or {})},
        **own,
    }


def _owned(value: Any, owned: Sequence[Mapping[str, Any]]) -> Any:
    """Return the owned parts of a value; an owner of no field in it owns it as a whole."""
    fields = [{key: below for key, below in one.items() if key != "."} for one in owned]
    if isinstance(value, Mapping):
        found = {key: [one[f"f:{key}"] for one in fields if f"f:{key}" in one] for key in value}
        return {key: _part(value[key], below) for key, below in found.items() if below}
    if isinstance(value, list) and any(key.startswith("k:") for one in fields for key in one):
        return [_entry(entry, fields) for entry in value if _owners(entry, fields)]
    if isinstance(value, list) and any(key.startswith("v:") for one in fields for key in one):
        values = [json.loads(key[2:]) for one in fields for key in one if key.startswith("v:")]
        return [entry for entry in value if entry in values]
    return value


def _part(value: Any, owned: Sequence[Mapping[str, Any]]) -> Any:
    return value if any(not one for one in owned) else _owned(value, owned)


def _entry(entry: Any, fields: Sequence[Mapping[str, Any]]) -> Any:
    """Return the owned part of a list's entry, with what identifies it.

    Who owns a part of that has left the rest to its default, as the protocol of a port.
    """
    owners = _owners(entry, fields)
    part = _part(entry, [below for _name, below in owners])
    identity = {key: value for name, _below in owners for key, value in json.loads(name[2:]).items()}
    return part if part.keys() & identity.keys() else {**identity, **part}


def _owners(entry: Any, fields: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (key, below)
        for one in fields
        for key, below in one.items()
        if key.startswith("k:") and isinstance(entry, Mapping) and json.loads(key[2:]).items() <= entry.items()
    ]
