# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping the values of Secrets out of everything that is shown.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import MASK
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Manifest

HIDDEN = "VALUE_HIDDEN"
# kubectl apply keeps the whole object in this annotation.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Shorter values would make every message unreadable, and are no secret.
_SHORTEST = 4
# No word of a message is as long.
_LONG = 20
_TELLING = re.compile(r"(?i)pass|pwd|secret|token|key|cred|auth|private|cert|salt|dsn")
# What messages about schemas and manifests consist of, in the spelling of JSON, of Python and of Kubernetes.
_WORDS = {
    *("array", "boolean", "integer", "null", "number", "object", "string", "true", "false", "True", "False"),
    *("http", "https", "grpc", "default", "Always", "IfNotPresent", "Never", "ClusterIP", "LoadBalancer", "NodePort"),
}


def with_encoded_data(body: dict[str, Any]) -> dict[str, Any]:
    """Return a Secret with its stringData in data, and anything else as it is.

    The API server does the same on its side, but forgets on the way which keys were applied: a key taken out of
    stringData later would stay ("The stringData field does not work well with server-side apply", Kubernetes docs).
    """
    texts = body.get("stringData")
    if body.get("apiVersion") != "v1" or body.get("kind") != "Secret" or not isinstance(texts, Mapping):
        return body
    if not all(isinstance(value, str) for value in texts.values()):
        return body  # for the API server to refuse
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
    rest = {key: value for key, value in body.items() if key != "stringData"}
    return {**rest, "data": {**(body.get("data") or {}), **encoded}}


def mask_secrets(thing: Any) -> Any:
    """Return an object, a List or a list of objects with the values of Secrets masked."""
    if isinstance(thing, list):
        return [mask_secrets(entry) for entry in thing]
    if not isinstance(thing, Mapping):
        # Not an object as it should be: nothing says that it is no secret.
        return HIDDEN
    if thing.get("kind") == "List":
        return {**thing, "items": mask_secrets(thing.get("items"))}
    if str(thing.get("kind")).lower() != "secret":
        return thing
    masked = {
        key: ({name: HIDDEN for name in value} if isinstance(value, Mapping) else HIDDEN)
        if key in ("data", "stringData")
        else value
        for key, value in thing.items()
    }
    metadata = thing.get("metadata")
    if isinstance(metadata, Mapping) and _LAST_APPLIED in (metadata.get("annotations") or {}):
        annotations = {**metadata["annotations"], _LAST_APPLIED: HIDDEN}
        masked["metadata"] = {**metadata, "annotations": annotations}
    return masked


def secret_values(manifests: Iterable[Manifest]) -> set[str]:
    """Return every value of a Secret, encoded and decoded, and each line of it, for masking messages of others."""
    values = (value for manifest in manifests if manifest.is_secret for value in _values(manifest.body))
    return {value for value in values if len(value) >= _SHORTEST}


def without_values(text: str, values: Any, names: Iterable[str]) -> str:
    """Return a message of others without the values that it repeats, any of which may be secret.

    A value whose field has a telling name, or which is long, is masked also within a word. Any other is masked as a
    whole word, unless it is one that the message would contain without it: a number of a few digits, a word of schemas
    and manifests, the name of a field, or one of the given names.

    :param values: texts, numbers, and maps and lists of them.
    :param names: such as that of the chart.
    """
    known = _WORDS | {part for name in names for part in (name, *re.split(r"[/:@]", name))} | set(_keys(values))
    parts = []
    for value, secret in sorted(_with_secrecy(values, secret=False), key=lambda entry: len(entry[0]), reverse=True):
        if secret or len(value) >= _LONG:
            parts.append(re.escape(value))
        elif value not in known and not re.fullmatch(r"[\d.]{1,5}", value):
            parts.append(rf"(?<![\w-]){re.escape(value)}(?![\w-])")
    return re.sub("|".join(parts), MASK, text) if parts else text


def _with_secrecy(value: Any, secret: bool) -> Iterator[tuple[str, bool]]:
    """Return each text and number that is long enough, and whether a field above it has a telling name."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _with_secrecy(below, secret or bool(_TELLING.search(str(key))))
    elif isinstance(value, list):
        for below in value:
            yield from _with_secrecy(below, secret)
    elif value is not None and len(str(value)) >= _SHORTEST:
        yield str(value), secret and not isinstance(value, bool)


def _keys(value: Any) -> Iterator[str]:
    for below in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _keys(below)
    if isinstance(value, Mapping):
        yield from map(str, value)


def _values(body: Mapping[str, Any]) -> Iterator[str]:
    for value in (*_leaves(body.get("data")), *_leaves(body.get("stringData"))):
        yield value
        try:
            decoded = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            decoded = value
        yield decoded
        yield from (line.strip() for line in decoded.splitlines())


def _leaves(value: Any) -> Iterator[str]:
    # Also of what is not as it should be: the API server repeats it in its refusal.
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _leaves(entry)
    elif value is not None:
        yield str(value)
