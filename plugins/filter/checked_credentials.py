# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checked_credentials: credentials of an object store as they are, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.credentials import store_faults


def checked_credentials(credentials: Mapping[str, Any], option: str) -> Mapping[str, Any]:
    """Return the credentials. option: the variable that holds them, for messages."""
    # What the environment has is no concern of theirs.
    if fault := next(store_faults(credentials, {}), None):
        raise AnsibleFilterError(f"{option}: {fault}.")
    return credentials


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"checked_credentials": checked_credentials}
