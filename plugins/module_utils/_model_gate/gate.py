# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate before an upload: whether a model folder matches its metadata, fits the serving image, and predicts.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import LocalFile

from .metadata import METADATA, SUFFIXES, Description, describe
from .options import GateOptions
from .sandbox import Trial, check_platform, fault, try_model
from .versions import version_mismatch


def trial_of(options: GateOptions, packages: Sequence[str]) -> Trial:
    """Return how the model is loaded; packages: names whose versions are reported."""
    python = options.python or sys.executable
    return Trial(python, options.timeout, options.memory_bytes, options.isolated, tuple(packages), options.names)


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
    check_platform(options.names)
    trial = trial_of(options, list(packages))
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
