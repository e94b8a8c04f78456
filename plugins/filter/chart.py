# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter chart: how Helm names a chart that is in a repository, in a registry or in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable


def chart(name: str, source: str, version: str) -> dict[str, str]:
    """Return ref, repository and version of the chart; a folder has only the version that is in it."""
    in_repository = re.match(r"https?://", source)
    return {
        "ref": name if in_repository else f"{source}/{name}",
        "repository": source if in_repository else "",
        "version": version if re.match(r"[a-z]+://", source) else "",
    }


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        return {"chart": chart}
