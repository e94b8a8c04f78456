# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the Debian packages that building or running a cluster needs."""

from __future__ import annotations

import os
import shutil

from local.errors import LocalError
from local.run import run


def ensure(**packages: str) -> None:
    """Install the packages whose command is not on the PATH: ensure(dockerd="docker.io")."""
    missing = sorted(package for program, package in packages.items() if not shutil.which(program))
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise LocalError(f"{names} is missing and apt-get was not found: install {', '.join(packages)} by hand.")
    if os.geteuid() != 0:
        raise LocalError(f"{names} is missing and installing it requires root: run apt-get install {names}")
    print(f"    installing the Debian packages {names}", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    hint = f"check that the Debian mirror is reachable, or install {names} by hand."
    run(["apt-get", "update", "-q"], env=env, hint=hint)
    run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], env=env, hint=hint)
