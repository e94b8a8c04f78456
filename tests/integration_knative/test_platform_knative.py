# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An existing platform in Knative mode, a platform from a mirror, and an untested version."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.conftest import Kubectl, Playbook, reason

STATES = ("knative_serving_state", "knative_networking_state", "kserve_state")
ROLES = "cluster_preflight,knative_serving,knative_networking,kserve"
PLATFORM = ("playbooks/addons.yml", "--tags", ROLES)
EXISTING = tuple(word for state in STATES for word in ("-e", f"{state}=existing"))


def test_existing_components_are_detected_and_not_changed(playbook: Playbook, kubectl: Kubectl):
    result = playbook(*PLATFORM, *EXISTING)
    printed = " ".join(result.stdout.split())
    assert result.returncode == 0 and "changed=0" in printed
    for sentence in (
        "The existing Knative Serving is healthy: version 1.21.1, namespace knative-serving.",
        "The existing Kourier is healthy: version 1.21.0",
        "The existing KServe is healthy: version v0.20.0, namespace kserve.",
    ):
        assert sentence in printed


def test_an_untested_pair_of_versions(playbook: Playbook, kubectl: Kubectl):
    label = ("label", "deployment", "activator", "-n", "knative-serving", "--overwrite")
    kubectl(*label, "app.kubernetes.io/version=1.18.0")
    try:
        result = playbook("playbooks/addons.yml", "--tags", "cluster_preflight", *EXISTING)
    finally:
        kubectl(*label, "app.kubernetes.io/version=1.21.1")
    says = "These versions are untested together on local: KServe v0.20.0 with Knative Serving 1.18.0"
    assert result.returncode != 0 and says in " ".join(result.stdout.split())


def test_all_images_come_from_the_mirror(playbook: Playbook, tmp_path: Path):
    registries = {"gcr.io/knative-releases": "mirror.example.com/knative", "docker.io": "mirror.example.com/hub"}
    digest = f"sha256:{'1' * 64}"
    queue = "gcr.io/knative-releases/knative.dev/serving/cmd/queue:v1.21.1"
    variables = tmp_path / "images.json"
    images = {"registries": registries, "digests": {queue: digest}}
    variables.write_text(json.dumps({"platform_images": images}))
    result = playbook(*PLATFORM, "--check", "--diff", "-e", f"@{variables}")
    assert result.returncode == 0, reason(result)
    lines = result.stdout.splitlines()
    come = [line for line in lines if line.startswith("+")]
    assert not [line for line in come if "gcr.io/" in line or "docker.io/" in line]
    mirrored = " ".join(come)
    # Knative adds this image to every model pod as a sidecar, and reads it from a ConfigMap.
    assert f"queue-sidecar-image: mirror.example.com/knative/knative.dev/serving/cmd/queue:v1.21.1@{digest}" in mirrored
    for name in ("activator", "autoscaler", "controller", "webhook"):
        assert f"mirror.example.com/knative/knative.dev/serving/cmd/{name}:v1.21.1" in mirrored
    for image in ("knative/knative.dev/net-kourier/cmd/kourier:v1.21.0", "hub/envoyproxy/envoy:distroless-v1.38.3"):
        assert f"mirror.example.com/{image}" in mirrored
    # _example, which documents the keys, is not changed: Knative's webhook rejects changes.
    assert not [line for line in lines if line.startswith(("+", "-")) and "_example" in line]
