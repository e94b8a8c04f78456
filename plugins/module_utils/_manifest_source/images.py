# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rewriting the images of manifests to a mirror, and pinning them by digest.

An image is named in more places than a container: in environment variables and arguments of controllers that start
further containers, in keys of ConfigMaps, and in the JSON texts that some of these keys hold. This file is private to
the collection and may change at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Manifest

# name[:tag][@digest] (distribution/reference of the Docker registry), with or without a registry before it.
_IMAGE = re.compile(
    r"(?P<name>[\w.-]+(?::\d+)?(?:/[\w.-]+)*?)(?P<tag>:[\w][\w.-]*)?(?P<digest>@[a-z0-9]+:[a-f0-9]{32,})?"
)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
# image, queue-sidecar-image, defaultJobImage, CONTOUR_IMAGE, --envoy-image; and hub, which Istio's injector puts before
# the names of images
_KEY = re.compile(r"(?:.*[-_a-z])?(?:image|Image|IMAGE)|hub")
_ARGUMENT = re.compile(r"(--?[\w-]*image)=(.+)")
_HUB = "docker.io"


@dataclass(frozen=True)
class Images:
    """registries: what takes the place of the beginning of an image's name; digests: of images, named with their tag.

    Docker Hub may be left out of an image's name in a manifest, but not in what is given here.
    """

    registries: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, option: Mapping[str, Any] | None) -> Images:
        """Return what the module's option says.

        :raises KServeError: a registry or a digest is none.
        """
        option = option or {}
        for image, digest in (option.get("digests") or {}).items():
            if not _DIGEST.fullmatch(str(digest)):
                raise KServeError(
                    f"images.digests has {digest} for {image}, which is no digest; give sha256: and 64 hexadecimal "
                    "digits.",
                    reason="InvalidOption",
                )
        for prefix, other in (option.get("registries") or {}).items():
            if not (isinstance(prefix, str) and isinstance(other, str) and prefix.strip("/ ") and other.strip("/ ")):
                raise KServeError(
                    f"images.registries has {json.dumps(other)} for {json.dumps(prefix)}; give the name of a registry "
                    "for each prefix, or leave the entry out.",
                    reason="InvalidOption",
                )
        registries = {key.rstrip("/"): value.rstrip("/") for key, value in (option.get("registries") or {}).items()}
        return cls(registries, dict(option.get("digests") or {}))

    def __bool__(self) -> bool:
        return bool(self.registries or self.digests)

    def mapped(self, image: str) -> str:
        """Return where an image is taken from; text that is no image, and an image without a rule, are unchanged."""
        parts = _IMAGE.fullmatch(image)
        # A bare name is completed by a controller, as Istio's auto and proxyv2 are.
        if parts is None or ("/" not in image and not (parts["tag"] or parts["digest"])):
            return image
        name, tag = _full(parts["name"]), parts["tag"] or ""
        found = self.digests.get(f"{name}{tag}")
        digest = parts["digest"] or (f"@{found}" if found else "")
        prefixes = [key for key in self.registries if name == key or name.startswith(f"{key}/")]
        if not prefixes:
            return f"{parts['name']}{tag}{digest}"
        prefix = max(prefixes, key=len)
        return f"{self.registries[prefix]}{name[len(prefix) :]}{tag}{digest}"


def _full(name: str) -> str:
    first, slash, _rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"{_HUB}/{name}" if slash else f"{_HUB}/library/{name}"


def with_images(manifests: Iterable[Manifest], images: Images) -> list[Manifest]:
    """Return the manifests with every image taken from where the mapping says."""
    if not images:
        return list(manifests)
    # A CRD names no image, and may be megabytes.
    return [one if one.is_crd else replace(one, body=_object(one, images.mapped)) for one in manifests]


def _object(manifest: Manifest, mapped: Callable[[str], str]) -> Any:
    body = _walked(manifest.body, mapped)
    if (manifest.group, manifest.kind) != ("", "ConfigMap") or not isinstance(body.get("data"), Mapping):
        return body
    data = {key: _text(key, value, mapped) for key, value in body["data"].items()}
    return {**body, "data": {**data, **{key: manifest.body["data"][key] for key in data if key.startswith("_")}}}


def _text(key: str, value: Any, mapped: Callable[[str], str]) -> Any:
    """Return a value of a ConfigMap, whose text may be JSON. A key such as _example is for people to read."""
    if key.startswith("_") or not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        before = json.loads(value)
    except ValueError:
        return value
    after = _walked(before, mapped)
    return value if after == before else json.dumps(after, indent=2)


def _walked(value: Any, mapped: Callable[[str], str], key: str = "") -> Any:
    if isinstance(value, Mapping):
        # An environment variable is called in one field and set in another.
        called = str(value.get("name", "")) if "value" in value else ""
        return {name: _walked(below, mapped, called if name == "value" else name) for name, below in value.items()}
    if isinstance(value, list):
        before = ["", *value]
        return [_entry(entry, mapped, last) for last, entry in zip(before, value, strict=False)]
    if isinstance(value, str) and _KEY.fullmatch(key):
        return mapped(value)
    return value


def _entry(value: Any, mapped: Callable[[str], str], last: Any) -> Any:
    if not isinstance(value, str):
        return _walked(value, mapped)
    if argument := _ARGUMENT.fullmatch(value):
        return f"{argument[1]}={mapped(argument[2])}"
    if isinstance(last, str) and last.startswith("-") and _KEY.fullmatch(last):
        return mapped(value)
    return value
