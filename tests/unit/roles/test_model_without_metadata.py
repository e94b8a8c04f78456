# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model.pkl from elsewhere is described by the role that uploads it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_run import environment, exit_code_and_output
from tests.unit.plugins.module_utils.model_store_fake import MemoryStore, S3Server, serving

pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression

PLAY = """
- hosts: localhost
  gather_facts: false
  roles: [hashfoundry.kserve.model_storage]
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def store() -> Iterator[S3Server]:
    with serving(MemoryStore()) as server:
        yield server


@pytest.fixture
def run(tmp_path: Path, store: S3Server) -> Run:
    """Run the role for a folder with model.pkl alone, and return the exit code and the output in one line."""
    folder = tmp_path / "v1"
    folder.mkdir()
    model = LogisticRegression().fit([[0.0, 0.0], [1.0, 1.0]], ["no", "yes"])
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    (tmp_path / "play.yml").write_text(PLAY)
    entry = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
    variables = {
        "models": [{**entry, "source": {"folder": str(folder)}}],
        "model_storage_gate": {},
        "platform_bucket": "models",
        "platform_access_key": "the-access-key",
        "platform_secret_key": "the-secret-key",
        "platform_endpoint_url": store.url,
        "platform_object_storage": False,
    }

    def play(*words: str, **more: Any) -> tuple[int, str]:
        arguments = ("play.yml", *words, "-e", json.dumps({**variables, **more}))
        env = environment("AWS_", "HASHFOUNDRY_", "SPACES_")
        code, output = exit_code_and_output("ansible-playbook", *arguments, folder=tmp_path, env=env)
        return code, " ".join(output.split())

    return play


def test_a_model_from_elsewhere_is_described_and_uploaded(run: Run, tmp_path: Path) -> None:
    written = tmp_path / "v1" / "metadata.json"
    code, output = run("--check")
    assert code == 0, output
    assert not written.exists(), "check mode has written"
    assert "changed=1" in output
    code, output = run()
    assert code == 0, output
    found = json.loads(written.read_text())
    assert (found["name"], found["version"], found["classes"]) == ("iris", "v1", ["no", "yes"])
    assert len(found["examples"]["predictions"]) == 1
    code, output = run()
    assert code == 0, output
    assert "changed=0" in output


@pytest.mark.parametrize("gate", [{"metadata": False, "load": False}, {"load": False}], ids=["no gate", "not loaded"])
def test_nothing_is_written_where_the_gate_does_not_load(run: Run, tmp_path: Path, gate: dict[str, Any]) -> None:
    code, output = run(model_storage_gate=gate)
    assert not (tmp_path / "v1" / "metadata.json").exists()
    assert (code == 0) is ("metadata" in gate), output
    assert code == 0 or "which the module hashfoundry.kserve.model_metadata does" in output
