# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.filter.upgrade_plan import FilterModule

upgrade_plan = FilterModule().filters()["upgrade_plan"]


def found(**versions: str | None) -> dict[str, object]:
    return {"components": {name: {"installed": bool(one), "version": one} for name, one in versions.items()}}


def test_only_managed_and_present_components_are_compared() -> None:
    components = {
        "kserve": {"state": "managed", "version": "v0.20.0"},
        "istio": {"state": "existing", "version": "1.28.6"},
        "contour": {"state": "managed", "version": "v1.33.8"},
    }
    assert upgrade_plan(found(kserve="v0.19.0", istio="1.20.0", contour=None), components) == {
        "steps": [{"component": "kserve", "from": "v0.19.0", "to": "v0.20.0"}],
        "rejected": [],
    }


def test_a_rejected_upgrade_is_one_sentence() -> None:
    plan = upgrade_plan(found(kserve="v0.17.0"), {"kserve": {"state": "managed", "version": "v0.20.0"}})
    assert plan["rejected"][0].endswith("upgrade to v0.18, v0.19 first")


def test_an_invalid_version_is_an_error_of_the_filter() -> None:
    with pytest.raises(AnsibleFilterError, match="is not one such as"):
        upgrade_plan(found(kserve="main"), {"kserve": {"state": "managed", "version": "v0.20.0"}})
