# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ansible_collections.hashfoundry.kserve.plugins.filter.version_faults import FilterModule, version_faults

KSERVE = {"state": "managed", "version": "v0.20.0"}


def platform(kubernetes: str = "v1.35.4", **versions: str | None) -> dict[str, Any]:
    components = {name: {"installed": True, "version": version} for name, version in versions.items()}
    return {"cluster": {"version": kubernetes}, "components": components}


@pytest.mark.parametrize(
    ("found", "components", "untested"),
    [
        (platform(), {"kserve": KSERVE}, []),
        # The present version counts if the component is existing, and the role's version if it is managed.
        (platform(knative_serving="v1.18.0"), {"kserve": KSERVE, "knative_serving": {"state": "existing"}}, 1),
        (
            platform(knative_serving="v1.18.0"),
            {"kserve": KSERVE, "knative_serving": {"state": "managed", "version": "v1.21.1"}},
            [],
        ),
        (
            platform(knative_serving="v1.18.0"),
            {"kserve": KSERVE, "knative_serving": {"state": "absent", "version": "v1.18.0"}},
            [],
        ),
        # A missing component is reported by its role.
        (platform(), {"kserve": KSERVE, "knative_serving": {"state": "existing"}}, []),
    ],
)
def test_present_and_planned_versions(found: dict[str, Any], components: dict[str, Any], untested: Any) -> None:
    faults = version_faults(found, components)
    wanted = ["KServe v0.20.0 with Knative Serving v1.18.0"] if untested else []
    assert faults == {"too_old": [], "untested": wanted}


def test_an_unknown_version_an_old_cluster_and_an_unknown_set() -> None:
    there = {"kserve": KSERVE, "cert_manager": {"state": "existing"}}
    faults = version_faults(platform(cert_manager=None), there)
    assert faults["untested"] == ["cert-manager, of which nothing says the version"]
    faults = version_faults(platform(), {"kserve": KSERVE, "istio": {"state": "managed", "version": ""}})
    assert faults["untested"] == ["Istio, of which the version set has no version"]
    assert "too old for the version set kserve-0.20" in version_faults(platform("v1.30.1"), {})["too_old"][0]
    with pytest.raises(AnsibleFilterError, match="no version set other"):
        version_faults(platform(), {}, "other")
    assert FilterModule().filters() == {"version_faults": version_faults}


@pytest.mark.parametrize(("python", "warnings"), [((3, 11), 0), ((3, 99), 1)])
def test_it_warns_of_an_untested_python_and_continues(
    monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], warnings: int
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _display, text: shown.append(text))
    monkeypatch.setattr(sys, "version_info", (*python, 0))
    assert version_faults(platform(), {"kserve": KSERVE})["untested"] == []
    assert len(shown) == warnings
