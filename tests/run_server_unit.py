# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests of the container servers, each in a virtual environment with the packages of its image.

The environments are cached by the digest of their lock file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from local import environments, settings  # noqa: E402
from local.cache import digest  # noqa: E402
from local.errors import LocalError  # noqa: E402

PYTEST = "pytest==9.1.1"
PYTHON = "3.11"
# The folder of a lock file, and the tests that need its packages.
SUITES = {
    "batch": ["test_batch_rows.py", "test_batch_run.py"],
    "server": [
        f"test_server_{part}.py"
        for part in (
            "churn",
            "estimators",
            "http",
            "imports",
            "joint",
            "metrics",
            "model",
            "packets",
            "protocol",
            "requirements",
            "rows",
            "together",
            "trial",
        )
    ],
    "storage_initializer": ["test_storage_initializer.py"],
}


def environment(name: str) -> Path:
    """The Python of the environment, which is created unless it is cached."""
    lock = ROOT / "model" / name / "requirements.txt"
    folder = environments.ensure(settings.load(), f"{name}-{digest(lock, PYTEST)}", lock, PYTHON, [PYTEST])
    return folder / "bin" / "python"


def main() -> int:
    """Run the suites; 0 if all passed."""
    failed = 0
    for name, files in SUITES.items():
        print(f"--- {name}", flush=True)
        command = [environment(name), "-m", "pytest", "-q", *(f"model/tests/{file}" for file in files)]
        failed |= subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(f"Error: {error}")
