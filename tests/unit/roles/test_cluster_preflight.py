# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each failure of the preflight has its own reason and cure; only an API server without an answer "does not answer"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.unit.ansible_run import environment, exit_code_and_output

from .conftest import Serve
from .http_cluster import write_kubeconfig

REFUSAL = {"kind": "Status", "status": "Failure", "message": "Unauthorized", "code": 401}


def preflight(folder: Path, **variables: object) -> str:
    """Run the role with the kubeconfig of a folder, if it has one, and return the last error in one line."""
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["hashfoundry.kserve.cluster_preflight"]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    given = {"platform_kubeconfig": str(folder / "kubeconfig"), "platform_domain": "models.example.com", **variables}
    env = environment("K8S_", "HASHFOUNDRY_", "KUBECONFIG")
    words = ("play.yml", "-e", json.dumps(given))
    code, output = exit_code_and_output("ansible-playbook", *words, folder=folder, env=env)
    assert code == 2, output
    return " ".join(output.split("Assert that the cluster")[-1].split())


def test_an_api_server_that_cannot_be_reached(tmp_path: Path, closed_url: str) -> None:
    output = preflight(write_kubeconfig(tmp_path / "kubeconfig", closed_url).parent)
    assert "does not answer" in output and "(APIServerUnreachable)" in output


def test_credentials_that_are_not_accepted(tmp_path: Path, serve: Serve) -> None:
    url = serve(lambda _method, _path: (401, REFUSAL))
    output = preflight(write_kubeconfig(tmp_path / "kubeconfig", url).parent)
    assert (
        "does not answer" not in output and "does not accept the credentials" in output and "(Unauthorized)" in output
    )


def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("kind: Config\n")
    output = preflight(tmp_path)
    assert "does not answer" not in output and "(InvalidKubeconfig)" in output
    assert f"in {tmp_path}/kubeconfig" in output


def test_a_fault_of_the_list_of_models_comes_before_that_of_the_kubeconfig(tmp_path: Path) -> None:
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtme": "kserve-sklearnserver"}
    output = preflight(tmp_path, models=[model], cluster_preflight_models="{{ platform_models }}")
    assert "Model iris: runtme is not a key of a model; the keys are: digest, exposure" in output
    assert "is missing" not in output


def test_a_missing_kubeconfig_names_each_place_to_set_another(tmp_path: Path) -> None:
    output = preflight(tmp_path, models=[])
    assert f"The kubeconfig {tmp_path}/kubeconfig of localhost is missing; create the cluster" in output
    for place in ("platform_kubeconfig", "K8S_AUTH_KUBECONFIG", "KUBECONFIG or ~/.kube/config"):
        assert place in output
    assert "(KubeconfigMissing)" in output


@pytest.mark.parametrize("place", ["option", "K8S_AUTH_KUBECONFIG", "KUBECONFIG", "home"])
def test_each_place_of_a_kubeconfig_is_read(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    file = tmp_path / ".kube" / "config"
    file.parent.mkdir()
    write_kubeconfig(file, serve(lambda _method, _path: (401, REFUSAL)))
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["hashfoundry.kserve.cluster_preflight"]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    if place != "home":
        monkeypatch.setenv("HOME", str(tmp_path / "other"))
    env = environment("K8S_", "HASHFOUNDRY_", "KUBECONFIG")
    env |= {place: str(file)} if place.isupper() else {"HOME": str(tmp_path)} if place == "home" else {}
    given = {"platform_domain": "models.example.com"}
    if place != "K8S_AUTH_KUBECONFIG":
        given["platform_kubeconfig"] = str(file) if place == "option" else ""
    code, output = exit_code_and_output(
        "ansible-playbook", "play.yml", "-e", json.dumps(given), folder=tmp_path, env=env
    )
    assert code == 2 and "does not accept the credentials" in " ".join(output.split())
