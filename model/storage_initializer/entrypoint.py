# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the storage initializer's container runs: ``python entrypoint.py URI FOLDER [URI FOLDER ...]``.

KServe starts the init container with these arguments, the folder being /mnt/models, and passes the
credentials in the environment. The package kserve-storage does the work, but has no command of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kserve_storage import Storage  # type: ignore[import-not-found]
from kserve_storage.logging import configure_logging  # type: ignore[import-not-found]


def main(arguments: Sequence[str]) -> int:
    """Download every URI into the folder after it; 1, with one sentence on stderr, where that fails."""
    if not arguments or len(arguments) % 2:
        print("Error: give pairs of a URI and the folder to download it to.", file=sys.stderr)
        return 1
    configure_logging()
    try:
        Storage.download_files(list(arguments[::2]), list(arguments[1::2]))
    # One of many libraries, by the kind of URI, does the download, each with errors of its own.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"Error: the model could not be downloaded: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
