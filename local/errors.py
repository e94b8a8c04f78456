# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on a machine, told to a person."""

from __future__ import annotations


class LocalError(Exception):
    """One sentence of what is wrong and what to change; printed without a traceback."""
