# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading manifests from files and options, and putting them in the order they are applied in.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.disk_cache import cached
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import manifest_faults
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.install_order import rank
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Manifest

from .helm import BETWEEN, DEFINITION, Rendered
from .images import Images, with_images
from .patch import apply_patches, with_ca_bundle
from .secrets import with_encoded_data
from .strings import unquoted_field

with suppress(ImportError):  # kubernetes.core's module class says so before anything here is called
    import yaml

_SUFFIXES = (".yaml", ".yml", ".json")
_LARGE = 50_000  # characters; to read them as YAML takes ten times as long as to hash them and to read JSON


def load(
    definitions: Iterable[Any],
    src: Iterable[str],
    exclude_kinds: Iterable[str] = (),
    patches: Sequence[Mapping[str, Any]] = (),
    images: Mapping[str, Any] | None = None,
    only_kinds: Iterable[str] = (),
    ca_bundle: str = "",
    charts: Iterable[Rendered] = (),
    may_be_empty: bool = False,
) -> list[Manifest]:
    """Return all manifests in the order to apply them in.

    An object in definitions takes the place of the same object in src and charts. Whether two are the same is certain
    only once each has its namespace, for which one must know the kinds that have any; see placed in _apply.

    :param definitions: objects, also of kind List, and texts of YAML with any number of them; empty ones are passed
        over.
    :param src: paths of YAML or JSON files, or of folders that hold such files.
    :param patches: parts of objects, merged into those of the same kind and name.
    :param images: where images come from, see Images.
    :param only_kinds: leave out all others, also when nothing is left then.
    :param ca_bundle: PEM of the authority by which the API server knows the webhooks that Services answer.
    :param charts: what Helm has made of charts.
    :param may_be_empty: return nothing where nothing is given, instead of an error.
    :raises KServeError: a file cannot be read, or something in it is no object of Kubernetes.
    """
    src = list(src)
    if not all(map(str.strip, src)):
        raise KServeError(
            "src contains an empty path, which would be the current folder; name files or folders, or leave it out.",
            reason="InvalidOption",
        )
    excluded = set(exclude_kinds)
    given = {
        key: replace(manifest, overrides=True) for key, manifest in _by_identity(_given(definitions), excluded).items()
    }
    read = _by_identity((document for path in src for document in _documents(Path(path))), excluded)
    found = given | {key: manifest for key, manifest in read.items() if key not in given}
    for chart in charts:
        # What names no namespace goes to that of its release: another object in each.
        for key, manifest in _by_identity(_parsed(chart.source, chart.text), excluded).items():
            own = replace(manifest, home=chart.namespace)
            other = found.setdefault(key if manifest.namespace or not chart.namespace else (*key, chart.namespace), own)
            if not other.overrides:
                _same(other, manifest)
    if not found and not may_be_empty:
        raise KServeError(
            "There is nothing to apply; give objects in definitions, files in src, or charts.", reason="NoManifests"
        )
    wanted = set(only_kinds) or {manifest.kind for manifest in found.values()}
    patched = with_images(map(_encoded, apply_patches(found.values(), patches)), Images.of(images))
    if ca_bundle:
        patched = [with_ca_bundle(manifest, ca_bundle) for manifest in patched]
    for manifest in patched:
        if fault := _fault(manifest):
            raise KServeError(f"{manifest}, in {manifest.source}: {fault}.", reason="InvalidResources")
    return sorted((manifest for manifest in patched if manifest.kind in wanted), key=rank)


def _fault(manifest: Manifest) -> str | None:
    try:
        return next(manifest_faults(manifest.body), None)
    except (AttributeError, KeyError, TypeError):  # of another shape, which the API server names
        return None


def _encoded(manifest: Manifest) -> Manifest:
    # Once more than when it was read: a patch may bring stringData of its own.
    return replace(manifest, body=with_encoded_data({**manifest.body}))


def _by_identity(documents: Iterable[tuple[str, Any]], excluded: set[str]) -> dict[tuple[str, ...], Manifest]:
    found: dict[tuple[str, ...], Manifest] = {}
    for source, document in documents:
        for manifest in _manifests(source, document):
            if manifest.kind not in excluded:
                _same(found.setdefault(manifest.key, manifest), manifest)
    return found


def _same(first: Manifest, second: Manifest) -> None:
    if first.body != second.body:
        raise KServeError(
            f"{first} is given twice with different content, in {first.source} and in {second.source}.",
            reason="DuplicateManifest",
        )


