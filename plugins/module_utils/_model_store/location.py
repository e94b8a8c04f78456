# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where versions of models are kept: their place in a bucket.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import check_bucket

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Target:
    """Where a version lives; refuses names that would not be one segment of a key."""

    bucket: str
    name: str
    version: str

    def __post_init__(self) -> None:
        check_bucket(self.bucket)
        check_segment("name", self.name)
        check_segment("version", self.version)

    @property
    def prefix(self) -> str:
        """The version's keys begin with this; the slash keeps version 1 apart from version 10."""
        return f"{self.name}/{self.version}/"

    @property
    def uri(self) -> str:
        """What an InferenceService takes as its storageUri."""
        return f"s3://{self.bucket}/{self.prefix}"


def check_segment(option: str, value: str) -> None:
    """Refuse what cannot be one segment of a key.

    :param option: the name of the option that holds the value.
    """
    if not is_segment(value):
        raise KServeError(
            f"The {option} {value!r} is not valid; use letters, digits, dots, hyphens and underscores, "
            "and begin with a letter or digit.",
            reason="InvalidOption",
        )


def is_segment(value: str) -> bool:
    """Tell whether a value can be the name or the version of a model."""
    return bool(_SEGMENT.fullmatch(value))
