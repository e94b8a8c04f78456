# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Server-side apply as the API server does it: fields of several managers, conflicts, and fields that nobody applies.

Lists are merged by name if all of their entries have one, and replaced as a whole otherwise.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

Json = dict[str, Any]
Path = tuple[str, ...]
_SERVERS_OWN = ("name", "namespace", "uid", "resourceVersion", "managedFields", "deletionTimestamp")


def fields_of(value: Any) -> Json:
    """Return the fieldsV1 of a value."""
    if isinstance(value, dict):
        return {f"f:{key}": fields_of(below) for key, below in value.items()}
    if _is_keyed(value):
        return {_key(entry): {".": {}, **fields_of(entry)} for entry in value}
    return {}


def applied_fields(body: Json) -> Json:
    """Return the fieldsV1 of an object, without identifying fields."""
    return fields_of(_content(body))


def apply(before: Json | None, body: Json, manager: str, force: bool = False) -> Json:
    """Return an object as a manager's apply leaves it; before: the object, if there is one.

    :raises ApiError: another manager has applied another value, and force is not set.
    """
    managed: list[Json] = copy.deepcopy((before or {}).get("metadata", {}).get("managedFields", []))
    others = [entry for entry in managed if (entry["manager"], entry["operation"]) != (manager, "Apply")]
    mine: set[Path] = set().union(*(_paths(entry["fieldsV1"]) for entry in managed if entry not in others))
    live, wanted = _leaves(_content(before or {})), _leaves(_content(body))
    conflicts = []
    for entry in others:
        taken = {path for path in wanted if _covers(_paths(entry["fieldsV1"]), path) and live.get(path) != wanted[path]}
        conflicts += [f'conflict with "{entry["manager"]}": {_name(path)}' for path in sorted(taken)]
        entry["fieldsV1"] = _nested(_paths(entry["fieldsV1"]) - taken)
    if conflicts and not force:
        text = f"Apply failed with {len(conflicts)} conflicts: {', '.join(conflicts)}"
        raise ApiError("409", 409, text)
    others = [entry for entry in others if entry["fieldsV1"]]
    elsewhere: set[Path] = set().union(*(_paths(entry["fieldsV1"]) for entry in others))
    lost = {path for path in live if _covers(mine, path) and path not in wanted and not _covers(elsewhere, path)}
    below = {path for path in live for new in wanted if path != new and path[: len(new)] == new}
    after = _object({path: value for path, value in live.items() if path not in lost | below} | wanted)
    fields = applied_fields(body)
    entry = {"manager": manager, "operation": "Apply", "apiVersion": body["apiVersion"], "fieldsV1": fields}
    kept = {key: value for key, value in (before or {}).get("metadata", {}).items() if key in _SERVERS_OWN}
    metadata = {**kept, **body["metadata"], "managedFields": [*others, *([entry] if fields else [])]}
    metadata = {key: value for key, value in metadata.items() if key in _SERVERS_OWN} | after.pop("metadata", {})
    status = {"status": before["status"]} if before and "status" in before else {}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, **after, **status}


def _content(body: Json) -> Json:
    rest = {key: value for key, value in body.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key not in _SERVERS_OWN}
    return {**rest, **({"metadata": metadata} if metadata else {})}


def _name(path: Path) -> str:
    return "".join(f".{part.partition(':')[2]}" for part in path)


def _is_keyed(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "name" in one for one in value)


def _key(entry: Json) -> str:
    return f"k:{json.dumps({'name': entry['name']}, separators=(',', ':'))}"


def _leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    if isinstance(value, dict) and value:
        parts = [_leaves(below, (*path, f"f:{key}")) for key, below in value.items()]
    elif _is_keyed(value):
        parts = [_leaves(entry, (*path, _key(entry))) for entry in value]
    else:
        return {path: value} if path else {}
    return {at: leaf for part in parts for at, leaf in part.items()}


def _paths(fields: Json, path: Path = ()) -> set[Path]:
    below = {key: more for key, more in fields.items() if key != "."}
    if not below:
        return {path} if path else set()
    return set().union(*(_paths(more, (*path, key)) for key, more in below.items()))


def _covers(paths: set[Path], path: Path) -> bool:
    return any(path[:length] in paths for length in range(1, len(path) + 1))


def _nested(paths: set[Path]) -> Json:
    fields: Json = {}
    for path in sorted(paths):
        at = fields
        for part in path:
            at = at.setdefault(part, {})
    return fields


def _object(leaves: dict[Path, Any]) -> Json:
    result: Json = {}
    for path, value in leaves.items():
        at = result
        for part in path[:-1]:
            at = at.setdefault(part, {})
        at[path[-1]] = copy.deepcopy(value)
    return _unkeyed(result)


def _unkeyed(value: Any) -> Any:
    if isinstance(value, dict) and value and all(key.startswith("k:") for key in value):
        return [_unkeyed(entry) for entry in value.values()]
    if isinstance(value, dict):
        return {key.removeprefix("f:"): _unkeyed(below) for key, below in value.items()}
    return value
