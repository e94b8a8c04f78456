# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checked_models: the list of models with its defaults, or a sentence for each fault in it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._model_list import checked


def checked_models(
    models: Any, volumes: Collection[str] | None = None, deployment_mode: str = "Standard", domain: str = ""
) -> list[dict[str, Any]]:
    """Return the models with defaults and right types.

    models: the list as the inventory has it; volumes, domain: where they are known.
    """
    complete, faults = checked(models, volumes, deployment_mode, domain or "")
    if faults:
        raise AnsibleFilterError("\n".join(faults))
    return complete


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"checked_models": checked_models}
