# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on a machine, told to a person."""

from __future__ import annotations

DISK_FULL = "the disk is full: free some room, or set HASHFOUNDRY_CACHE to a folder on another disk."


class LocalError(Exception):
    """One sentence of what is wrong and what to change; printed without a traceback."""
