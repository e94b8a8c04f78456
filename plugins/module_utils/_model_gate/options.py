# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the gate, and what they may be.

Apart from the gate, which loads NumPy: the list of models is checked in each play. This file is private to the
collection and may change at any time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

from .metadata import METADATA

_MEMORY = re.compile(r"([1-9][0-9]*)([KMGT]i)?")
_UNITS = {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SHA256 = re.compile(r"(sha256:)?[0-9a-f]{64}")


# Those of loading a model.
LOAD_ARGUMENTS: dict[str, Any] = {
    "isolated": {"type": "bool", "default": True},
    "python": {"type": "path"},
    "timeout": {"type": "float", "default": 60.0},
    "memory": {"type": "str", "default": "2Gi"},
}
GATE_ARGUMENTS: dict[str, Any] = {
    "metadata": {"type": "bool", "default": True},
    "python_version": {"type": "str"},
    "packages": {"type": "dict"},
    "load": {"type": "bool", "default": True},
    **LOAD_ARGUMENTS,
    "allowed_digests": {"type": "list", "elements": "str"},
}


@dataclass(frozen=True)
class OptionNames:
    """How errors name the caller's options; by default those of the module spaces_upload.

    not_isolated and not_loaded: what to do instead of isolating and loading, or empty where that is not possible.
    """

    python: str = "gate.python"
    timeout: str = "gate.timeout"
    memory: str = "gate.memory"
    not_isolated: str = "set gate.isolated to false"
    not_loaded: str = "set gate.load to false"
    examples: str = "examples_path"


OF_UPLOAD = OptionNames()


@dataclass(frozen=True)
class GateOptions:
    """What a model must meet, as the option gate of the module spaces_upload documents it; names: for errors."""

    metadata: bool = True
    python_version: str | None = None
    packages: dict[str, Any] | None = None
    load: bool = True
    isolated: bool = True
    python: str | None = None
    timeout: float = 60.0
    memory: str = "2Gi"
    allowed_digests: list[str] | None = None
    names: OptionNames = OF_UPLOAD

    def __post_init__(self) -> None:
        if not self.metadata and (self.load or self.python_version or self.packages):
            raise KServeError(
                f"The gate's load, python_version and packages are about what {METADATA} says; set gate.metadata to "
                "true, or gate.load to false and leave the others out.",
                reason="InvalidOption",
            )
        if not _MEMORY.fullmatch(self.memory):
            raise KServeError(
                f"{self.names.memory} is {self.memory!r}; give bytes, or a number with Ki, Mi, Gi or Ti.",
                reason="InvalidOption",
            )
        if self.timeout <= 0:
            raise KServeError(
                f"{self.names.timeout} is {self.timeout:g}; give a number of seconds above 0.", reason="InvalidOption"
            )
        for digest in self.allowed_digests or ():
            if not _SHA256.fullmatch(digest.lower()):
                raise KServeError(
                    f"gate.allowed_digests has {digest!r}; give each as 64 hexadecimal digits of sha256.",
                    reason="InvalidOption",
                )

    @property
    def memory_bytes(self) -> int:
        """The limit of the address space in bytes."""
        match = _MEMORY.fullmatch(self.memory)
        return int(match[1]) * _UNITS[match[2]] if match else 0
