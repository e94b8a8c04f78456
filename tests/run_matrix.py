# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run lint, sanity and unit tests on each ansible-core of meta/tested_platforms.yml, in a container with its Python.

Each row runs on a copy of the checkout, in which the versions of the row replace those of requirements.lock and
requirements.yml. Its virtual environment, collections and home directory are cached.

Usage: run_matrix.py [minor versions of ansible-core, e.g. 2.21; by default all but that of this environment, whose
checks are make lint, sanity and unit]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from local import controller, engine, galaxy, programs, settings, table  # noqa: E402
from local.cache import locked  # noqa: E402
from local.engine import Engine  # noqa: E402
from local.errors import LocalError  # noqa: E402
from local.galaxy import Platform  # noqa: E402
from local.progress import Progress  # noqa: E402
from tests import process_output  # noqa: E402
from tests.run_sanity import checkout_files  # noqa: E402

LINK = Path("collections", "ansible_collections", "hashfoundry", "kserve")
# The unit tests of the Go programs are the same on any Python: `make unit` runs them.
CHECKS = {
    "lint": ["make", "lint"],
    "sanity": ["make", "sanity"],
    "unit": ["sh", "-c", "make collections && .venv/bin/pytest -q -n auto --dist loadfile"],
}
ENTRY = re.compile(r"^ansible-core==.*\\\n(?: +--hash=.*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Closed:
    """The result of a check; line: its last line of output."""

    row: Platform
    check: str
    passed: bool
    line: str

    def __str__(self) -> str:
        versions = f"ansible-core {self.row.ansible_core:<8} Python {self.row.python} "
        versions += f"kubernetes.core {self.row.kubernetes_core}"
        return f"{versions}  {self.check:<7} {'passed' if self.passed else 'FAILED'}  {self.line}"


def lay_out(copy: Path, row: Platform) -> None:
    """Copy the checkout's files, with the versions of the row, into a new git repository."""
    for path in checkout_files(ROOT):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy / path, follow_symlinks=False)
    lock = copy / "requirements.lock"
    text = lock.read_text()
    if f"ansible-core=={row.ansible_core} " not in text:
        text, count = ENTRY.subn((ROOT / "tests" / "matrix" / f"{row.minor}.lock").read_text(), text)
        if count != 1 or f"ansible-core=={row.ansible_core} " not in text:
            raise LocalError(f"tests/matrix/{row.minor}.lock is not of ansible-core {row.ansible_core}: lock it again.")
        lock.write_text(text)
    collections = copy / "requirements.yml"
    version = yaml.safe_load(collections.read_text())["collections"][0]["version"]
    collections.write_text(collections.read_text().replace(version, row.kubernetes_core))
    # Checks that list the files by git find the same ones.
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", "-C", copy, *words], check=True)
    (copy / LINK).parent.mkdir(parents=True)
    (copy / LINK).symlink_to(os.path.relpath(copy, (copy / LINK).parent))


def run(docker: Engine, row: Platform, copy: Path, kept: Path, promtool: Path, check: str) -> Closed:
    """Run one check in the row's container and print its output line by line.

    promtool: the program in the cache, for the tests of alerting rules.
    """
    print(f"\n=== ansible-core {row.ansible_core}, Python {row.python}: {check}", flush=True)
    home, environment, collection = kept / "home", kept / "environment", kept / "kubernetes"
    for folder in (home, environment, collection):
        folder.mkdir(parents=True, exist_ok=True)
    mounts = {
        copy: "/checkout",
        environment: "/checkout/.venv",
        collection: "/checkout/collections/ansible_collections/kubernetes",
        home: "/home/matrix",
        # The image has no Go that could build it.
        promtool: f"/home/matrix/.cache/hashfoundry-kserve/programs/{promtool.name}",
    }
    command = controller.command(row.python, mounts, {"HOME": "/home/matrix"}, folder="/checkout")
    code, lines = process_output.run([*command, *CHECKS[check]], lambda line: print(line, flush=True), docker.env)
    return Closed(row, check, code == 0, lines[-1] if lines else "")


def main(minors: list[str]) -> int:
    """Run the rows; 0 if all checks passed."""
    known = galaxy.platforms()
    rows = [
        row
        for row in known
        if (row.minor in minors if minors else row.ansible_core != metadata.version("ansible-core"))
    ]
    unknown = set(minors) - {row.minor for row in known}
    if unknown:
        raise LocalError(f"meta/tested_platforms.yml has no ansible-core {', '.join(sorted(unknown))}: name one of it.")
    config, products = settings.load(), table.load()
    results = []
    with locked(config.cache):
        docker = engine.ensure(config, products, Progress())
        for row in rows:
            controller.ensure(row.python, config, products, docker, Progress())
    promtool = programs.provided("promtool")
    for row in rows:
        with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
            lay_out(Path(folder), row)
            kept = config.cache / "matrix" / row.minor
            results += [run(docker, row, Path(folder), kept, promtool, check) for check in CHECKS]
    print("\n=== matrix")
    print("\n".join(map(str, results)))
    failed = sum(not closed.passed for closed in results)
    print(f"matrix: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LocalError as error:
        sys.exit(f"Error: {error}")
