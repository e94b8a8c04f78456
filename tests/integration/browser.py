# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages in a headless Chromium: their texts, and pictures of them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from local import debian
from local.run import run

# A page is complete when it has neither a request nor a timer left within this time of its own clock.
PAGE_MILLISECONDS = 30_000


class _Words(HTMLParser):
    """The text of a page, without its scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.words.append(data.strip())


@dataclass(frozen=True)
class Page:
    """What a browser shows: the texts in order, and the numbers of charts and of boxes with an error."""

    words: list[str]
    charts: int
    errors: int


def _trust(home: Path, ca: Path) -> None:
    """Let the browser of this home folder trust what the CA issues."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = f"sql:{store}"
    run(["certutil", "-d", database, "-N", "--empty-password"], hint="see libnss3-tools.")
    run(["certutil", "-d", database, "-A", "-n", "ca", "-t", "C,,", "-i", ca], hint=f"see {ca}.")


def shown(url: str, address: str, ca: Path, picture: Path, size: tuple[int, int]) -> Page:
    """Open a page in a window of this size, and write a picture of it.

    address: where the host of the URL listens, with the port. ca: whose certificates are valid.
    """
    debian.ensure(chromium="chromium", certutil="libnss3-tools")
    host = url.split("/")[2].partition(":")[0]
    with tempfile.TemporaryDirectory() as home:
        _trust(Path(home), ca)
        result = subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",  # root cannot have one
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={home}/profile",
                f"--host-resolver-rules=MAP {host} {address}",
                f"--window-size={size[0]},{size[1]}",
                f"--virtual-time-budget={PAGE_MILLISECONDS}",
                f"--screenshot={picture}",
                "--dump-dom",
                url,
            ],
            env={**os.environ, "HOME": home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert result.returncode == 0 and picture.exists(), result.stderr[-2000:]
    parser = _Words()
    parser.feed(result.stdout)
    return Page(parser.words, result.stdout.count("<canvas"), result.stdout.count("MuiAlert-colorError"))
