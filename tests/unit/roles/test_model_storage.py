# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload in check mode on a bare cluster, before its object store is installed."""

from __future__ import annotations

import hashlib
import json
from hashlib import sha256
from pathlib import Path

import pytest

from tests.unit.ansible_run import environment, exit_code_and_output, run_play
from tests.unit.plugins.module_utils.model_store_fake import MemoryStore, serving

from .conftest import Run, Serve

PLAY = """
- hosts: localhost
  gather_facts: false
  roles: [hashfoundry.kserve.model_storage]
"""
# The folder contains no real model.
GATE = {"load": False, "metadata": False}
NOT_INSTALLED = "The in-cluster object store is not installed yet, so check mode could not compare iris with it."


@pytest.fixture
def rejecting(serve: Serve) -> str:
    """An object store that rejects the access key."""
    refusal = b"<Error><Code>InvalidAccessKeyId</Code><Message>Unknown</Message></Error>"
    return serve(lambda _method, _path: (403, refusal))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the role with a model folder, and return the exit code and the output in one line."""
    folder = tmp_path / "v1"
    folder.mkdir()
    (folder / "model.joblib").write_bytes(b"model")
    (folder / "metadata.json").write_text("{}")
    (tmp_path / "play.yml").write_text(PLAY)
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
    variables = {
        "models": [
            {**model, "storage": "s3", "source": {"folder": str(folder)}, "gate": {"load": False, "metadata": False}}
        ],
        "platform_bucket": "models",
        "platform_access_key": "the-access-key",
        "platform_secret_key": "the-secret-key",
    }
    env = environment("AWS_", "HASHFOUNDRY_", "SPACES_")

    def play(*words: str, **more: object) -> tuple[int, str]:
        arguments = ("play.yml", *words, "-e", json.dumps({**variables, **more}))
        code, output = exit_code_and_output("ansible-playbook", *arguments, folder=tmp_path, env=env)
        return code, " ".join(output.split())

    return play


def test_check_mode_succeeds_before_the_object_store_is_installed(run: Run, closed_url: str) -> None:
    code, output = run("--check", platform_endpoint_url=closed_url, platform_object_storage=True)
    assert code == 0, output
    assert NOT_INSTALLED in output


@pytest.mark.parametrize(
    ("words", "in_cluster"), [((), True), (("--check",), False)], ids=["no check mode", "another object store"]
)
def test_an_unreachable_store_fails_elsewhere(
    run: Run, closed_url: str, words: tuple[str, ...], in_cluster: bool
) -> None:
    code, output = run(*words, platform_endpoint_url=closed_url, platform_object_storage=in_cluster)
    assert code == 2
    assert f"{closed_url} cannot be reached" in output


def test_wrong_credentials_fail_in_check_mode_too(run: Run, rejecting: str) -> None:
    code, output = run("--check", platform_endpoint_url=rejecting, platform_object_storage=True)
    assert code == 2
    assert NOT_INSTALLED not in output


@pytest.mark.parametrize(
    ("gate", "fault"),
    [
        ({"load": False}, "joblib"),
        ({"load": False, "packages": {"numpy": "2.4.6"}}, "numpy"),
        ({"load": False, "metadata": False}, ""),
    ],
)
def test_a_models_gate_overrides_only_the_keys_that_it_sets(
    run: Run, tmp_path: Path, gate: dict[str, object], fault: str
) -> None:
    """Its metadata names other versions than the gate of all models requires."""
    folder = tmp_path / "v1"
    content = (folder / "model.joblib").read_bytes()
    tensor = {"name": "x", "datatype": "FP64", "shape": [-1, 1]}
    metadata = {
        "name": "iris",
        "version": "v1",
        "model_format": "sklearn",
        "model_file": {
            "name": "model.joblib",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
        },
        "libraries": {"python": "3.11.2", "scikit-learn": "1.0.0", "numpy": "1.0.0"},
        "inputs": [tensor],
        "outputs": [{**tensor, "name": "predict", "shape": [-1]}],
        "examples": {"instances": [[1.0]], "predictions": [1.0]},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
    models = [{**model, "source": {"folder": str(folder)}, "gate": gate}]
    with serving(MemoryStore()) as store:
        code, output = run(models=models, platform_endpoint_url=store.url)
    assert (code == 2) is bool(fault), output
    assert fault in output.partition("[ERROR]")[2]


def test_several_models_are_uploaded_by_one_task_and_their_digests_are_a_fact(tmp_path: Path) -> None:
    entries = []
    for number in range(6):
        folder = tmp_path / f"model-{number}"
        folder.mkdir()
        (folder / "model.joblib").write_bytes(b"model %d" % number)
        about = {"name": folder.name, "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
        entries.append({**about, "source": {"folder": str(folder)}, "gate": GATE})
    digests_file = tmp_path / "digests.json"
    copy = {"ansible.builtin.copy": {"content": "{{ model_storage_digests | to_json }}", "dest": str(digests_file)}}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "roles": ["hashfoundry.kserve.model_storage"],
        "tasks": [copy],
    }
    with serving(MemoryStore()) as server:
        play["vars"] = {
            "platform_models": entries,
            "platform_bucket": "models",
            "platform_endpoint_url": server.url,
            "platform_access_key": "the-access-key",
            "platform_secret_key": "the-secret-key",
        }
        env = environment("AWS_", "HASHFOUNDRY_", "SPACES_")
        run_play(tmp_path, play, env=env)
        digests = json.loads(digests_file.read_text())
        wanted = {
            f"s3://models/{entry['name']}/v1/": "sha256:"
            + sha256(server.store.content[f"{entry['name']}/v1/manifest.json"]).hexdigest()
            for entry in entries
        }
        assert digests == wanted
        server.seen.clear()
        assert "changed=0" in run_play(tmp_path, play, env=env)
        assert len(server.seen) == len(entries)
        (Path(entries[2]["source"]["folder"]) / "model.joblib").write_bytes(b"other")
        (tmp_path / "play.yml").write_text(json.dumps([play]))
        code, output = exit_code_and_output("ansible-playbook", "play.yml", folder=tmp_path, env=env)
    assert code == 2 and "The version s3://models/model-2/v1/ is complete and the folder differs" in output
