# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loader Jobs run as many at once as the cluster has room for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT, run_play

from .test_templates import ROLES, rendered

MODELS = [
    {"name": f"m{number}", "version": "v1", "format": "f", "runtime": "r", "storage": "pvc", "volume": "models"}
    for number in range(5)
]
JOBS = [{"metadata": {"name": f"load-m{number}-aa"}} for number in range(5)]
DONE = {"metadata": {"name": "load-m0-aa"}, "status": {"succeeded": 1}}
FAILED = {"metadata": {"name": "load-m1-aa"}, "status": {"failed": 1}}


@pytest.mark.parametrize(
    ("found", "room", "turns"),
    [
        ([], {"loads_at_once": 2}, [[0, 1], [2, 3], [4]]),
        ([DONE, FAILED], {"loads_at_once": 3}, [[0], [1, 2, 3], [4]]),
        ([], None, [[0, 1, 2, 3, 4]]),  # with model_volume_capacity=ignore
        ([{**DONE, "metadata": job["metadata"]} for job in JOBS], None, [[0, 1, 2, 3, 4]]),
    ],
)
def test_loads_take_turns(tmp_path: Path, found: list[Any], room: Any, turns: list[list[int]]) -> None:
    variables = {
        "platform_deployment_mode": "Standard",
        "model_volume_models": MODELS,
        "model_volume_volumes": [{"name": "models", "size": "1Gi"}],
        "__model_volume_jobs": JOBS,
        "__model_volume_found": {"resources": found},
        **({"__model_volume_room": room} if room else {}),
    }
    copy = {"dest": str(tmp_path / "turns.json"), "content": "{{ __model_volume_turns | to_json }}", "mode": "0600"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "roles" / "model_volume" / "vars" / "main.yml")],
        "vars": variables,
        "tasks": [{"ansible.builtin.copy": copy}],
    }
    run_play(tmp_path, play)
    got = json.loads((tmp_path / "turns.json").read_text())
    assert [[job["metadata"]["name"] for job in turn] for turn in got] == [
        [f"load-m{number}-aa" for number in turn] for turn in turns
    ]


def test_another_registry_is_another_job(tmp_path: Path) -> None:
    """A Job is immutable, and manifests sets the image."""
    variables = {
        **yaml.safe_load((ROLES / "model_volume" / "defaults" / "main.yml").read_text()),
        "model_volume_credentials": {"name": "model-reader"},
        "model_volume_bucket": "models",
        "model_volume_namespace": "models",
        "model_volume_volumes": [{"name": "models", "size": "1Gi"}],
        "model_volume_digests": {},
        "model_volume_overwrite": False,
        "__model_volume_models": MODELS[:1],
        "__model_volume_sizeless": [],
    }
    mirror = {"registries": {"docker.io": "mirror.example.com"}}
    names = [
        rendered("model_volume/templates/jobs.yml.j2", {**variables, "model_volume_images": images}, tmp_path)[
            "metadata"
        ]["name"]
        for images in ({}, {}, mirror, json.dumps(mirror), {"registries": {"docker.io": "other.example.com"}})
    ]
    assert names[0] == names[1] and names[2] == names[3]
    assert len(set(names)) == 3
