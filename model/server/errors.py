# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the model server."""

from __future__ import annotations

from typing import Literal, get_args

# Why the input of a request is rejected: the values of a label of the metrics, each described in model/README.md.
Reason = Literal[
    "BodyTooLarge",
    "InvalidCloudEvent",
    "InvalidGzip",
    "InvalidJSON",
    "InvalidRequest",
    "InvalidRows",
    "InvalidValue",
    "RejectedByModel",
    "UnknownOutput",
    "UnsupportedEncoding",
]
REASONS: tuple[Reason, ...] = get_args(Reason)


class StartError(Exception):
    """The server cannot start; the message is one sentence that says what to change."""


class NotFinite(ValueError):
    """The model has predicted a number that JSON cannot express (HTTP 500); the message is one sentence."""


class BadRequest(ValueError):
    """The request is invalid (HTTP 400); the message is one sentence for the client."""

    def __init__(self, message: str, reason: Reason = "InvalidRequest") -> None:
        super().__init__(message)
        self.reason = reason
