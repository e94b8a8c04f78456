# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the batch program."""

from __future__ import annotations


class BatchError(Exception):
    """The run cannot end well however often it is tried; the text is one sentence that says what to change."""
