# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of batch predictions."""

from __future__ import annotations


class BatchError(Exception):
    """An error that a retry does not fix; the message is one sentence that says what to change."""
