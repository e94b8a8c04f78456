# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring is uninstalled, and the models do not notice. It runs as the last of the scenario."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from local import demo
from local.settings import Settings

from .conftest import Playbook, reason
from .helpers import objects

Kubectl = Callable[..., str]
ABSENT = ("playbooks/addons.yml", "-e", "platform_monitoring=absent")


def pods(kubectl: Kubectl) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in objects(kubectl, "pods", "-n", "ml-models")}


def left(kubectl: Kubectl) -> list[str]:
    """What belongs to monitoring: its namespace, CRDs, ClusterRoles, and what NetworkPolicies allow it."""
    found = [
        f"{kind} {one['metadata']['name']}"
        for kind in ("namespaces", "customresourcedefinitions", "clusterroles", "clusterrolebindings")
        for one in objects(kubectl, kind)
        if not one["metadata"]["name"].startswith("system:")
        and any(word in one["metadata"]["name"] for word in ("monitoring", "prometheus", "kube-state-metrics"))
    ]
    policies = objects(kubectl, "networkpolicies", "-A")
    return found + [f"NetworkPolicy {one['metadata']['name']}" for one in policies if '"monitoring"' in json.dumps(one)]


def test_monitoring_is_uninstalled_and_the_models_serve_on(
    kubectl: Kubectl, playbook: Playbook, settings: Settings
) -> None:
    assert left(kubectl)  # or there was nothing to uninstall
    # The Role of the deployer account, which account.yml has created, would keep the namespace.
    kubectl("delete", "role,rolebinding", "deployer", "-n", "monitoring", "--ignore-not-found")
    before = pods(kubectl)
    first = playbook(*ABSENT)
    assert first.returncode == 0, reason(first)
    assert left(kubectl) == []
    # None is new; in Knative mode some may have scaled to zero.
    assert pods(kubectl).items() <= before.items()
    for name in demo.QUESTIONS:
        subprocess.run(demo.curl(settings, name), capture_output=True, check=True)
    second = playbook(*ABSENT)
    assert second.returncode == 0 and "changed=0" in second.stdout, reason(second)
    # It costs no task that a cluster without monitoring would not have.
    assert "monitoring : " not in second.stdout
