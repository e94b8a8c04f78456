# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the modules with common tools, and check the figures against thresholds.

    python -m benchmarks [NAME ...]

Runs all benchmarks unless names are given. The tables are written to benchmarks/results/. A missed threshold is marked
in the table and does not change the exit code. The exit code is 1 if a benchmark failed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from benchmarks.results import MeasurementError
from local.errors import LocalError

NAMES = (
    "upload", "manifests", "smoke_test", "readiness", "serving", "from_zero", "rollout", "batch", "demo", "platform",
    "network_policies", "monitoring",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return 0 if all succeeded, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, help="number of measurements")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"the benchmark {unknown[0]} was not found: choose from {', '.join(NAMES)}")
    failed = 0
    for name in options.names or NAMES:
        print(f"==> {name}", flush=True)
        measure = importlib.import_module(f"benchmarks.{name}").measure
        try:
            (measure(options.rounds) if options.rounds else measure()).write()
        except (LocalError, MeasurementError) as error:
            print(f"\nError: The benchmark {name} failed: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
