# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime kserve-sklearnserver names the port of the metrics that its image serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Manifest
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.patch import apply_patches
from tests.unit.ansible_run import ROOT, run_ansible

OPTIONS = {"platform_registry": "registry.example/models", "kserve_config": {}, "kserve_replicas": 1}
OURS = {"sklearnserver": {"image": "registry.example/models/sklearnserver", "tag": "v0.20.0"}}
# As the chart kserve-runtime-configs renders it.
RUNTIME = {
    "apiVersion": "serving.kserve.io/v1alpha1",
    "kind": "ClusterServingRuntime",
    "metadata": {"name": "kserve-sklearnserver"},
    "spec": {
        "annotations": {"prometheus.kserve.io/path": "/metrics", "prometheus.kserve.io/port": "8080"},
        "containers": [{"name": "kserve-container", "args": ["--http_port=8080"], "image": "sklearnserver"}],
    },
}


def patches(folder: Path, **options: Any) -> list[dict[str, Any]]:
    """The patches of the role kserve for ClusterServingRuntimes."""
    (folder / "variables.json").write_text(json.dumps(OPTIONS | options))
    words = ["localhost", "-c", "local", "-m", "ansible.builtin.copy"]
    for file in (ROOT / "roles" / "kserve" / "vars" / "main.yml", folder / "variables.json"):
        words += ["-e", f"@{file}"]
    target = folder / "patches.json"
    arguments = json.dumps({"dest": str(target), "content": "{{ __kserve_patches | to_json }}"})
    run_ansible("ansible", *words, "-a", arguments, folder=folder)
    found: list[dict[str, Any]] = json.loads(target.read_text())
    return [patch for patch in found if patch["kind"] == "ClusterServingRuntime"]


def test_the_runtime_of_this_projects_server_has_a_port_for_metrics(tmp_path: Path) -> None:
    (runtime,) = apply_patches([Manifest(RUNTIME, "chart")], patches(tmp_path, kserve_runtimes=OURS))
    spec = runtime.body["spec"]
    assert spec["annotations"] == {"prometheus.kserve.io/path": "/metrics", "prometheus.kserve.io/port": "8082"}
    (container,) = spec["containers"]
    assert container == RUNTIME["spec"]["containers"][0] | {  # type: ignore[index]
        "env": [{"name": "METRICS_PORT", "value": "8082"}]
    }


@pytest.mark.parametrize(
    "options",
    [
        {"kserve_runtimes": {}},
        {"kserve_runtimes": "{}"},
        {"kserve_runtimes": {"sklearnserver": {"image": "mirror.example/kserve/sklearnserver"}}},
        {"kserve_runtimes": {"sklearnserver": {"tag": "v0.20.0"}}},
        {"kserve_runtimes": {"sklearnserver": {**OURS["sklearnserver"], "disabled": "true"}}},
        {"kserve_runtimes": {}, "platform_registry": ""},
    ],
    ids=["chart", "text", "mirror", "tag", "disabled", "no registry"],
)
def test_the_runtime_of_another_server_remains_as_in_the_chart(options: dict[str, Any], tmp_path: Path) -> None:
    assert patches(tmp_path, **options) == []
