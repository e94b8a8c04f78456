# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predict a file: ``python -m model.batch --bucket BUCKET --input KEY …``.

Endpoint, region and credentials come from the environment variables of AWS. The exit code is 0 after success, 1 after
an error that a retry may fix, and 2 after any other error.
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
from .predictor import download, load
from .run import BatchJob, is_complete, run
from .source import open_source

CHUNK_ROWS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict the file that the arguments name, and return the exit code."""
    options = _parser().parse_args(arguments)
    job = BatchJob(
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
        _predict(job, options.bucket, options.chunk_rows)
    except BatchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as error:
        print(f"Error: the object store returned an error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _predict(job: BatchJob, bucket: str, chunk_rows: int) -> None:
    objects = Bucket(bucket)
    if is_complete(objects, job):
        print(f"{job.output} is already complete.")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        download(objects, f"{job.name}/{job.version}/", job.digest, folder)
        model = load(job.name, folder, job.probabilities)
    source = open_source(objects, job.key, job.etag, model.features, job.keep, chunk_rows)
    started = time.monotonic()
    summary = run(objects, job, source, model, lambda line: print(line, flush=True))
    print(f"{summary.rows} rows predicted and {summary.rejected} rejected in {time.monotonic() - started:.2f} s.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.batch", description="Predict a file of rows in a bucket.")
    parser.add_argument("--bucket", required=True, help="the bucket of the file and the model")
    parser.add_argument("--input", required=True, metavar="KEY", help="the file, *.csv or *.parquet")
    parser.add_argument("--etag", required=True, help="the required ETag of the file, without quotes")
    parser.add_argument("--name", required=True, help="the name of the model, the first segment of its prefix")
    parser.add_argument("--version", required=True, help="the version of the model, the second segment")
    parser.add_argument("--digest", required=True, help="the required digest of the version, sha256:…")
    parser.add_argument(
        "--output", required=True, metavar="PREFIX", help="the prefix of the predictions, with a slash at the end"
    )
    parser.add_argument("--keep", nargs="*", default=[], metavar="COLUMN", help="columns to copy to the predictions")
    parser.add_argument("--probabilities", action="store_true", help="also write the probabilities of the classes")
    parser.add_argument("--max-rejected", type=int, default=0, help="the maximum number of rejected rows (default: 0)")
    parser.add_argument("--chunk-rows", type=int, default=CHUNK_ROWS, help="rows per part (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
