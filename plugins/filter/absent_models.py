# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter absent_models: the names of the models in a list that are to be deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._model_list import absent_names


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"absent_models": absent_names}
