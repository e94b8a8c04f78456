# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each failure of the preflight has its own reason and cure; only an API server without an answer "does not answer"."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.unit.ansible_run import environment, exit_code_and_output

from .conftest import Serve
from .http_cluster import write_kubeconfig


def preflight(folder: Path) -> str:
    """Run the role with the kubeconfig of a folder, and return the last error in one line."""
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["hashfoundry.kserve.cluster_preflight"]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    given = {"platform_kubeconfig": str(folder / "kubeconfig"), "platform_domain": "models.example.com"}
    env = environment("K8S_", "HASHFOUNDRY_", "KUBECONFIG")
    words = ("play.yml", "-e", json.dumps(given))
    code, output = exit_code_and_output("ansible-playbook", *words, folder=folder, env=env)
    assert code == 2, output
    return " ".join(output.split("Assert that the cluster")[-1].split())


def test_an_api_server_that_cannot_be_reached(tmp_path: Path, closed_url: str) -> None:
    said = preflight(write_kubeconfig(tmp_path / "kubeconfig", closed_url).parent)
    assert "does not answer" in said and "(APIServerUnreachable)" in said


def test_credentials_that_are_not_accepted(tmp_path: Path, serve: Serve) -> None:
    refusal = {"kind": "Status", "status": "Failure", "message": "Unauthorized", "code": 401}
    url = serve(lambda _method, _path: (401, refusal))
    said = preflight(write_kubeconfig(tmp_path / "kubeconfig", url).parent)
    assert "does not answer" not in said and "does not accept the credentials" in said and "(Unauthorized)" in said


def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("kind: Config\n")
    said = preflight(tmp_path)
    assert "does not answer" not in said and "(InvalidKubeconfig)" in said
    assert f"in {tmp_path}/kubeconfig" in said
