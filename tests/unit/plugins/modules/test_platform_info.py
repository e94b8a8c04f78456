# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import Unreachable
from ansible_collections.hashfoundry.kserve.plugins.modules import platform_info

from ..module_utils.platform_fixtures import kserve


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_cluster_and_its_components_are_returned(
    run_module, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    monkeypatch.setattr(apply_client, "session", lambda _options: nullcontext(kserve()))
    arguments = {"components": ["kserve"], "verify": True, "api_key": "PLANTED-KEY"}
    result = run_module(platform_info.main, arguments, check_mode=check_mode)
    assert result["changed"] is False and result["cluster"]["version"] == "v1.35.4"
    assert result["components"]["kserve"]["version"] == "v0.20.0"
    assert "PLANTED" not in json.dumps(result)
    assert run_module(platform_info.main, {})["components"] == {}


def test_a_cluster_that_does_not_answer(run_module, monkeypatch: pytest.MonkeyPatch) -> None:
    def session(_options: object) -> None:
        raise Unreachable("The cluster's API server cannot be reached.")

    monkeypatch.setattr(apply_client, "session", session)
    assert run_module(platform_info.main, {})["reason"] == "APIServerUnreachable"
    assert run_module(platform_info.main, {"components": ["x"]})["reason"] == "InvalidOption"


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_network_that_does_not_enforce_policies_is_a_warning(
    run_module, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    api = kserve()
    monkeypatch.setattr(apply_client, "session", lambda _options: nullcontext(api))
    failed = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}
    api.jobs["/apis/batch/v1/namespaces/kserve/jobs/probe"] = {"status": {"conditions": [failed]}}
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
    result = run_module(platform_info.main, {"policy_probe": "kserve/probe"}, check_mode=check_mode)
    assert result["network_policies"] == "not_enforced" and result["changed"] is False
    assert len(warnings) == 1 and "(NetworkPoliciesNotEnforced)" in warnings[0]
    quiet = {"policy_probe": "kserve/probe", "policy_probe_warn": False}
    assert run_module(platform_info.main, quiet)["network_policies"] == "not_enforced" and len(warnings) == 1
    assert run_module(platform_info.main, {"policy_probe": "kserve/other"})["network_policies"] is None
    assert run_module(platform_info.main, {})["network_policies"] is None
