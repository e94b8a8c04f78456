# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of training, the same for every model: ``python -m model.NAME --output DIR``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import ModelError
from model.folder import write_folder
from model.metadata import MODEL_FILE
from model.training import Recipe, train


def run(recipe: Recipe, module: str, arguments: Sequence[str] | None = None) -> int:
    """Train and write the model folder. If that fails, return 1 after printing one sentence to stderr."""
    options = _parser(recipe, module).parse_args(arguments)
    try:
        files = train(recipe, recipe.load(options.seed), options.version, options.seed, options.required, options.file)
        written = write_folder(options.output, files)
    except ModelError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {'written' if written else 'unchanged'}.")
    return 0


def _parser(recipe: Recipe, module: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"Train {recipe.name}.")
    parser.add_argument("--output", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--version", default="v1", help="the version's name (default: %(default)s)")
    parser.add_argument(
        "--file",
        default=MODEL_FILE,
        help="the model file's name, which ends in .joblib, .pkl or .pickle (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=42,
        help="random seed of the split into folds and of generated data (default: %(default)s)",
    )
    parser.add_argument(
        recipe.option,
        type=_fraction,
        default=recipe.required,
        dest="required",
        help="the minimum mean of this score in cross-validation (default: %(default)s)",
    )
    return parser


def _seed(text: str) -> int:
    # Otherwise argparse would name this function.
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give an integer from 0 to 4294967295")
    return int(text)


def _fraction(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text)) <= 1:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no score: give a number from 0 to 1")
