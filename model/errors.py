# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of training that are reported to the user."""


class ModelError(Exception):
    """A model cannot be trained or written; the text is one sentence that says what to change."""
