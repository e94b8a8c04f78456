# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loading a model and letting it predict its own examples, in an isolated process.

The process runs sandbox_program.py. It reads a job from stdin, JSON with these keys: isolated, folder (an empty one),
disk (bytes it may write), limits (by name of the RLIMIT constant), timeout (seconds), packages (names whose versions
are reported), estimator (the source of estimator.py), instances (none for a row that the model accepts), columns (the
names of a row's values in the model's order), convert (whether the values are those of a CSV file), methods (names such
as predict; none for those it has), and the descriptors model and report. To report it writes JSON, one object a line:
refused (why the kernel does not isolate), versions, fitted (the names of the columns that the model was fitted on), and
answers by method with what the model takes and gives, or unservable (why servers cannot serve it), or error.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact, short

from . import estimator, sandbox_program
from .options import OF_UPLOAD, OptionNames

MIB = 1024 * 1024
# What a trial may write, and how many processes and threads it may have: plenty for one prediction.
DISK = 64 * MIB
PROCESSES = 64
OPEN_FILES = 256
_REPORT_SIZE = 64 * MIB
_TAIL = 4000
# Beyond the trial's own timeout, for its start and its end.
_GRACE = 10
# As Python, the kernel, the dynamic loader, OpenBLAS and extension modules say it, of which some fail without a reason.
_OUT_OF_MEMORY = (
    "MemoryError",
    "Cannot allocate memory",
    "failed to map segment",
    "Memory allocation still failed",
    "error return without exception set",
    "returned NULL without setting an exception",
)

# One thread: the address space that a numerical library takes grows with the machine's processors.
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "JOBLIB_MULTIPROCESSING": "0",
}


@dataclass(frozen=True)
class Trial:
    """How to try.

    python: path of the interpreter; timeout: seconds; memory: bytes; isolated: see the module's docs; names: in errors.
    """

    python: str
    timeout: float
    memory: int
    isolated: bool = True
    packages: Sequence[str] = ()
    names: OptionNames = OF_UPLOAD


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    code: exit code of the program, 128 and the number for a signal; versions: of the interpreter that tried;
    fitted: the names of the columns that the model was fitted on, where they had some; answers: by method, None where
    there are none; found: what the model takes and gives, where it was tried; unservable: why no server can serve it;
    error and refused: the reason as Python or the kernel gives it; output: the end of stdout and stderr, without what
    looks like a secret.
    """

    code: int
    versions: dict[str, str] = field(default_factory=dict)
    fitted: list[str] = field(default_factory=list)
    answers: dict[str, Any] | None = None
    found: dict[str, Any] = field(default_factory=dict)
    unservable: str | None = None
    error: str | None = None
    refused: str | None = None
    output: str = ""


def check_platform(names: OptionNames) -> None:
    """Refuse a system that has no such processes.

    :raises KServeError: this is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise KServeError(
            f"A model can be loaded on Linux only; run there{names.not_loaded and f', or {names.not_loaded}'}.",
            reason="PlatformUnsupported",
        )


