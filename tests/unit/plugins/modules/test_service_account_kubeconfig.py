# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client
from ansible_collections.hashfoundry.kserve.plugins.modules import service_account_kubeconfig

from ..module_utils._kube.test_kubeconfig import Api

ARGUMENTS = {"name": "deployer", "namespace": "system", "api_key": "PLANTED-API-KEY"}


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    cluster = Api()
    cluster.configuration = SimpleNamespace(host="https://cluster.example.com", ssl_ca_cert=None)
    monkeypatch.setattr(client, "session", lambda _options: nullcontext(cluster))
    return cluster


def test_the_options_are_passed_on(run_module, api: Api, tmp_path: Path) -> None:
    path = tmp_path / "deployer"
    given = {**ARGUMENTS, "path": str(path), "duration": 900, "renew_before": 60}
    result = run_module(service_account_kubeconfig.main, given)
    assert (result["changed"], result["reason"], result["path"]) == (True, "absent", str(path))
    assert api.requests[0]["spec"] == {"expirationSeconds": 900}
    assert path.exists()
    assert "PLANTED" not in json.dumps(result)


def test_a_capped_lifetime_is_a_warning_and_no_change(
    run_module, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If Ansible's controller code is imported, too, a warning is printed and not in the result.
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
    api.longest, api.now = 3600, datetime.now(UTC)
    given = {**ARGUMENTS, "path": str(tmp_path / "deployer")}
    changed = [run_module(service_account_kubeconfig.main, given)["changed"] for _run in range(3)]
    assert changed == [True, False, False]
    assert len(warnings) == 3 and "Set duration to at most 3600." in warnings[0]


def test_errors_are_reported(run_module, api: Api, tmp_path: Path) -> None:
    api.uid = ""
    result = run_module(service_account_kubeconfig.main, {**ARGUMENTS, "path": str(tmp_path / "x")})
    assert (result["failed"], result["reason"]) == (True, "ServiceAccountNotFound")
