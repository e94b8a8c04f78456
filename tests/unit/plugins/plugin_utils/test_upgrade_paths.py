# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _upgrade_paths, _version_sets

RULES = _upgrade_paths.load()


def rejected(component: str, source: str, target: str) -> str:
    plan = _upgrade_paths.plan(RULES, {component: source}, {component: target})
    assert plan.steps == ({"component": component, "from": source, "to": target},)
    assert len(plan.rejected) <= 1
    return "".join(plan.rejected)


@pytest.mark.parametrize(
    ("component", "source", "target"),
    [
        ("kserve", "v0.19.0", "v0.20.0"),
        ("kserve", "v0.20.0", "v0.20.1"),
        ("knative_serving", "v1.20.2", "v1.21.1"),
        ("istio", "1.27.9", "1.28.6"),
        ("contour", "v1.33.7", "v1.33.8"),
        ("envoy", "v1.30.0", "v1.38.3"),  # no rule, so no limit
    ],
)
def test_one_step_is_no_fault(component: str, source: str, target: str) -> None:
    assert rejected(component, source, target) == ""


@pytest.mark.parametrize(
    ("component", "source", "target", "message"),
    [
        (
            "knative_serving",
            "v1.18.0",
            "v1.21.1",
            "Knative Serving is upgraded one minor version at a time, and v1.18.0 to v1.21.1 is more: "
            "upgrade to v1.19, v1.20 first",
        ),
        (
            "cert_manager",
            "v1.13.0",
            "v1.15.2",
            "cert-manager is upgraded one minor version at a time, and v1.13.0 to v1.15.2 is more: upgrade to v1.14 "
            "first",
        ),
        ("istio", "1.26.0", "1.28.6", "upgrade to 1.27 first"),
        (
            "kserve",
            "v0.20.0",
            "v0.19.0",
            "KServe v0.20.0 is newer than v0.19.0, and a downgrade is not supported: set its version",
        ),
        ("contour", "v1.33.8", "v1.33.7", "Contour v1.33.8 is newer than v1.33.7"),
        ("envoy", "v1.38.9", "v1.38.3", "Envoy v1.38.9 is newer"),
        ("knative_serving", "v1.21.1", "v2.0.0", "since a major version lies between"),
    ],
)
def test_skipped_versions_and_downgrades_are_rejected_with_the_upgrade_path(
    component: str, source: str, target: str, message: str
) -> None:
    assert message in rejected(component, source, target)


def test_a_step_that_needs_a_manual_action_is_rejected_with_that_action() -> None:
    output = rejected("kserve", "v0.16.0", "v0.17.0")
    assert output.startswith("KServe cannot be upgraded from v0.16.0 to v0.17.0 by applying it: from v0.16 to v0.17 ")
    assert "helm.sh/resource-policy=keep" in output


def test_a_long_upgrade_path_with_such_a_step_names_both() -> None:
    output = rejected("kserve", "v0.15.2", "v0.20.0")
    assert "upgrade to v0.16, v0.17, v0.18, v0.19 first; from v0.16 to v0.17 its charts" in output
    # It is not reported if the upgrade path starts after it.
    assert "v0.16" not in rejected("kserve", "v0.17.0", "v0.20.0")


def test_an_absent_or_unchanged_component_needs_no_step() -> None:
    wanted = {"kserve": "v0.20.0", "contour": "v1.33.8"}
    assert _upgrade_paths.plan(RULES, {}, wanted) == _upgrade_paths.Plan((), ())
    assert _upgrade_paths.plan(RULES, {"kserve": "0.20.0", "istio": "1.1.0"}, wanted) == _upgrade_paths.Plan((), ())


def test_an_invalid_version_is_reported() -> None:
    with pytest.raises(KServeError, match="'latest' of KServe is not one such as"):
        _upgrade_paths.plan(RULES, {"kserve": "latest"}, {"kserve": "v0.20.0"})


def test_the_rules_are_for_known_components() -> None:
    assert RULES.keys() <= _version_sets.TITLES.keys()
    assert all(rule.minors == 1 for rule in RULES.values())
