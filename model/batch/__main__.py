# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predict a file: ``python -m model.batch --bucket BUCKET --input KEY …``.

Endpoint, region and keys come from the variables of AWS's tools. The end is 0 when all is done, 2 with one sentence
where another try cannot help, and 1 where it can.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from .bucket import Bucket
from .errors import BatchError
from .predictor import fetch, load
from .run import Order, is_complete, run
from .source import open_source

CHUNK_ROWS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program."""
    options = _parser().parse_args(arguments)
    order = Order(
        key=options.input,
        etag=options.etag,
        name=options.name,
        version=options.version,
        digest=options.digest,
        output=options.output,
        keep=tuple(options.keep),
        probabilities=options.probabilities,
        max_rejected=options.max_rejected,
    )
    try:
        _predict(order, options.bucket, options.chunk_rows)
    except BatchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as error:
        print(f"Error: the store does not answer as it should: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _predict(order: Order, bucket: str, chunk_rows: int) -> None:
    objects = Bucket(bucket)
    if is_complete(objects, order):
        print(f"{order.output} is complete already.")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch(objects, f"{order.name}/{order.version}/", order.digest, folder)
        model = load(order.name, folder, order.probabilities)
    source = open_source(objects, order.key, order.etag, model.features, order.keep, chunk_rows)
    begun = time.monotonic()
    done = run(objects, order, source, model, lambda line: print(line, flush=True))
    print(f"{done.rows} rows predicted and {done.rejected} rejected in {time.monotonic() - begun:.2f} s.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.batch", description="Predict a file of rows in a bucket.")
    parser.add_argument("--bucket", required=True, help="the bucket of file and model")
    parser.add_argument("--input", required=True, metavar="KEY", help="the file, *.csv or *.parquet")
    parser.add_argument("--etag", required=True, help="the ETag that the file must have, without quotes")
    parser.add_argument("--name", required=True, help="the model, the first part of its key")
    parser.add_argument("--version", required=True, help="its version, the second part")
    parser.add_argument("--digest", required=True, help="the version's digest, sha256:…")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="where the predictions go, with a slash")
    parser.add_argument("--keep", nargs="*", default=[], metavar="COLUMN", help="columns that are passed on")
    parser.add_argument("--probabilities", action="store_true", help="write the probabilities of the classes, too")
    parser.add_argument("--max-rejected", type=int, default=0, help="how many rows may be rejected (default: 0)")
    parser.add_argument("--chunk-rows", type=int, default=CHUNK_ROWS, help="rows of a part (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
