# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter version_faults: whether anybody has tested the versions that a cluster has and will have together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _tested_platforms, _version_sets


def version_faults(
    platform: Mapping[str, Any],
    components: Mapping[str, Mapping[str, Any]],
    version_set: str | None = None,
    file: str | None = None,
) -> dict[str, list[str]]:
    """Judge what platform_info found.

    components: by name, state and version of those that are used; managed comes in the version that is given, existing
    is as it was found, and absent does not count.
    version_set: the name of the chosen set; None for the default.
    file: of version sets of one's own; None for the collection's.
    """
    # Ansible shows a warning once in a run, however many clusters it is about.
    if warning := _tested_platforms.untested_python(sys.version_info[:2]):
        Display().warning(warning)
    versions, unknown = {}, []
    for name, planned in components.items():
        found = platform["components"].get(name) or {}
        if planned["state"] == "absent":
            continue
        version = planned["version"] if planned["state"] == "managed" else found.get("version")
        if version:
            versions[name] = str(version)
        elif planned["state"] == "managed":
            unknown.append(f"{_version_sets.TITLES[name]}, of which the version set has no version")
        elif found.get("installed"):
            unknown.append(f"{_version_sets.TITLES[name]}, of which nothing says the version")
    try:
        faults = _version_sets.load(file or None).faults(version_set, platform["cluster"]["version"], versions)
    except KServeError as error:
        raise AnsibleFilterError(str(error)) from None
    return {"too_old": list(faults.too_old), "untested": [*faults.untested, *unknown]}


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"version_faults": version_faults}
