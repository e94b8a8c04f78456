# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of the Markdown files within the repository lead to a file, and to a heading where they name one.

The pages of the site are checked by Sphinx, in `make docs`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^()\s]+)\)")
FENCE = re.compile(r"^\s*```.*?^\s*```", re.M | re.S)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(path: Path) -> list[str]:
    """The links of a file that lead nowhere."""
    faults = []
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _hash, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            faults.append(link)
    return faults


def test_a_link_is_followed_to_file_and_heading(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One, `two`\n[a](#one-two) [b](b.md) [c](a.md#three) [d](https://example.org)\n")
    assert broken(tmp_path / "a.md") == ["b.md", "a.md#three"]


PLACES = ("*.md", "*/README.md", ".github/*.md", "roles/*/README.md", "model/*/README.md")
FILES = sorted(path for place in PLACES for path in ROOT.glob(place))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_leads_nowhere(path: Path) -> None:
    assert broken(path) == []
