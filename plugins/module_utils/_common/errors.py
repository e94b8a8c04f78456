# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one family of errors that the collection's modules turn into a failed task.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from typing import Any


class KServeError(Exception):
    """What went wrong and what to change, in one sentence for people.

    The result holds further keys for the module's output, such as a verdict. Its reason is for programs: a code in one
    word, which stays the same when the sentence changes.
    """

    REASON = "Failed"
    """The reason of an error of this class that gives none of its own."""

    def __init__(self, message: str, /, **result: Any) -> None:
        super().__init__(message)
        self.result = {"reason": self.REASON, **result}

    @property
    def reason(self) -> str:
        """The reason code."""
        return str(self.result["reason"])
