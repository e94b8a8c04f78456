# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the dashboards into the role that ships them: python -m dashboards."""

from __future__ import annotations

from pathlib import Path

from dashboards import grafana, perses
from dashboards.fleet import FLEET
from dashboards.one_model import MODEL
from dashboards.platform import PLATFORM

ROLE = Path(__file__).resolve().parents[1] / "roles" / "dashboards" / "files"
DASHBOARDS = (FLEET, MODEL, PLATFORM)
WRITERS = {"grafana": grafana.dump, "perses": perses.dump}


def files() -> dict[Path, str]:
    """The path and the content of every file."""
    return {
        ROLE / program / f"{dashboard.uid}.json": dump(dashboard)
        for program, dump in WRITERS.items()
        for dashboard in DASHBOARDS
    }


def main() -> None:
    """Write what differs, and delete what no dashboard has."""
    wanted = files()
    for path in ROLE.rglob("*.json"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
