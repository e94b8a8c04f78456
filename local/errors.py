# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that are reported to the user."""

from __future__ import annotations

DISK_FULL = "the disk is full: free disk space, or set HASHFOUNDRY_CACHE to a folder on another disk."


class LocalError(Exception):
    """One sentence that says what is wrong and what to change; printed without a traceback."""
