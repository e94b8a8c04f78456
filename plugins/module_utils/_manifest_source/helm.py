# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helm charts as texts of YAML, as the program helm prints them.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.disk_cache import cached
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import (
    reject_credentials,
    without_credentials,
)

from .secrets import HIDDEN, without_values

# Between documents of YAML; what a CRD has; what a document has that is more than comments.
BETWEEN = re.compile(r"^---(?=\s|$)", re.MULTILINE)
DEFINITION = re.compile(r"^kind: *[\"']?CustomResourceDefinition\b", re.MULTILINE)
_SAYS_SOMETHING = re.compile(r"^\s*[^#\s]", re.MULTILINE)
_URLS = ("ref", "repository")
_LONGEST = 300  # seconds for a chart


class Rendered(NamedTuple):
    """A chart as a text of YAML; namespace: that of the release, for objects that name none."""

    source: str
    text: str
    namespace: str


def render_charts(charts: Sequence[Mapping[str, Any]], helm: str, namespace: str | None) -> Generator[Rendered]:
    """Render the charts at once and yield the text of each, in order: one can be read while others are rendered.

    :param charts: entries of the module's option charts.
    :param helm: the program's name or path.
    :param namespace: that of the releases that name none.
    :raises KServeError: there is no such program, or it does not render a chart.

    When it is closed, or interrupted as by the keyword timeout, the programs that still run are ended.
    """
    for chart in charts:
        for name in _URLS:
            if _is_url(chart[name]):
                cure = "pass them to helm repo add or helm registry login"
                reject_credentials(f"charts[].{name}", chart[name], cure)
    pool, programs = ThreadPoolExecutor(), _Programs()
    try:
        yield from pool.map(
            lambda chart: _rendered(chart, helm, chart["namespace"] or namespace or "", programs), charts
        )
    finally:
        programs.end()
        pool.shutdown(cancel_futures=True)


def mask_values(charts: Any) -> Any:
    """Return the option as it may be shown: any of a chart's values may be secret."""
    if not isinstance(charts, list):
        return HIDDEN
    return [_masked(entry) if isinstance(entry, Mapping) else HIDDEN for entry in charts]


def _masked(chart: Mapping[str, Any]) -> dict[str, Any]:
    urls = {name: without_credentials(chart[name]) for name in _URLS if _is_url(chart.get(name))}
    return {**chart, **urls, "values": HIDDEN}


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and "://" in value


class _Programs:
    """The programs that run, for whoever waits for them no longer."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False
        self._lock = threading.Lock()

    def run(self, command: Sequence[str], given: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a command with some input, as subprocess.run does."""
        pipe = subprocess.PIPE
        # AnsibleModule.run_command is not at hand in the action plugin.
        # pylint: disable-next=ansible-bad-function
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        ) as program:
            self._add(program)
            try:
                output, errors = program.communicate(given, timeout)
            except BaseException:
                _kill(program)
                raise
            finally:
                with self._lock:
                    self._running.discard(program)
        return subprocess.CompletedProcess(command, program.returncode, output, errors)

    def _add(self, program: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.add(program)
            if self._ended:
                _kill(program)

    def end(self) -> None:
        """Kill those that run, and each that is started from now on."""
        with self._lock:
            self._ended = True
            for program in self._running:
                _kill(program)


def _kill(program: subprocess.Popen[str]) -> None:
    # With what it has started, which would keep its output open.
    if program.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def _rendered(chart: Mapping[str, Any], helm: str, namespace: str, programs: _Programs) -> Rendered:
    options = {
        "--namespace": namespace,
        "--repo": chart["repository"],
        "--version": chart["version"],
    }
    given = [f"{option}={value}" for option, value in options.items() if value]
    command = [helm, "template", chart["release"], chart["ref"], "--include-crds", "--values=-", *given]
    parts = None if chart["values"] or chart["repository"] else _parts(Path(chart["ref"]), helm)
    if parts is None:
        text = _printed(command, chart, programs)
    else:
        key = [*map(str.encode, command), *parts]
        text = cached(key, lambda: _printed(command, chart, programs), str, _is_of_definitions)
    return Rendered(f"the chart {chart['ref']}", text, namespace)


def _is_of_definitions(text: str) -> bool:
    # What else a chart renders may be secret, or another key each time.
    return all(DEFINITION.search(part) for part in BETWEEN.split(text) if _SAYS_SOMETHING.search(part))


def _parts(chart: Path, helm: str) -> list[bytes] | None:
    """Return all that a chart on this machine is rendered from; nothing where it is elsewhere."""
    program = shutil.which(helm)
    if program is None:
        return None
    if chart.is_file():
        files = [chart]
    elif (chart / "Chart.yaml").is_file():
        folders = os.walk(chart, followlinks=True)  # as Helm does
        files = sorted(Path(folder, name) for folder, _names, names in folders for name in names)
    else:
        return None  # such a folder may be large, and Helm says what is missing in it
    try:
        state = Path(program).resolve().stat()
        found = [program.encode(), str(state.st_mtime_ns).encode(), str(state.st_size).encode()]
        for path in files:
            found += [str(path.relative_to(chart)).encode(), path.read_bytes()]
    except OSError:
        return None  # Helm says what is the matter with it
    return found


def _printed(command: Sequence[str], chart: Mapping[str, Any], programs: _Programs) -> str:
    helm = command[0]
    try:
        # JSON is YAML, too, and what a file would hold may be secret.
        result = programs.run(command, json.dumps(chart["values"]), _LONGEST)
    except subprocess.TimeoutExpired:
        raise KServeError(
            f"Helm has not rendered the chart {chart['ref']} after {_LONGEST} seconds; check that its repository "
            "answers.",
            reason="ChartTimeout",
        ) from None
    except OSError as error:
        raise KServeError(
            f"{helm} cannot be run ({error.strerror}); install Helm, or set helm to its path.", reason="HelmMissing"
        ) from None
    if result.returncode:
        # A chart's schema and its templates may repeat the value that they refuse.
        names = [str(chart[name] or "") for name in ("ref", "release", "namespace", "repository", "version")]
        masked = redact(without_values(result.stderr, chart["values"], names))
        message = " ".join(masked.split()).removeprefix("Error: ").rstrip(".")
        raise KServeError(
            f"Helm does not render the chart {chart['ref']}: {message}; correct the entry in charts.",
            reason="ChartNotRendered",
        )
    return result.stdout
