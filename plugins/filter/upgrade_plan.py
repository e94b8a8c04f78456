# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter upgrade_plan: which components would be upgraded, and which of them cannot be in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _upgrade_paths


def upgrade_plan(platform: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Compare what platform_info found with what the inventory wants.

    components: by name, state and version of those that are used; only what is managed is upgraded.
    """
    installed = {name: str(found["version"]) for name, found in platform["components"].items() if found.get("version")}
    wanted = {name: str(one["version"]) for name, one in components.items() if one["state"] == "managed"}
    try:
        plan = _upgrade_paths.plan(_upgrade_paths.load(), installed, wanted)
    except KServeError as error:
        raise AnsibleFilterError(str(error)) from None
    return {"steps": list(plan.steps), "rejected": list(plan.rejected)}


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"upgrade_plan": upgrade_plan}
