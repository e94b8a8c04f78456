# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate before an upload: whether a model folder matches its metadata, fits the serving image, and predicts.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import LocalFile

from .metadata import METADATA, SUFFIXES, Description, describe
from .sandbox import Trial, check_platform, fault, try_model
from .versions import version_mismatch

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
class GateOptions:
    """What a model must meet, as the option gate of the module spaces_upload documents it."""

    metadata: bool = True
    python_version: str | None = None
    packages: dict[str, Any] | None = None
    load: bool = True
    isolated: bool = True
    python: str | None = None
    timeout: float = 60.0
    memory: str = "2Gi"
    allowed_digests: list[str] | None = None

    def __post_init__(self) -> None:
        if not self.metadata and (self.load or self.python_version or self.packages):
            raise KServeError(
                f"The gate's load, python_version and packages are about what {METADATA} says; set gate.metadata to "
                "true, or gate.load to false and leave the others out.",
                reason="InvalidOption",
            )
        if not _MEMORY.fullmatch(self.memory):
            raise KServeError(
                f"gate.memory is {self.memory!r}; give bytes, or a number with Ki, Mi, Gi or Ti.",
                reason="InvalidOption",
            )
        if self.timeout <= 0:
            raise KServeError(
                f"gate.timeout is {self.timeout:g}; give a number of seconds above 0.", reason="InvalidOption"
            )
        for digest in self.allowed_digests or ():
            if not _SHA256.fullmatch(digest.lower()):
                raise KServeError(
                    f"gate.allowed_digests has {digest!r}; give each as 64 hexadecimal digits of sha256.",
                    reason="InvalidOption",
                )

    def trial(self, packages: Sequence[str]) -> Trial:
        """How the model is loaded; packages: names whose versions are reported."""
        return Trial(self.python or sys.executable, self.timeout, self.memory_bytes, self.isolated, tuple(packages))

    @property
    def memory_bytes(self) -> int:
        """The limit of the address space in bytes."""
        match = _MEMORY.fullmatch(self.memory)
        return int(match[1]) * _UNITS[match[2]] if match else 0


def gate_for(arguments: Mapping[str, Any] | None, name: str, version: str) -> Callable[..., dict[str, Any]] | None:
    """Return check_model for one version with the module's arguments, or None without a gate.

    :raises KServeError: the arguments make no sense.
    """
    return functools.partial(check_model, GateOptions(**arguments), name, version) if arguments is not None else None


def check_model(
    options: GateOptions,
    name: str,
    version: str,
    files: Sequence[LocalFile],
    manifest: Callable[[], str] | None = None,
) -> dict[str, Any]:
    """Validate the folder and return what was checked, and in how many seconds.

    :param name: the model's, and version its version's, as they are to be uploaded.
    :param manifest: gives the sha256 of the version's manifest, which stands for all files.
    :raises KServeError: the model does not pass.
    """
    start = time.monotonic()
    checked: list[str] = []
    description = describe(files, name, version) if options.metadata else None
    if options.allowed_digests is not None:
        _check_digests(options.allowed_digests, _models(files, description), manifest)
        checked.append("allowed_digests")
    if description:
        checked.append("metadata")
        packages = {key: str(value) for key, value in (options.packages or {}).items()}
        if options.python_version or packages:
            _check_versions(options, packages, description)
            checked.append("versions")
        if options.load:
            _check_load(options, packages, description)
            checked.append("load")
    return {"checked": checked, "isolated": options.isolated, "seconds": round(time.monotonic() - start, 3)}


def _models(files: Sequence[LocalFile], description: Description | None) -> list[LocalFile]:
    """Return the files that a server may take for the model, and run as code."""
    suffixes = SUFFIXES.get(description.model_format) if description else None
    if suffixes:
        return [file for file in files if file.name.endswith(suffixes)]
    # What a server takes of them is not known here.
    return [file for file in files if file.name != METADATA] or list(files)


def _check_digests(allowed: Sequence[str], models: Sequence[LocalFile], manifest: Callable[[], str] | None) -> None:
    known = {digest.lower().removeprefix("sha256:") for digest in allowed}
    if manifest and manifest() in known:
        return
    for file in models:
        if file.sha256 not in known:
            raise KServeError(
                f"The sha256 of {file.path} is {file.sha256}, which is not among the {len(known)} of "
                "gate.allowed_digests; add it there if you trust where the file comes from.",
                reason="DigestNotAllowed",
            )


def _check_versions(options: GateOptions, packages: dict[str, str], description: Description) -> None:
    wrong = version_mismatch(description.libraries, options.python_version, packages)
    if wrong:
        raise KServeError(
            f"By its {METADATA} the model {description.model.path} was made with {wrong}; train it under the image's "
            "versions, or correct gate to those of the image that is to serve it.",
            reason="VersionMismatch",
        )


def _check_load(options: GateOptions, packages: dict[str, str], description: Description) -> None:
    if description.model_format not in SUFFIXES:
        raise KServeError(
            f"The gate can load models of the format {', '.join(SUFFIXES)}, and {METADATA} says "
            f"{description.model_format}; set gate.load to false.",
            reason="FormatUnsupported",
        )
    check_platform()
    trial = options.trial(list(packages))
    model = description.model.path
    outcome = try_model(trial, model, description.instances, description.answers, description.columns)
    # First of all: under other versions than the image's the rest proves nothing.
    wrong = version_mismatch(outcome.versions, options.python_version, packages) if outcome.versions else None
    if wrong:
        raise KServeError(
            f"{trial.python}, which loads the model, has {wrong}; set gate.python to an interpreter with the image's "
            "packages.",
            reason="InterpreterMismatch",
        )
    sentence = fault(outcome, trial, model, description.answers, description.features)
    if sentence:
        raise KServeError(sentence, reason="ModelRejected", **({"output": outcome.output} if outcome.output else {}))
