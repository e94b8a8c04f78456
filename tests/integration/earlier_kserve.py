# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The earlier KServe from which an upgrade starts: its controller, built and loaded into the node, and its charts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from local import engine, images, programs, table
from local.cache import build_missing, locked
from local.cluster import Cluster
from local.progress import Progress
from local.settings import REPOSITORY, Settings

TABLE = REPOSITORY / "tests" / "upgrade" / "components.toml"


def provide(settings: Settings) -> tuple[str, Path]:
    """Return its version and the folder of its charts. A build without cache takes half an hour on one core."""
    rows = table.load(table.TABLE, TABLE)
    (image,) = (image for image in rows.images if image.program == "kserve-manager-earlier")
    program = rows.programs[image.program]
    found = engine.answering(settings)
    assert found is not None
    cluster = Cluster(settings, replace(rows, images=(image,)), found)
    with locked(settings.cache):
        build_missing([programs.product(program, settings), images.product(image, rows, settings)], Progress())
        cluster.load(Progress(), built=True)
    return program.version, programs.source_folder(program) / "charts"
