# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many clusters in parallel and one after another, each with its kubeconfig that embeds a client certificate."""

from __future__ import annotations

import base64
import json
import resource
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import environment, run_play

from ..module_utils.scripted_server import Authority, Server, tunnel

CLUSTERS = ("amsterdam", "frankfurt", "new-york", "toronto")


class Cluster:
    """An API server with mutual TLS, for clients with a certificate of its CA; name: its uid."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.requests = 0
        folder.mkdir()
        self._authority = Authority(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self._authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self._authority.sign("localhost"))
        self._user = Path(self._authority.sign("user")).read_bytes()
        self._http = ThreadingHTTPServer(("localhost", 0), _handler(self))
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig with embedded certificates."""
        user = base64.b64encode(self._user).decode()
        authority = base64.b64encode(Path(self._authority.path).read_bytes()).decode()
        server = {"server": f"https://localhost:{self._http.server_port}", "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "admin@k8s",
            "contexts": [{"name": "admin@k8s", "context": {"cluster": "kubernetes", "user": "administrator"}}],
            "clusters": [{"name": "kubernetes", "cluster": server}],
            "users": [{"name": "administrator", "user": {"client-certificate-data": user, "client-key-data": user}}],
        }

    def stop(self) -> None:
        """Close the port."""
        self._http.shutdown()
        self._http.server_close()


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            cluster.requests += 1
            answers = {
                "/api/v1/namespaces/kube-system": {"metadata": {"uid": cluster.name}},
                "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
                "/version": {"gitVersion": "v1.35.4", "major": "1", "minor": "35"},
            }
            body = json.dumps(answers.get(self.path, {})).encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[list[Cluster]]:
    made = [Cluster(name, tmp_path / name) for name in CLUSTERS]
    yield made
    for cluster in made:
        cluster.stop()


@pytest.fixture
def few_files() -> Iterator[None]:
    """Limit started processes to 128 open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def uids(folder: Path, hosts: dict[str, Any], tasks: list[dict[str, Any]], *words: str) -> dict[str, Any]:
    """Run the tasks on the hosts and return the variable found_uids of each host."""
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": hosts, "vars": variables}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    copy = {"content": "{{ found_uids | to_json }}", "dest": str(folder / "{{ inventory_hostname }}.json")}
    play = {"hosts": "all", "gather_facts": False, "tasks": [*tasks, {"ansible.builtin.copy": copy}]}
    settings = {"ANSIBLE_LOCAL_TEMP": str(folder / "local"), "HOME": str(folder)}
    output = run_play(folder, play, "-i", "hosts.yml", *words, env=environment(**settings))
    assert "MII" not in output and "PRIVATE" not in output
    # The files of certificates and keys that the Kubernetes client has written are deleted after the run.
    assert not [path for path in (folder / "local").rglob("*") if path.is_file()]
    return {host: json.loads((folder / f"{host}.json").read_text()) for host in hosts}


def test_each_host_reaches_the_cluster_of_its_own_kubeconfig(tmp_path: Path, clusters: list[Cluster]) -> None:
    for cluster in clusters:
        (tmp_path / f"{cluster.name}.kubeconfig").write_text(yaml.safe_dump(cluster.kubeconfig()))
    task = {
        "hashfoundry.kserve.platform_info": {"kubeconfig": "{{ inventory_hostname }}.kubeconfig"},
        "register": "found",
    }
    by_environment = {
        "hashfoundry.kserve.platform_info": {},
        "environment": {"K8S_AUTH_KUBECONFIG": "{{ playbook_dir }}/{{ inventory_hostname }}.kubeconfig"},
        "register": "again",
    }
    keep = {"ansible.builtin.set_fact": {"found_uids": "{{ [found.cluster.uid, again.cluster.uid] }}"}}
    hosts = dict.fromkeys(CLUSTERS)
    found_uids = uids(tmp_path, hosts, [task, by_environment, keep], "--forks", "4", "-vvv")
    assert found_uids == {name: [name, name] for name in CLUSTERS}


def test_each_cluster_is_reached_by_the_proxy_of_its_kubeconfig(tmp_path: Path, clusters: list[Cluster]) -> None:
    heads: list[str] = []
    with Server(tunnel(heads)) as proxy:
        for cluster in clusters:
            content = cluster.kubeconfig()
            content["clusters"][0]["cluster"]["proxy-url"] = f"http://me:PLANTED@127.0.0.1:{proxy.port}"
            (tmp_path / f"{cluster.name}.kubeconfig").write_text(yaml.safe_dump(content))
        task = {
            "hashfoundry.kserve.platform_info": {"kubeconfig": "{{ inventory_hostname }}.kubeconfig"},
            "register": "found",
        }
        keep = {"ansible.builtin.set_fact": {"found_uids": "{{ found.cluster.uid }}"}}
        found_uids = uids(tmp_path, dict.fromkeys(CLUSTERS), [task, keep])
    assert found_uids == {name: name for name in CLUSTERS}
    assert len(heads) >= len(CLUSTERS)
    assert all(head.startswith("CONNECT localhost:") and "bWU6UExBTlRFRA==" in head for head in heads)


@pytest.mark.usefixtures("few_files")
def test_a_long_loop_over_clusters_leaves_no_file_open(tmp_path: Path, clusters: list[Cluster]) -> None:
    task = {
        "hashfoundry.kserve.platform_info": {"kubeconfig": "{{ kubeconfigs[item % 4] }}"},
        "loop": "{{ range(300) | list }}",
        "register": "found",
    }
    keep = {"ansible.builtin.set_fact": {"found_uids": "{{ found.results | map(attribute='cluster.uid') | list }}"}}
    hosts = {"looping": {"kubeconfigs": [cluster.kubeconfig() for cluster in clusters]}}
    found_uids = uids(tmp_path, hosts, [task, keep])
    assert found_uids["looping"] == [CLUSTERS[number % 4] for number in range(300)]
