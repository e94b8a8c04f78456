# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The strings of an object's metadata that lack their quotes: a number or boolean, which the API server rejects.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.unquoted import unquoted


def unquoted_field(document: Mapping[Any, Any]) -> str | None:
    """Return a sentence about the first such field of an object, without its end, or None."""
    for field, value in _strings(document):
        if fault := unquoted(value):
            return f"{field} is {fault}"
    return None


def _strings(document: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        return
    yield from ((f"metadata.{field}", metadata.get(field)) for field in ("name", "namespace"))
    for field in ("labels", "annotations"):
        entries = metadata.get(field)
        for key, value in entries.items() if isinstance(entries, Mapping) else ():
            yield f"a key of metadata.{field}", key
            yield f"metadata.{field}[{key}]", value