def _given(definitions: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for index, entry in enumerate(definitions):
        source = f"definitions[{index}]"
        if isinstance(entry, str):
            # A document of a text may be a list of objects, as the option itself is.
            for place, document in _parsed(source, entry):
                yield from ((place, each) for each in (document if isinstance(document, list) else [document]))
        else:
            yield source, entry


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        if not path.is_dir():
            yield from _parsed(str(path), path.read_text(encoding="utf-8"), path.suffix == ".json")
            return
        files = sorted(entry for entry in path.iterdir() if entry.suffix in _SUFFIXES)
    except UnicodeDecodeError:
        raise KServeError(f"{path} is not a text file in UTF-8; check src.", reason="FileNotReadable") from None
    except OSError as error:
        raise KServeError(f"{path} cannot be read ({error.strerror}); check src.", reason="FileNotReadable") from None
    if not files:
        raise KServeError(
            f"The folder {path} contains no file that ends in {', '.join(_SUFFIXES)}; check src.", reason="NoManifests"
        )
    for file in files:
        yield from _documents(file)


def _parsed(source: str, text: str, is_json: bool = False) -> list[tuple[str, Any]]:
    try:
        documents = [json.loads(text)] if is_json else _yaml(text)
    except json.JSONDecodeError as error:
        raise KServeError(
            f"{source}, line {error.lineno}: this is not JSON ({error.msg}).", reason="InvalidManifest"
        ) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise KServeError(
            f"{source}, line {line}: this is not YAML ({error.problem or error.context}).", reason="InvalidManifest"
        ) from None
    except yaml.YAMLError as error:
        raise KServeError(
            f"{source} is not YAML ({getattr(error, 'reason', 'unreadable')}).", reason="InvalidManifest"
        ) from None
    return [(f"{source}, document {number}", document) for number, document in enumerate(documents, 1)]


def _yaml(text: str) -> list[Any]:
    try:
        first, *others = BETWEEN.split(text)
        return [*_read(first), *(document for part in others for document in _read(part) or [None])]
    except yaml.YAMLError:
        return _load_all(text)  # whose error has the line within the whole


def _read(part: str) -> list[Any]:
    # A manifest of megabytes consists nearly all of CRDs, and nothing in them is secret.
    if len(part) > _LARGE and DEFINITION.search(part):
        return cached([b"YAML as of 0.1.0", part.encode()], lambda: _load_all(part), list)
    return _load_all(part)


def _load_all(text: str) -> list[Any]:
    return list(yaml.load_all(text, Loader=_loader()))


@cache
def _loader() -> Any:
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # Kubernetes reads a date and a plain = as text (the latter is in Prometheus' CRDs); PyYAML makes an object of the
    # one and stumbles over the other.
    strings = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
    resolvers = {
        first: [(tag, pattern) for tag, pattern in entries if tag not in strings]
        for first, entries in base.yaml_implicit_resolvers.items()
    }
    return type("ManifestLoader", (base,), {"yaml_implicit_resolvers": resolvers})


def _manifests(source: str, document: Any) -> Iterator[Manifest]:
    if document is None or document == {}:
        return
    if not isinstance(document, Mapping):
        raise KServeError(
            f"{source} is not a Kubernetes object but a {type(document).__name__}; correct it.",
            reason="InvalidManifest",
        )
    if document.get("kind") == "List":
        items = document.get("items") or []
        for entry in items if isinstance(items, Sequence) else []:
            yield from _manifests(source, entry)
        return
    if fault := unquoted_field(document):
        raise KServeError(f"{source}: {fault}.", reason="InvalidManifest")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    for field, value in (
        ("apiVersion", document.get("apiVersion")),
        ("kind", document.get("kind")),
        ("metadata.name", name),
    ):
        if not isinstance(value, str) or not value:
            raise KServeError(f"{source} has no {field}; every object needs one.", reason="InvalidManifest")
    yield Manifest(with_encoded_data(_plain(source, document)), source)


def _plain(source: str, document: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the object as JSON knows it, without what only the API server sets."""
    try:
        body: dict[str, Any] = json.loads(json.dumps(document))
    except (TypeError, ValueError) as error:
        raise KServeError(
            f"{source} contains values that JSON cannot express ({error}); correct it.", reason="InvalidManifest"
        ) from None
    body.pop("status", None)
    body["metadata"].pop("creationTimestamp", None)
    return body
