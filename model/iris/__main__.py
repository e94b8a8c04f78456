# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Train the iris classifier into a model folder: ``python -m model.iris --output DIR``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import ModelError
from model.folder import write_folder
from model.iris.train import load_dataset, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write the model folder; the exit code is 1, with one sentence on stderr, where that fails."""
    options = _parser().parse_args(arguments)
    try:
        files = train(load_dataset(), options.version, options.seed, options.min_accuracy)
        written = write_folder(options.output, files)
    except ModelError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {'written' if written else 'unchanged'}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.iris", description="Train the iris classifier.")
    parser.add_argument("--output", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--version", default="v1", help="the version's name (default: %(default)s)")
    parser.add_argument("--seed", type=_seed, default=42, help="seed of the split into folds (default: %(default)s)")
    parser.add_argument(
        "--min-accuracy",
        type=_fraction,
        default=0.95,
        help="the least mean accuracy of the cross-validation (default: %(default)s)",
    )
    return parser


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError("a seed is a whole number from 0 to 4294967295")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("an accuracy is a number from 0 to 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