def try_model(
    trial: Trial,
    model: Path,
    instances: Sequence[Any],
    methods: Iterable[str] = ("predict",),
    columns: Sequence[str] = (),
    convert: bool = False,
) -> Outcome:
    """Run the trial, in which each method gets the instances, and return what became of it.

    :param columns: the names of a row's values in the model's order, for instances that are objects.
    :param convert: whether the values are those of a CSV file, all strings.
    :raises KServeError: it could not be started.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix="model-gate-") as folder,
            model.open("rb") as content,
            tempfile.TemporaryFile() as job,
            tempfile.TemporaryFile() as report,
            tempfile.TemporaryFile() as output,
        ):
            order = {
                "isolated": trial.isolated,
                "folder": folder,
                "disk": DISK,
                "limits": _limits(trial),
                "timeout": trial.timeout,
                "packages": list(trial.packages),
                "estimator": inspect.getsource(estimator),
                "instances": list(instances),
                "columns": list(columns),
                "methods": list(methods),
                "convert": convert,
                "model": content.fileno(),
                "report": report.fileno(),
            }
            job.write(json.dumps(order).encode())
            job.seek(0)
            code = _run(trial, folder, job, output, (content.fileno(), report.fileno()))
            return _outcome(code, report, output)
    except OSError as error:
        raise KServeError(
            f"The model cannot be loaded with {trial.python}: {error}; set {trial.names.python} to an "
            "interpreter that has the serving image's packages.",
            reason="InterpreterUnusable",
        ) from error


def _limits(trial: Trial) -> dict[str, int]:
    return {
        "RLIMIT_AS": trial.memory,
        # For each process; the clock on the wall ends them all, and before.
        "RLIMIT_CPU": math.ceil(trial.timeout) + 1,
        "RLIMIT_FSIZE": DISK,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_CORE": 0,
        # Without namespaces it counts all processes of the user, and may be exceeded before the trial starts.
        **({"RLIMIT_NPROC": PROCESSES} if trial.isolated else {}),
    }


def _run(trial: Trial, folder: str, job: BinaryIO, output: BinaryIO, descriptors: tuple[int, ...]) -> int:
    home = "/tmp" if trial.isolated else folder
    # The source as an argument: in a module that Ansible has sent, it has no file of its own.
    command = [trial.python, "-I", "-B", "-c", inspect.getsource(sandbox_program)]
    # AnsibleModule.run_command takes neither files nor descriptors.
    # pylint: disable-next=ansible-bad-function
    with subprocess.Popen(
        command,
        stdin=job,
        stdout=output,
        stderr=output,
        cwd=folder,
        env={**_ENVIRONMENT, "HOME": home, "TMPDIR": home},
        pass_fds=descriptors,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(trial.timeout + _GRACE)
        except subprocess.TimeoutExpired:
            return sandbox_program.TIMEOUT
        finally:
            # Without namespaces a child that the model has left behind is still in the group.
            if process.poll() is None or not trial.isolated:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _outcome(code: int, report: BinaryIO, output: BinaryIO) -> Outcome:
    found: dict[str, Any] = {}
    report.seek(0)
    # The model's own code can write here too: what is no report is passed over.
    for line in report.read(_REPORT_SIZE).splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            found = {**entry, **found}
    output.seek(max(0, output.seek(0, 2) - _TAIL))
    answers, versions, fitted = found.get("answers"), found.get("versions"), found.get("fitted")
    return Outcome(
        code=code,
        versions=versions if isinstance(versions, dict) else {},
        fitted=[str(name) for name in fitted] if isinstance(fitted, list) else [],
        answers=answers if isinstance(answers, dict) else None,
        found=found,
        unservable=short(str(found["unservable"])) if "unservable" in found else None,
        error=str(found["error"]) if "error" in found else None,
        refused=str(found["refused"]) if "refused" in found else None,
        output=redact(output.read().decode(errors="replace")).strip(),
    )


def fault(
    outcome: Outcome,
    trial: Trial,
    model: Path,
    answers: Mapping[str, Sequence[Any]],
    features: Sequence[str] = (),
) -> str | None:
    """Return what is wrong and what to change, or None where each method gives what it must.

    :param features: as metadata.json lists them, where it does; servers build rows in their order.
    """
    if outcome.refused and outcome.code == sandbox_program.REFUSED:
        return (
            f"This machine does not let the model {model} be tried without network ({outcome.refused}); allow "
            "namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns; in a container "
            f"its seccomp profile), run as root, or {trial.names.not_isolated}, which lets the model's code use "
            "network and files as this user."
        )
    if outcome.code == sandbox_program.TIMEOUT:
        return (
            f"The model {model} did not load and predict within {trial.timeout:g} s; make it faster, "
            f"or raise {trial.names.timeout}."
        )
    if outcome.unservable:
        return f"The model {model} cannot be served: {outcome.unservable}."
    if outcome.code and any(sign in (outcome.error or outcome.output) for sign in _OUT_OF_MEMORY):
        return (
            f"The model {model} needs more than {trial.memory // MIB} MiB to load and predict; make it smaller, or "
            f"raise {trial.names.memory}."
        )
    if outcome.code or outcome.answers is None:
        return (
            f"The model {model} does not load and predict with {trial.python}: {_reason(outcome)}; train it under the "
            f"serving image's packages, or set {trial.names.python} to an interpreter that has them."
        )
    if features and outcome.fitted and list(features) != outcome.fitted:
        return (
            f"The model {model} was fitted on the columns {short(', '.join(outcome.fitted))}, and metadata.json lists "
            f"the features {short(', '.join(features))}; list them as the model has them, in its order."
        )
    for method, wanted in answers.items():
        got = outcome.answers.get(method)
        if not _finite(got):
            return (
                f"For its examples {method} of the model {model} gives {short(json.dumps(got))}, and JSON has neither "
                "NaN nor infinity, so no server could answer it; correct the model or its examples."
            )
        if not _agree(wanted, got):
            return (
                f"For its examples {method} of the model {model} gives {short(json.dumps(got))}, and metadata.json "
                f"says {short(json.dumps(wanted))}; train it again, so that both are written together."
            )
    return None


def _reason(outcome: Outcome) -> str:
    if outcome.error:
        return short(outcome.error)
    if outcome.code > 128:
        return f"it was ended by {_signal(outcome.code - 128)}" + _last_line(outcome)
    return f"it ended with exit code {outcome.code} and no prediction" + _last_line(outcome)


def _last_line(outcome: Outcome) -> str:
    lines = outcome.output.splitlines()
    return f" after {short(lines[-1])!r}" if lines else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _finite(got: Any) -> bool:
    if isinstance(got, list):
        return all(map(_finite, got))
    return not isinstance(got, float) or math.isfinite(got)


def _agree(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, Sequence) and not isinstance(wanted, str) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(_agree, wanted, got))
    if isinstance(wanted, (int, float)) and isinstance(got, (int, float)):
        # Another kind of processor may round the last digits otherwise.
        return math.isclose(wanted, got, rel_tol=1e-6, abs_tol=1e-9)
    return bool(wanted == got)
