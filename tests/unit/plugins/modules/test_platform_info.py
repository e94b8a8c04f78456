# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import Unreachable
from ansible_collections.hashfoundry.kserve.plugins.modules import platform_info

from ..module_utils.platform_fixtures import kserve


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_cluster_and_its_components_are_told(run_module, monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
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
