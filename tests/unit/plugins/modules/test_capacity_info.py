# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.modules import capacity_info

JOB = {
    "kind": "Job",
    "metadata": {"name": "load", "namespace": "models"},
    "spec": {"template": {"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]}}},
}


class Api:
    """A cluster with one node and nothing else."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        if self._failure:
            raise self._failure
        if path != "/api/v1/nodes":
            raise ApiError("not found", 404)
        status = {"allocatable": {"cpu": "1", "pods": "9"}, "conditions": [{"type": "Ready", "status": "True"}]}
        return {"items": [{"metadata": {"name": "a"}, "status": status}]}


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_does_not_fit_is_no_failure_of_the_module(run_module, serve, check_mode: bool) -> None:
    serve(Api())
    arguments = {"definitions": [JOB, {}], "api_key": "PLANTED-KEY"}
    result = run_module(capacity_info.main, arguments, check_mode=check_mode)
    assert (result["changed"], result["pods"], result["loads_at_once"], result["unchecked"]) == (False, 1, 1, [])
    assert result["msg"] == result["faults"][0]
    assert result["msg"].startswith(
        "no node has room for the pod: it requests 2 cpu, and all nodes together have 1 cpu left"
    )


def test_an_unreachable_cluster_fails_with_one_sentence(run_module, serve) -> None:
    serve(Api(Unreachable("The API server cannot be reached.")))
    failed = run_module(capacity_info.main, {"definitions": [JOB]})
    assert (failed["failed"], failed["msg"]) == (True, "The API server cannot be reached.")
