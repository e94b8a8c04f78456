# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages in a headless Chromium: their texts, and pictures of them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from local import debian

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
    """What a browser shows: the texts in order, and the number of charts."""

    words: list[str]
    charts: int


def _pin(ca: Path) -> str:
    """The hash of the CA's key by which Chromium trusts what the CA has issued."""
    key = x509.load_pem_x509_certificate(ca.read_bytes()).public_key()
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


def shown(url: str, address: str, ca: Path, picture: Path, size: tuple[int, int]) -> Page:
    """Open a page in a window of this size, and write a picture of it.

    address: where the host of the URL listens, with the port. ca: whose certificates are valid.
    """
    debian.ensure(chromium="chromium")
    host = url.split("/")[2].partition(":")[0]
    with tempfile.TemporaryDirectory() as profile:
        result = subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",  # root cannot have one
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--ignore-certificate-errors-spki-list={_pin(ca)}",
                f"--host-resolver-rules=MAP {host} {address}",
                f"--window-size={size[0]},{size[1]}",
                f"--virtual-time-budget={PAGE_MILLISECONDS}",
                f"--screenshot={picture}",
                "--dump-dom",
                url,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert result.returncode == 0 and picture.exists(), result.stderr[-2000:]
    parser = _Words()
    parser.feed(result.stdout)
    return Page(parser.words, result.stdout.count("<canvas"))
