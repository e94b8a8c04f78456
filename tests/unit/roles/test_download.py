# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cached manifest is used only if its checksum proves what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.unit.ansible_run import environment, run_play

CONTENT = b"kind: Namespace\n"


class Served(SimpleHTTPRequestHandler):
    """A server of manifests."""

    def log_message(self, *_words: object) -> None:
        """Print nothing."""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "manifest.yaml").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Served, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/manifest.yaml"
        server.shutdown()


@pytest.mark.parametrize("known", [True, False], ids=["with a checksum", "without one"])
def test_a_manifest_that_somebody_has_put_into_the_cache_is_not_used(tmp_path: Path, url: str, known: bool) -> None:
    cached = tmp_path / "cache" / f"{hashlib.sha1(url.encode()).hexdigest()}.yaml"
    cached.parent.mkdir()
    cached.write_bytes(b"kind: ClusterRoleBinding\n")
    cached.chmod(0o666)
    given = {"platform_download_url": url, "platform_manifest_cache": str(cached.parent)}
    given |= {"platform_download_sha256": hashlib.sha256(CONTENT).hexdigest()} if known else {}
    role = {"name": "hashfoundry.kserve.platform", "tasks_from": "download.yml"}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"import_role": role, "vars": given}]}
    run_play(tmp_path, play, env=environment("HASHFOUNDRY_"))
    assert cached.read_bytes() == CONTENT and cached.stat().st_mode & 0o777 == 0o644
