# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the modules beside what users have, and print each table with the bars it is held to.

    python -m benchmarks [NAME ...]

Without a name all are measured. A table is kept in benchmarks/results/. The end is 0 also where a bar is missed: a
table says so; it is 1 where something could not be measured.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from benchmarks.results import NotMeasured
from local.errors import LocalError

NAMES = (
    "upload", "manifests", "smoke_test", "readiness", "serving", "from_zero", "rollout", "batch", "demo", "platform",
)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmarks; 0 if all could be measured, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    arguments = parser.parse_args(words)
    if unknown := [name for name in arguments.names if name not in NAMES]:
        parser.error(f"there is no benchmark {unknown[0]}: name some of {', '.join(NAMES)}, or none for all")
    failed = 0
    for name in arguments.names or NAMES:
        print(f"==> {name}", flush=True)
        measure = importlib.import_module(f"benchmarks.{name}").measure
        try:
            (measure(arguments.rounds) if arguments.rounds else measure()).write()
        except (LocalError, NotMeasured) as error:
            print(f"\nError: {name} could not be measured: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
