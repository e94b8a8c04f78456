# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entrypoint of the storage initializer: ``python entrypoint.py URI FOLDER [URI FOLDER ...]``.

KServe starts the init container with these arguments, where the folder is /mnt/models, and passes the
credentials in the environment. The package kserve-storage downloads the files, but has no command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kserve_storage import Storage  # type: ignore[import-not-found]
from kserve_storage.logging import configure_logging  # type: ignore[import-not-found]


def main(arguments: Sequence[str]) -> int:
    """Download each URI to the folder after it. If that fails, return 1 after printing one sentence to stderr."""
    if not arguments or len(arguments) % 2:
        print("Error: the arguments must be pairs of a URI and a folder to download it to.", file=sys.stderr)
        return 1
    configure_logging()
    try:
        Storage.download_files(list(arguments[::2]), list(arguments[1::2]))
    # The library of the download depends on the scheme of the URI, and each has its own errors.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"Error: the model could not be downloaded: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
