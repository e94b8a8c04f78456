# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What YAML makes of words and digits without quotes, where a string is needed.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from datetime import date
from typing import Any

# YAML 1.1, which Ansible, Helm and kubectl read; each also capitalized.
WORDS = frozenset(("y", "yes", "on", "true", "n", "no", "off", "false", "null"))


def unquoted(value: Any) -> str | None:
    """Return what a value is that lacks its quotes, and what to do, or None if it is a string or no scalar."""
    if isinstance(value, bool):
        words = "yes, on and true" if value else "no, off and false"
        return f"the boolean {str(value).lower()}, which YAML reads from {words}; put it between quotes"
    if isinstance(value, (int, float)):
        # 0123 is 83, and 1.10 is 1.1.
        return f"the number {value}; put it between quotes, so that it stays as it is written"
    if isinstance(value, date):
        return f"the date {value.isoformat()}; put it between quotes"
    return None
