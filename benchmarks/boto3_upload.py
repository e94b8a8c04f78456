# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upload a folder with boto3's own upload_file, as a user writes it: FOLDER BUCKET PREFIX."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

THREADS = 8


def main() -> None:
    """Send every file, eight at once."""
    folder, bucket, prefix = sys.argv[1:]
    client = boto3.client("s3")

    def send(file: Path) -> None:
        client.upload_file(str(file), bucket, f"{prefix}/{file.name}")

    with ThreadPoolExecutor(THREADS) as pool:
        for _nothing in pool.map(send, sorted(Path(folder).iterdir())):
            pass


if __name__ == "__main__":
    main()
