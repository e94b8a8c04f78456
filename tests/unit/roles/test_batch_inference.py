# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version that batch.yml uses: that of the list of models, or the one that is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.unit.ansible_run import ROOT, exit_code_and_output

from .http_cluster import MODEL


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"model": "iris"}, "the version is v1"),
        ({"model": "rose", "version": "v7"}, "the version is v7"),
        ({"model": "rose"}, "The list of models has no rose; it has iris. Correct model, or name a version in the"),
        ({"model": "rose", "models": []}, "The list of models has no rose; it has none. Correct model, or name a"),
    ],
)
def test_a_model_that_is_not_listed_is_named_with_those_that_are(
    words: dict[str, object], message: str, tmp_path: Path
) -> None:
    (play,) = yaml.safe_load((ROOT / "playbooks" / "batch.yml").read_text())
    play |= {"hosts": "localhost", "roles": ["hashfoundry.kserve.platform"]}
    play["tasks"] = [{"ansible.builtin.debug": {"msg": "the version is {{ batch_inference_version }}"}}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    given = json.dumps({"models": [MODEL], "input": "rows.csv", **words})
    code, output = exit_code_and_output("ansible-playbook", "play.yml", "-e", given, folder=tmp_path)
    assert message in " ".join(output.split()), output
    assert (code == 0) is ("the version is" in message)
