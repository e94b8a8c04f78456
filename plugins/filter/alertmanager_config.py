# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter alertmanager_config: Alertmanager's configuration, with secrets as files of Secrets, and which Secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _alertmanager


def alertmanager_config(
    receivers: Sequence[Mapping[str, Any]], route: Mapping[str, Any], inhibit_rules: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return config and secrets, the names of the Secrets that Alertmanager mounts."""
    try:
        config = _alertmanager.Config.of(receivers, route, inhibit_rules)
    except KServeError as error:
        raise AnsibleFilterError(f"{error} ({error.reason})") from None
    return {"config": config.content, "secrets": list(config.secrets)}


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alertmanager_config": alertmanager_config}
