# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys, tokens and passwords that cannot be meant, since white space came with them from a file or a terminal.

They are sent as they are, and the server's refusal names another cause. No sentence here contains one. This file is
private to the collection and may change at any time.
"""

from __future__ import annotations

from typing import Any

from .errors import KServeError


def key_fault(name: str, value: Any) -> str | None:
    """Return why a key or a token cannot be one, with the name of its option only, or None."""
    if not isinstance(value, str) or not value:
        return None
    if any(letter.isspace() for letter in value):
        place = "at an end" if not any(letter.isspace() for letter in value.strip()) else "in it"
        return f"{name} has white space or a line end {place}; remove it where the value comes from"
    if not (value.isascii() and value.isprintable()):
        return f"{name} has a character that no key has, such as an invisible one; copy it again"
    return None


def password_fault(name: str, value: Any) -> str | None:
    """Return why a user, a password or both cannot be meant, or None; they may have spaces between other characters."""
    if not isinstance(value, str) or not value:
        return None
    if value != value.strip():
        return f"{name} has white space or a line end at an end; remove it where the value comes from"
    if not value.isprintable():
        return f"{name} has a line end or an invisible character in it; remove it where the value comes from"
    return None


def reject_faults(*faults: str | None) -> None:
    """Fail with the first fault.

    :raises KServeError: there is one.
    """
    if fault := next(filter(None, faults), None):
        raise KServeError(f"{fault}.", reason="InvalidOption")
