# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError

from ansible_collections.hashfoundry.kserve.plugins.lookup.proxy_environment import LookupModule
from tests.unit.ansible_run import environment, run_play

from ..module_utils._kube.test_proxy import kubeconfig
from ..module_utils.scripted_server import Connection, Server

NODES = {"name": "nodes", "singularName": "", "namespaced": False, "kind": "Node", "verbs": ["get", "list"]}
ANSWERS = {
    "/version": {"gitVersion": "v1.35.4", "major": "1", "minor": "35"},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [NODES]},
    "/api/v1/nodes": {"kind": "NodeList", "apiVersion": "v1", "items": [{"metadata": {"name": "through"}}]},
}


def api_server(connection: Connection, _number: int) -> None:
    while (received := connection.request()) is not None:
        path = received[0].split()[1].removeprefix("http://api.example.com").partition("?")[0]
        connection.answer(json.dumps(ANSWERS.get(path, {})).encode(), "200 OK", "Content-Type: application/json")


def look(*terms: str) -> dict[str, str]:
    (found,) = LookupModule().run([*terms])
    return found


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("K8S_AUTH_")]:
        monkeypatch.delenv(name)


def test_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = str(kubeconfig(tmp_path / "config", "https://api.example.com"))
    assert look(config) == look(str(tmp_path / "absent")) == {}
    monkeypatch.setenv("HTTPS_PROXY", "http://me:p%40ss@proxy:1")
    assert look(config) == {
        "K8S_AUTH_PROXY": "http://proxy:1",
        "K8S_AUTH_NO_PROXY": "",
        "K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH": "me:p@ss",
    }
    monkeypatch.setenv("NO_PROXY", "*.example.com")
    assert look(config) == {"K8S_AUTH_PROXY": "", "K8S_AUTH_NO_PROXY": ""}
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy:1")
    with pytest.raises(AnsibleLookupError, match="not one that is spoken to by HTTP"):
        look(config)


def test_without_a_proxy_the_kubernetes_client_is_not_imported(tmp_path: Path) -> None:
    config = str(kubeconfig(tmp_path / "config", "https://api.example.com"))
    code = (
        "import sys; from ansible_collections.hashfoundry.kserve.plugins.lookup.proxy_environment import LookupModule; "
        f"print(LookupModule().run([{config!r}]), 'kubernetes' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env={"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, check=True)
    assert result.stdout.decode().strip() == "[{}] False"


@pytest.mark.parametrize("by_proxy_url", [False, True])
def test_tasks_of_kubernetes_core_follow_the_rule(tmp_path: Path, by_proxy_url: bool) -> None:
    with Server(api_server) as server:
        here = f"http://127.0.0.1:{server.port}"
        if by_proxy_url:
            config = kubeconfig(tmp_path / "config", "http://api.example.com", **{"proxy-url": here})
            env = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"}
        else:
            config = kubeconfig(tmp_path / "config", here)
            env = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.0/8"}
        tasks = [
            {"kubernetes.core.k8s_info": {"kind": "Node"}, "register": "found"},
            {"ansible.builtin.assert": {"that": "found.resources[0].metadata.name == 'through'"}},
        ]
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "roles": ["hashfoundry.kserve.platform"],
            "tasks": [{"environment": "{{ platform_environment }}", "block": tasks}],
            "vars": {"platform_kubeconfig": str(config), "platform_domain": "models.example.com"},
        }
        run_play(tmp_path, play, env=environment("K8S_", HOME=str(tmp_path), **env))
