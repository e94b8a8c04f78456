# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make clean` removes the images of earlier builds that no container uses, and no image of anything else."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local import leftovers, node, settings, table
from local.engine import Engine

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
# As the docker command prints it: in the local time zone.
LISTED = """\
hashfoundry.local/node:v1.35.4-current 2026-10-01 10:00:00 +0100 CET
hashfoundry.local/node:v1.35.4-old 2026-10-01 10:00:00 +0000 UTC
hashfoundry.local/node:v1.34.0-running 2026-10-01 10:00:00 +0000 UTC
hashfoundry.local/node:v1.35.4-other 2026-11-29 10:00:00 +0000 UTC
hashfoundry.local/sklearnserver:v0.19.0 2026-10-01 10:00:00 -0530 -0530
hashfoundry.local/sklearnserver:<none> 2026-10-01 10:00:00 +0000 UTC
hashfoundry.localhost/node:mine 2026-10-01 10:00:00 +0000 UTC
registry.example.com/hashfoundry.local/node:mine 2026-10-01 10:00:00 +0000 UTC
kindest/node:v1.34.0 2026-10-01 10:00:00 +0000 UTC
<none>:<none> 2026-10-01 10:00:00 +0000 UTC
"""
# Like Docker, it refuses an image that a container uses, and would remove one by force.
DOCKER = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
  "image ls "*) cat {listed} ;;
  "image rm "*running) echo "conflict: container 1 is using its referenced image" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command that writes its arguments to the returned file."""
    log, command = tmp_path / "log", tmp_path / "bin" / "docker"
    command.parent.mkdir()
    (tmp_path / "listed").write_text(LISTED)
    command.write_text(DOCKER.format(log=log, listed=tmp_path / "listed"))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    return log


def test_only_unused_images_of_earlier_builds_are_removed(docker: Path) -> None:
    removed = leftovers.remove(Engine(""), {"hashfoundry.local/node:v1.35.4-current"}, NOW)
    assert removed == ["hashfoundry.local/node:v1.35.4-old", "hashfoundry.local/sklearnserver:v0.19.0"]
    asked = [line for line in docker.read_text().splitlines() if not line.startswith("image ls ")]
    assert asked == [
        "image rm hashfoundry.local/node:v1.35.4-old",
        "image rm hashfoundry.local/node:v1.34.0-running",
        "image rm hashfoundry.local/sklearnserver:v0.19.0",
    ]


def test_images_without_a_name_are_removed_only_after_a_day(docker: Path) -> None:
    leftovers.prune(Engine("unix:///run/own.sock"))
    assert docker.read_text() == "image prune --force --filter=until=24h\n"


def test_what_this_checkout_builds_is_retained_with_all_settings() -> None:
    rows = table.load()
    for mode in settings.MODES:
        for policies in ("true", "false"):
            given = {"HOME": "/home/me", "HASHFOUNDRY_MODE": mode, "HASHFOUNDRY_NETWORK_POLICIES": policies}
            config = settings.load(given)
            kept = leftovers.current(config)
            assert node.ref(rows.of_mode(mode), config) in kept
            assert node.ref(rows.of_mode(mode).without("kube-router"), config) in kept
            assert {image.ref for image in rows.of_mode(mode).images} <= kept
