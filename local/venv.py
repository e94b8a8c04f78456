# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make .venv from requirements.lock. Runs before there is a venv: nothing but the standard library."""

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


def _run(*words: str | Path, hint: str) -> None:
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"\nError: {hint}")


def main() -> None:
    """Make the environment, or leave it alone where it was made of the same lock."""
    if sys.version_info < OLDEST:
        sys.exit(f"Error: Python {OLDEST[0]}.{OLDEST[1]} or newer is needed: set PYTHON=python3.11 (make PYTHON=…).")
    made = VENV / "made-of"
    key = f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {sys.version}"
    if made.exists() and made.read_text() == key:
        return
    print("==> Python environment", flush=True)
    try:
        import ensurepip  # noqa: F401  Debian keeps it in a package of its own
    except ImportError:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if os.geteuid() != 0:
            sys.exit(f"Error: this Python cannot make environments: apt-get install {package}")
        _run("apt-get", "update", "-q", hint=f"Debian's mirror does not answer: install {package} by hand.")
        _run("apt-get", "install", "-q", "-y", package, hint=f"install {package} by hand.")
    _run(sys.executable, "-m", "venv", "--clear", VENV, hint=f"{VENV} cannot be made: see that the disk has room.")
    pypi = "PyPI does not answer: see the network, or set PIP_INDEX_URL and UV_INDEX_URL to a mirror."
    _run(VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", UV, hint=pypi)
    # install, not sync: uv and pip themselves stay. Bytecode, for each task of a playbook is a new Python process:
    # importing the Kubernetes client takes 0.3 s with it and 1.0 s without, whatever PYTHONDONTWRITEBYTECODE says.
    _run(
        VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", VENV / "bin" / "python",
        "--require-hashes", "--compile-bytecode", "-r", LOCK, hint=pypi,
    )  # fmt: skip
    made.write_text(key)


if __name__ == "__main__":
    main()
