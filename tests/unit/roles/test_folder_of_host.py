# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of one run do not write to the same files on the controller, and a backup overwrites no other cluster's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT, environment, exit_code_and_output, run_ansible
from tests.unit.plugins.module_utils.manifests_server import thing

from .http_cluster import Cluster

UID = "3d7b3f64-3c47-4a5e-9c55-2b8d1c0f8a11"


def folders(
    tmp_path: Path, hosts: tuple[str, ...], name: str, variables: dict[str, Any], *words: str
) -> dict[str, str]:
    """Return the value of a variable of each host."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"clusters": {"hosts": dict.fromkeys(hosts, local)}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    written = {"dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.txt", "content": f"{{{{ {name} }}}}", "mode": "0600"}
    tasks = [{"ansible.builtin.copy": written}]
    play = {"hosts": "clusters", "gather_facts": False, "vars": variables, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    run_ansible("ansible-playbook", "-i", "hosts.yml", "play.yml", *words, folder=tmp_path)
    return {host: path.read_text() for host in hosts if (path := tmp_path / f"{host}.txt").exists()}


@pytest.mark.parametrize("playbook", ["backup", "restore"])
@pytest.mark.parametrize(
    ("hosts", "words", "expected"),
    [
        (("prod",), (), {"prod": "/srv/backups/today"}),
        (("eu", "us"), (), {"eu": "/srv/backups/today/eu", "us": "/srv/backups/today/us"}),
        (("eu", "us"), ("--limit", "us"), {"us": "/srv/backups/today/us"}),
    ],
    ids=["one", "several", "one of several"],
)
def test_each_cluster_has_its_own_backup(
    tmp_path: Path, playbook: str, hosts: tuple[str, ...], words: tuple[str, ...], expected: dict[str, str]
) -> None:
    [play] = yaml.safe_load((ROOT / "playbooks" / f"{playbook}.yml").read_text())
    given = ("-e", "folder=/srv/backups/today", *words)
    assert folders(tmp_path, hosts, "model_backup_folder", play["vars"], *given) == expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (("prod",), {"prod": "/srv/reports"}),
        (("eu", "us"), {"eu": "/srv/reports/eu", "us": "/srv/reports/us"}),
    ],
)
def test_each_cluster_has_its_own_reports(tmp_path: Path, hosts: tuple[str, ...], expected: dict[str, str]) -> None:
    variables = yaml.safe_load((ROOT / "roles" / "model_verification" / "vars" / "main.yml").read_text())
    given = ("-e", "model_verification_report_folder=/srv/reports")
    assert folders(tmp_path, hosts, "__model_verification_reports", variables, *given) == expected


NAMELESS = "names no cluster, so that the folder may contain the backup of another one; nothing was written. Name ano"


@pytest.mark.parametrize(
    ("previous", "message"),
    [
        (None, ""),
        ({"schema": 1, "cluster": UID}, ""),
        ({"schema": 1, "cluster": "another"}, "with the UID another and not"),
        ({"schema": 1}, NAMELESS),
        ({"schema": 1, "cluster": None}, NAMELESS),
        ([], "backup.json is not the index of a backup. Name another folder"),
        ("{", "backup.json cannot be read as JSON. Name another folder"),
    ],
    ids=["no backup", "this cluster", "another cluster", "no cluster", "null", "a list", "incomplete"],
)
def test_only_a_backup_of_this_cluster_is_overwritten(
    tmp_path: Path, api: Cluster, previous: Any, message: str
) -> None:
    space = thing("Namespace", "kube-system", None)
    space["metadata"]["uid"] = UID
    api.objects[api.path(space)] = space
    if previous is not None:
        text = previous if isinstance(previous, str) else json.dumps(previous)
        (tmp_path / "backup.json").write_text(text)
    found, output = tasks_of_the_role(tmp_path, api, "folder.yml")
    assert (found, message in output) == (2 if message else 0, True), output


def tasks_of_the_role(tmp_path: Path, api: Cluster, tasks: str) -> tuple[int, str]:
    """Run a file of tasks of model_backup, and return its exit code and its output in one line."""
    include = {"name": "hashfoundry.kserve.model_backup", "tasks_from": tasks}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.include_role": include}]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    given = {"model_backup_folder": str(tmp_path)}
    env = environment("K8S_", "KUBECONFIG", K8S_AUTH_KUBECONFIG=str(api.kubeconfig))
    found, output = exit_code_and_output(
        "ansible-playbook", "play.yml", "-e", json.dumps(given), folder=tmp_path, env=env
    )
    return found, " ".join(output.split())


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "contains no complete backup, because its backup.json is missing"),
        ("{", "backup.json cannot be read as JSON. Name another folder"),
        ("[]", "backup.json is not the index of a backup"),
        (
            '{"bucket": "models", "versions": []}',
            "has no applied_sha256, namespace, objects_sha256, secrets, services;",
        ),
    ],
)
def test_an_incomplete_backup_is_not_restored(tmp_path: Path, api: Cluster, index: str | None, message: str) -> None:
    if index is not None:
        (tmp_path / "backup.json").write_text(index)
    found, output = tasks_of_the_role(tmp_path, api, "restore_check.yml")
    assert (found, message in output) == (2, True), output
