# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter redacted: a text without what looks like a secret, for logs of containers in messages."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact


def redacted(text: str | None) -> str:
    """Return the text with what looks like a secret masked."""
    return redact(str(text or ""))


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"redacted": redacted}
