# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role compares the models with the room of the cluster before it sends anything.

It asks an API server over HTTP that has few objects and refuses what is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import environment, exit_code_and_output

from .conftest import Serve
from .http_cluster import write_kubeconfig

SPACE = "ml-models"
NODE = {
    "metadata": {"name": "a"},
    "spec": {},
    "status": {
        "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
OBJECTS: dict[str, Any] = {
    "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.4"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/api/v1/nodes": {"items": [NODE]},
    "/api/v1/pods": {"items": []},
    f"/api/v1/namespaces/{SPACE}/resourcequotas": {"items": []},
    f"/api/v1/namespaces/{SPACE}/limitranges": {"items": []},
}
MODEL = {
    "name": "iris",
    "version": "v1",
    "format": "sklearn",
    "runtime": "sklearnserver",
    "storage": "oci",
    "image": "x/y:1",
    "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "1Gi"}},
    "scaling": {"min_replicas": 3},
}


@pytest.mark.parametrize("capacity", ["fail", "warn", "ignore"])
def test_models_without_room(tmp_path: Path, serve: Serve, capacity: str) -> None:
    methods = set()

    def answer(method: str, path: str) -> tuple[int, Any]:
        methods.add(method)
        refusal = {"kind": "Status", "apiVersion": "v1", "code": 404, "message": "not found"}
        return (200, OBJECTS[path]) if path in OBJECTS else (404, refusal)

    variables = {
        "platform_kubeconfig": str(write_kubeconfig(tmp_path / "kubeconfig", serve(answer))),
        "platform_bucket": "models",
        "platform_capacity": capacity,
        "models": [MODEL],
        "model_namespace_quota": {"requests.cpu": "4"},
    }
    role = {"name": "hashfoundry.kserve.model_serving", "tasks_from": "capacity.yml"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": variables,
        "tasks": [{"ansible.builtin.include_role": role}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    env = environment("K8S_", "HASHFOUNDRY_", "HTTP_PROXY", "http_proxy", XDG_CACHE_HOME=str(tmp_path / "cache"))
    code, output = exit_code_and_output("ansible-playbook", "play.yml", folder=tmp_path, env=env)
    text = " ".join(output.split())
    sentence = (
        "There is no room for the models on localhost: ResourceQuota ml-models/models is too small for "
        "requests.cpu: 4.5 needed, 4 left; no node has room for 2 of 3 pods: the 3 pods request 4.5 cpu and 3Gi "
        "memory, and all nodes together have 2 cpu and 4Gi memory left."
    )
    assert code == (2 if capacity == "fail" else 0), output
    assert (sentence in text) == (capacity != "ignore"), text
    assert methods == (set() if capacity == "ignore" else {"GET"})
