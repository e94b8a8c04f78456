# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's folder that a command did not create, or that is not on this controller, is named in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import environment, exit_code_and_output

MODEL = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}


def run(folder: Path, role: str, models: Any) -> tuple[int, str]:
    play = {"hosts": "localhost", "gather_facts": False, "roles": [f"hashfoundry.kserve.{role}"]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    given = {"models": models, "platform_domain": "models.example.com", "platform_bucket": "models"}
    code, output = exit_code_and_output(
        "ansible-playbook", "play.yml", "-e", json.dumps(given), folder=folder, env=environment("HASHFOUNDRY_")
    )
    return code, " ".join(output.split())


@pytest.mark.parametrize(
    ("command", "code"),
    [("true", 0), ("mkdir {0}; touch {0}/metadata.json", 0), ("mkdir {0}; touch {0}/model.joblib", 1)],
    ids=["no folder", "no model", "a model"],
)
def test_a_command_that_creates_no_model(tmp_path: Path, command: str, code: int) -> None:
    target = tmp_path / "model"
    source = {"folder": str(target), "command": ["sh", "-c", command.format(target)]}
    result_code, output = run(tmp_path, "model_training", [{**MODEL, "source": source}])
    assert (result_code == 0) is bool(code), output
    assert bool(code) or (f"created no model in {target}" in output and "(ModelNotCreated)" in output)


def test_a_folder_that_is_not_on_this_controller(tmp_path: Path) -> None:
    code, output = run(tmp_path, "model_verification", [{**MODEL, "source": {"folder": "/nonexistent"}}])
    assert code == 2
    assert "no folder /nonexistent." in output and "(SourceNotFound)" in output


def test_models_that_are_a_string(tmp_path: Path) -> None:
    code, output = run(tmp_path, "model_training", "iris")
    assert code == 2
    assert "a string that is not JSON" in output and "Tagged" not in output
