# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which versions of Python the collection is tested on: meta/tested_platforms.yml, as a sentence.

Of other versions of ansible-core, Ansible itself warns, by requires_ansible in meta/runtime.yml. This file is private
to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible.module_utils.common.yaml import yaml_load

FILE = Path(__file__).resolve().parents[2] / "meta" / "tested_platforms.yml"


def untested_python(python: tuple[int, int], rows: Sequence[Mapping[str, str]] | None = None) -> str:
    """Say that this version of Python is older or newer than the tested ones, or nothing.

    :param python: its major and minor version.
    :param rows: the table; None for the collection's.
    """
    table = yaml_load(FILE.read_text(encoding="utf-8")) if rows is None else rows
    tested = sorted(tuple(map(int, row["python"].split("."))) for row in table)
    if tested[0] <= python <= tested[-1]:
        return ""
    oldest, newest = (".".join(map(str, version)) for version in (tested[0], tested[-1]))
    return (
        f"Ansible runs with Python {python[0]}.{python[1]} here, and hashfoundry.kserve is tested with {oldest} to "
        f"{newest}: run Ansible with one of those if something does not work."
    )
