# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create .venv from requirements.lock, with the standard library only, because no packages are installed yet."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
LOCK = REPOSITORY / "requirements.lock"
UV = "uv==0.13.8"
OLDEST = (3, 11)


def _run(*command: str | Path, hint: str) -> None:
    result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, check=False)
    if result.returncode:
        sys.exit(f"\nError: {hint}")


def main() -> None:
    """Create the virtual environment, unless it was created from the same lock file and Python version."""
    if sys.version_info < OLDEST:
        sys.exit(f"Error: Python {OLDEST[0]}.{OLDEST[1]} or newer is needed: set PYTHON=python3.11 (make PYTHON=…).")
    made = VENV / "made-of"
    key = f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {sys.version}"
    if made.exists() and made.read_text() == key:
        return
    print("==> Python environment", flush=True)
    try:
        import ensurepip  # noqa: F401  Debian ships it in a separate package
    except ImportError:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if os.geteuid() != 0:
            sys.exit(f"Error: The Python module ensurepip is missing: run apt-get install {package}")
        _run("apt-get", "update", "-q", hint=f"The Debian mirror is not reachable: install {package} by hand.")
        _run("apt-get", "install", "-q", "-y", package, hint=f"{package} was not installed: install it by hand.")
    _run(sys.executable, "-m", "venv", "--clear", VENV, hint=f"{VENV} was not created: check the free disk space.")
    pypi = "The installation from PyPI failed: check the network, or set PIP_INDEX_URL and UV_INDEX_URL to a mirror."
    _run(VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", UV, hint=pypi)
    # install, not sync, which would uninstall uv and pip. Each task of a playbook is a new Python process: importing
    # the Kubernetes client takes 0.3 s with bytecode and 1.0 s without, regardless of PYTHONDONTWRITEBYTECODE.
    _run(
        VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", VENV / "bin" / "python",
        "--require-hashes", "--compile-bytecode", "-r", LOCK, hint=pypi,
    )  # fmt: skip
    made.write_text(key)


if __name__ == "__main__":
    main()
