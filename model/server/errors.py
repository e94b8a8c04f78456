# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the serving program."""

from __future__ import annotations

from kserve.errors import InvalidInput


class StartError(Exception):
    """The server cannot start; the text is one sentence that says what to change."""


class BadRequest(InvalidInput):
    """The request is wrong: HTTP 400; the text is one sentence for the caller.

    A class of its own, so that it is logged in one line: kserve logs its InvalidInput with a
    traceback, and whoever sends bad requests would fill the log.
    """
