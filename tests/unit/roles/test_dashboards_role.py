# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role dashboards exposes Perses only with a login, and renders the objects that Grafana and Perses read."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT, environment, exit_code_and_output, run_play

HOST = "dashboards.example.org"
USERS = [{"name": "ops", "password": "not-shown"}]
OIDC = [{"slug_id": "corp", "client_id": "x", "client_secret": "y", "issuer": "https://id.example.org"}]
EXPOSED = {"dashboards_perses": True, "dashboards_perses_host": HOST}
REFUSED = "Perses would be exposed at dashboards.example.org without a login."
OPEN: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no-users": {"dashboards_perses_users": []},
    "not-anonymous": {"dashboards_perses_anonymous": "false"},
}
CLOSED: dict[str, dict[str, Any]] = {
    "users": {"dashboards_perses_users": USERS},
    "oidc": {"dashboards_perses_oidc": OIDC},
    "anonymous": {"dashboards_perses_anonymous": "true"},
    "no-host": {"dashboards_perses_host": ""},
    "no-perses": {"dashboards_perses": "false"},
    "no-gateway": {"platform_deployment_mode": "Knative"},
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why the role fails with each set of options: at the latest because no cluster is reachable."""
    folder = tmp_path_factory.mktemp("failures")
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {"token": "x"}}],
        "current-context": "c",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "platform_kubeconfig": str(folder / "kubeconfig"),
        "platform_monitoring": "managed",
        **EXPOSED,
    }
    hosts = {name: {**common, **options} for name, options in {**OPEN, **CLOSED}.items()}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    play = {"hosts": "all", "gather_facts": False, "roles": ["hashfoundry.kserve.dashboards"]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    env = environment("HASHFOUNDRY_")
    words = ("-i", "hosts.json", "-f", "9", "play.yml")
    code, output = exit_code_and_output("ansible-playbook", *words, folder=folder, env=env)
    assert code != 0
    found = re.findall(r"^fatal: \[([a-z-]+)\]: FAILED! => (.*?)(?=^\S|\Z)", output, re.M | re.S)
    return {name: " ".join(text.split()) for name, text in found}


@pytest.mark.parametrize("name", OPEN)
def test_perses_is_not_exposed_without_a_login(failures: dict[str, str], name: str) -> None:
    assert REFUSED in failures[name]


@pytest.mark.parametrize("name", CLOSED)
def test_perses_is_installed_with_a_login_or_without_a_route(failures: dict[str, str], name: str) -> None:
    assert "127.0.0.1" in failures[name]  # it went on to the cluster


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The objects of each template, for a Perses with users."""
    folder = tmp_path_factory.mktemp("rendered")
    role = ROOT / "roles" / "dashboards"
    ours = folder / "roles" / "dashboards"
    (ours / "tasks").mkdir(parents=True)
    for part in ("defaults", "files", "meta", "templates", "vars"):
        (ours / part).symlink_to(role / part)
    names = ("grafana.yml.j2", "perses.yml.j2", "route.yml.j2")
    tasks = [{"ansible.builtin.template": {"src": name, "dest": f"{folder}/{name}", "mode": "0600"}} for name in names]
    (ours / "tasks" / "main.yml").write_text(yaml.safe_dump(tasks))
    variables = {**EXPOSED, "dashboards_perses_users": USERS, "platform_monitoring": "managed", "__dashboards_key": "k"}
    variables |= {"platform_domain": "example.org", "ansible_python_interpreter": sys.executable}
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "roles": ["dashboards"]}
    run_play(folder, play)
    return {name: list(yaml.safe_load_all((folder / name).read_text())) for name in names}


def test_the_sidecar_of_grafana_finds_each_dashboard(rendered: dict[str, list[dict[str, Any]]]) -> None:
    found = rendered["grafana.yml.j2"]
    assert {item["metadata"]["labels"]["grafana_dashboard"] for item in found} == {"1"}
    files = {name: text for item in found for name, text in item["data"].items()}
    # Grafana's own {{label}} is not a template of Ansible.
    assert files == {
        path.name: path.read_text().rstrip("\n") for path in (ROOT / "roles/dashboards/files").glob("g*/*")
    }


def test_perses_reads_the_datasource_before_the_dashboards(rendered: dict[str, list[dict[str, Any]]]) -> None:
    objects = {(item["kind"], item["metadata"]["name"]): item for item in rendered["perses.yml.j2"]}
    provisioned = objects["ConfigMap", "perses"]["data"]
    first, *dashboards = sorted(provisioned)
    assert [item["kind"] for item in yaml.safe_load(provisioned[first])] == ["Project", "GlobalDatasource"]
    assert {json.loads(provisioned[name])["kind"] for name in dashboards} == {"Dashboard"}


def test_a_password_is_only_in_the_secret(rendered: dict[str, list[dict[str, Any]]]) -> None:
    held = [item["kind"] for item in rendered["perses.yml.j2"] if "not-shown" in json.dumps(item)]
    assert held == ["Secret"]


def test_an_exposed_perses_asks_for_the_login(rendered: dict[str, list[dict[str, Any]]]) -> None:
    secret = next(item for item in rendered["perses.yml.j2"] if item["kind"] == "Secret")
    security = yaml.safe_load(secret["stringData"]["config.yaml"])["security"]
    assert (security["enable_auth"], security["readonly"], security["cookie"]["secure"]) == (True, True, True)
    assert security["authentication"] == {"disable_sign_up": True, "providers": {"enable_native": True, "oidc": []}}
    assert rendered["route.yml.j2"][0]["spec"]["hostnames"] == [HOST]
