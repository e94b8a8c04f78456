# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the role namespace_security tests the network, and that whatever prevents the test does not fail addons.yml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from tests.unit.ansible_run import environment, exit_code_and_output
from tests.unit.plugins.module_utils.manifests_server import thing

from .http_cluster import Cluster, cluster

ENFORCED = {"type": "Complete", "status": "True"}
OPEN = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}
LATE = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
QUOTA = ApiError("403", 403, 'jobs.batch "x" is forbidden: exceeded quota: no-jobs')


class Network(Cluster):
    """A cluster whose Jobs end at once; result: how; created: their names."""

    def __init__(self, folder: Path, result: dict[str, Any]) -> None:
        super().__init__(folder)
        self.result = result
        self.created: list[str] = []
        self.namespaces.add("kserve")
        space = thing("Namespace", "kube-system", None)
        space["metadata"]["uid"] = "uid"
        self.objects[self.path(space)] = space

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        is_new = path not in self.objects
        found = super().apply(path, body, **query)
        if body["kind"] == "Job" and is_new:
            self.created.append(path.rpartition("-")[2])
            self.objects[path]["status"] = {"conditions": [self.result]}
        return found


def addons(folder: Path, api: Cluster, *words: str, **more: Any) -> str:
    """Include enforcement.yml as addons.yml does, and return the output in one line."""
    include = {"name": "hashfoundry.kserve.namespace_security", "tasks_from": "enforcement.yml"}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.include_role": include}]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    variables = {
        "platform_kubeconfig": str(api.kubeconfig),
        "namespace_security_namespaces": [{"name": "kserve", "part": "kserve"}],
        **more,
    }
    arguments = ("play.yml", *words, "-e", json.dumps(variables))
    env = environment("K8S_", "KUBECONFIG", "HASHFOUNDRY_")
    code, output = exit_code_and_output("ansible-playbook", *arguments, folder=folder, env=env)
    said = " ".join(output.split())
    assert code == 0 and " changed=0 " in said and " failed=0 " in said, output
    return said


def test_a_network_that_enforces_policies_is_tested_once(tmp_path: Path) -> None:
    with cluster(tmp_path, api := Network(tmp_path, ENFORCED)):
        assert "(NetworkPolicies" not in addons(tmp_path, api, "--check")
        assert api.created == []
        for _run in range(2):
            assert "(NetworkPolicies" not in addons(tmp_path, api)
            assert sorted(api.created) == ["client", "server"]


@pytest.mark.parametrize(
    ("result", "reason"), [(OPEN, "NetworkPoliciesNotEnforced"), (LATE, "NetworkPoliciesNotTested")]
)
def test_a_network_that_did_not_pass_is_tested_in_each_run(tmp_path: Path, result: dict[str, Any], reason: str) -> None:
    with cluster(tmp_path, api := Network(tmp_path, result)):
        assert addons(tmp_path, api).count(f"({reason})") == 1
        assert addons(tmp_path, api, "--check").count(f"({reason})") == 1
        assert sorted(api.created) == ["client", "server"]
        api.result = ENFORCED
        assert "(NetworkPolicies" not in addons(tmp_path, api)
        assert sorted(api.created) == ["client", "client", "server", "server"]


@pytest.mark.parametrize("what", ["create", "read"])
def test_a_test_that_the_api_server_refuses_is_reported_and_fails_nothing(tmp_path: Path, what: str) -> None:
    with cluster(tmp_path, api := Network(tmp_path, ENFORCED)):
        if what == "create":
            api.errors["-client"] = [QUOTA] * 9
        else:
            addons(tmp_path, api)
            [job] = [path for path in api.objects if path.endswith("-client")]
            api.read_errors[job] = ApiError("403", 403, 'jobs.batch "x" is forbidden: User "u" cannot get resource')
        said = addons(tmp_path, api)
    assert said.count("(NetworkPoliciesNotTested)") == 1
    assert ("exceeded quota: no-jobs" if what == "create" else "cannot get resource") in said
    assert "fatal:" not in said and "ERROR" not in said


def test_a_network_that_is_not_tested_is_reported(tmp_path: Path) -> None:
    with cluster(tmp_path, api := Network(tmp_path, ENFORCED)):
        off = addons(tmp_path, api, namespace_security_probe=False)
        other = addons(tmp_path, api, namespace_security_namespaces=[{"name": "models", "part": "models"}])
        absent = addons(tmp_path, api, namespace_security_state="absent")
    assert "namespace_security_probe is false. (NetworkPoliciesNotTested)" in off
    assert "secures. (NetworkPoliciesNotTested)" in other
    assert "(NetworkPolicies" not in absent and api.created == []
