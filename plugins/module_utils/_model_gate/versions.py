# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether versions of Python and of packages are those of the serving image.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

PACKAGING_IMPORT_ERROR: str | None = None
try:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version
except ImportError:
    PACKAGING_IMPORT_ERROR = traceback.format_exc()


@dataclass(frozen=True)
class VersionMismatch:
    """A name, the version that was found, None for none, and the serving image's."""

    name: str
    version: str | None
    wanted: str

    def __str__(self) -> str:
        found = f"{self.name} {self.version}" if self.version else f"no known version of {self.name}"
        return f"{found}, and the serving image has {self.wanted}"


def version_mismatch(
    found: Mapping[str, str], python_version: str | None, packages: Mapping[str, str]
) -> VersionMismatch | None:
    """Return the first version that is not the serving image's, or None.

    :param found: versions by name of package, and that of Python by the name python.
    :param python_version: the image's Python, of which major and minor count; None is any.
    :param packages: a specifier (PEP 440) or an exact version for each package of the image that counts.
    :raises KServeError: what is wanted is no version or specifier, or the library packaging is missing.
    """
    python = found.get("python")
    if python_version and _minor(python_version) != _minor(python or ""):
        return VersionMismatch("Python", python, ".".join(_minor(python_version)))
    if packages and PACKAGING_IMPORT_ERROR:
        raise KServeError(
            "gate.packages needs the Python library packaging, which the module's Python lacks; install it there.",
            reason="LibraryMissing",
        )
    versions = {canonicalize_name(name): version for name, version in found.items()} if packages else {}
    for name, wanted in packages.items():
        specifier = _specifier(name, wanted)
        version = versions.get(canonicalize_name(name))
        if version is None:
            return VersionMismatch(name, None, wanted)
        try:
            # An image may hold a pre-release, and the specifier names it; whether to is not the gate's to judge.
            fits = specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            fits = False
        if not fits:
            return VersionMismatch(name, version, wanted)
    return None


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _specifier(name: str, wanted: str) -> SpecifierSet:
    try:
        return SpecifierSet(wanted if wanted.startswith(tuple("<>=!~")) else f"=={wanted}")
    except InvalidSpecifier:
        raise KServeError(
            f"gate.packages has {wanted!r} for {name}, which is neither a version nor a specifier such as ~=1.5.1; "
            "correct it.",
            reason="InvalidOption",
        ) from None
