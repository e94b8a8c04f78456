# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers in which Ansible runs with another Python than this machine's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from local import debian, images
from local.cache import make_missing
from local.engine import Engine
from local.progress import Progress
from local.settings import Settings
from local.table import Table

# How this machine reaches package indexes holds in the container, too.
_INDEX = re.compile(r"(?:PIP|UV)_\w*(?:INDEX|TIMEOUT)\w*|(?:https?|no)_proxy", re.IGNORECASE)


def ref(python: str) -> str:
    """The name of the image with this Python."""
    return f"hashfoundry.local/controller:python-{python}"


def ensure(python: str, settings: Settings, table: Table, docker: Engine, progress: Progress) -> None:
    """Give the engine the image with this Python; it is made where the cache lacks it."""
    row = next(image for image in table.placed("controller") if image.ref == ref(python))
    debian.ensure(mmdebstrap="mmdebstrap")
    archive = images.product(row, table, settings)
    make_missing([images.rootfs_product(table.rootfs[row.rootfs], settings), archive], progress)
    docker.docker("load", "--quiet", "--input", archive.path)


def command(python: str, mounts: Mapping[Path, str], variables: Mapping[str, str], folder: str) -> list[str]:
    """The words that run a program in the image, on this machine's network; the program's own words follow.

    mounts: folders of this machine, and where the program sees them.
    variables: for its environment, beside what reaches package indexes.
    folder: where it begins.
    """
    words = ["docker", "run", "--rm", "--init", "--network=host", f"--workdir={folder}"]
    # Docker's own profile refuses the namespaces in which a model is tried, and root needs the capability for them.
    words += ["--security-opt=seccomp=unconfined", "--cap-add=SYS_ADMIN"]
    words.append("--security-opt=systempaths=unconfined")  # a test takes namespaces away by /proc/sys
    words += [f"--volume={source}:{target}" for source, target in mounts.items()]
    # By name only: an index URL may hold a password, and any user of the machine sees a command line.
    words += [f"--env={name}" for name in os.environ if _INDEX.fullmatch(name)]
    # Python's libraries carry certificates of their own, which are not those that the image trusts.
    bundle = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), "/etc/ssl/certs/ca-certificates.crt")
    words += [f"--env={name}={value}" for name, value in {**bundle, "LANG": "C.UTF-8", **variables}.items()]
    return [*words, ref(python)]
