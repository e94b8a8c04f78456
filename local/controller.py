# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that run Ansible with another Python version than the host's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from local import debian, images
from local.cache import build_missing
from local.engine import Engine
from local.progress import Progress
from local.settings import Settings
from local.table import Table

# Variables that configure package indexes and proxies are passed to the container.
_INDEX = re.compile(r"(?:PIP|UV)_\w*(?:INDEX|TIMEOUT)\w*|(?:https?|no)_proxy", re.IGNORECASE)


def ref(python: str) -> str:
    """The reference of the image with this Python version."""
    return f"hashfoundry.local/controller:python-{python}"


def ensure(python: str, settings: Settings, table: Table, docker: Engine, progress: Progress) -> None:
    """Load the image with this Python version into the engine, after building it if it is not cached."""
    row = next(image for image in table.placed("controller") if image.ref == ref(python))
    debian.ensure(mmdebstrap="mmdebstrap")
    archive = images.product(row, table, settings)
    build_missing([images.rootfs_product(table.rootfs[row.rootfs], settings), archive], progress)
    docker.docker("load", "--quiet", "--input", archive.path)


def command(python: str, mounts: Mapping[Path, str], variables: Mapping[str, str], folder: str) -> list[str]:
    """The `docker run` arguments for the image on the host network; append the command to run and its arguments.

    mounts: host folders and their paths in the container.
    variables: environment variables, in addition to those of package indexes.
    folder: the working directory.
    """
    argv = ["docker", "run", "--rm", "--init", "--network=host", f"--workdir={folder}"]
    # The model sandbox creates namespaces. Docker's seccomp profile denies that, and root needs CAP_SYS_ADMIN for it.
    argv += ["--security-opt=seccomp=unconfined", "--cap-add=SYS_ADMIN"]
    argv.append("--security-opt=systempaths=unconfined")  # a test disables namespaces in /proc/sys
    argv += [f"--volume={source}:{target}" for source, target in mounts.items()]
    # By name only: an index URL may contain a password, and any user of the machine can read a command line.
    argv += [f"--env={name}" for name in os.environ if _INDEX.fullmatch(name)]
    # Python libraries use their bundled CA certificates unless these variables point to the image's.
    bundle = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), "/etc/ssl/certs/ca-certificates.crt")
    argv += [f"--env={name}={value}" for name, value in {**bundle, "LANG": "C.UTF-8", **variables}.items()]
    return [*argv, ref(python)]
