# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the serving program."""

from __future__ import annotations


class StartError(Exception):
    """The server cannot start; the text is one sentence that says what to change."""


class BadRequest(ValueError):
    """The request is wrong: HTTP 400; the text is one sentence for the caller."""
