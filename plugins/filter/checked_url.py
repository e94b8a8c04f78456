# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checked_url: a URL without credentials, or an error that does not show it."""

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import reject_credentials


def checked_url(url: str | None, option: str, cure: str = "set the role's options for credentials") -> str:
    """Return the URL, or an empty string for none; fail if it contains credentials.

    option: its name, for the message; cure: what to do beside removing them, for the message.
    """
    try:
        reject_credentials(option, url or "", cure)
    except KServeError as error:
        raise AnsibleFilterError(str(error)) from None
    return url or ""


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"checked_url": checked_url}
