# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove images of earlier builds from the Docker engine.

Each build of the node image has its own tag. A build of any other image takes the tag of the one before, which remains
without a name.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from local import execution_environment, node, table
from local.engine import Engine
from local.run import succeeds
from local.settings import Settings

# The images with these names are the project's. No registry has this name.
PREFIX = "hashfoundry.local/"
# Another checkout may have built an image for a cluster that it is about to create.
AGE = timedelta(days=1)
_CREATED = "%Y-%m-%d %H:%M:%S %z"


def current(settings: Settings) -> set[str]:
    """Return the names of all images that this checkout builds, whatever the settings of a cluster are."""
    rows = table.load()
    return {node.ref(rows, settings), execution_environment.REF, *(image.ref for image in rows.images)}


def remove(docker: Engine, keep: Collection[str], now: datetime) -> list[str]:
    """Remove images of earlier builds that no container uses, and return their names.

    The engine may be the user's, so only images with the project's names are removed, and none by force.
    """
    listed = docker.docker("image", "ls", "--format={{.Repository}}:{{.Tag}} {{.CreatedAt}}").splitlines()
    images = [line.partition(" ")[::2] for line in listed if line.startswith(PREFIX)]
    return [
        name
        for name, created in images
        if name not in keep
        and not name.endswith(":<none>")
        and now - datetime.strptime(created.rpartition(" ")[0], _CREATED) > AGE
        # The engine refuses to remove an image that a container uses, running or stopped.
        and succeeds(["docker", "image", "rm", name], env=docker.env)
    ]


def prune(docker: Engine) -> None:
    """Remove the images without a name that no container uses, from an engine that holds only images of the project."""
    docker.docker("image", "prune", "--force", f"--filter=until={AGE // timedelta(hours=1)}h")
