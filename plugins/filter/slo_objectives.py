# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter slo_objectives: the objectives of models as the constants of Prometheus' rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._slo import merged, rule_constants


def slo_objectives(
    models: Collection[Mapping[str, Any]], default: Mapping[str, Any], at_gateway: Collection[str] = ()
) -> list[dict[str, str]]:
    """Return the objectives of all models.

    models: checked entries, each with name and perhaps slo; default: the objectives of a model that sets none;
    at_gateway: the names of those that are measured at the gateway; the others are measured at their servers.
    """
    found = []
    for model in models:
        name = model["name"]
        try:
            slo = merged(model.get("slo") or {}, default)
        except KServeError as error:
            raise AnsibleFilterError(f"Model {name}: with the default objectives, {error} ({error.reason}).") from None
        source = "gateway" if name in at_gateway else "server"
        found += [{"model": name, **constant} for constant in rule_constants(slo, source)]
    return found


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"slo_objectives": slo_objectives}
