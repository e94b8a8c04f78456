# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preflight compares with the nodes: the pods that the roles will install, with what they request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT, run_play

ROLES = ROOT / "roles"


def workloads(folder: Path, **variables: Any) -> dict[str, tuple[int, dict[str, str]]]:
    """The number of pods of each Deployment, and what one requests."""
    template = ROLES / "cluster_preflight" / "templates" / "workloads.yml.j2"
    copy = {"src": str(template), "dest": str(folder / "rendered.yml"), "mode": "0600"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLES / "cluster_preflight" / "vars" / "main.yml")],
        "vars": variables,
        "roles": ["hashfoundry.kserve.platform"],
        "tasks": [{"ansible.builtin.template": copy}],
    }
    run_play(folder, play)
    found = [thing for thing in yaml.safe_load_all((folder / "rendered.yml").read_text()) if thing]
    return {
        thing["metadata"]["name"]: (
            thing["spec"]["replicas"],
            thing["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"],
        )
        for thing in found
    }


def test_standard_mode(tmp_path: Path) -> None:
    defaults = yaml.safe_load((ROLES / "kserve" / "defaults" / "main.yml").read_text())
    provisioner = (ROLES / "gateway" / "templates" / "provisioner.yml.j2").read_text()
    found = workloads(tmp_path, platform_replicas=3)
    assert found == {
        "kserve-controller-manager": (3, defaults["kserve_controller_resources"]["requests"]),
        "contour-gateway-provisioner": (1, {"cpu": "10m", "memory": "70Mi"}),
    }
    assert "cpu: 10m\n" in provisioner and "memory: 70Mi\n" in provisioner


@pytest.mark.parametrize("existing", [False, True])
def test_knative_mode(tmp_path: Path, existing: bool) -> None:
    found = workloads(
        tmp_path,
        platform_deployment_mode="Knative",
        platform_replicas="2",
        knative_serving_state="existing" if existing else "managed",
        knative_serving_resources={"activator": {"requests": {"cpu": "1"}}},
        kserve_replicas=1,
    )
    assert found["kserve-controller-manager"][0] == 1
    assert found["3scale-kourier-gateway"] == (2, {"cpu": "200m", "memory": "200Mi"})
    assert found.get("activator") == (None if existing else (2, {"cpu": "1", "memory": "60Mi"}))
    assert len(found) == (3 if existing else 7)
