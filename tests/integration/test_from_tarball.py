# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the tarball and a short inventory to predictions, and a custom playbook that uses the roles."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.settings import REPOSITORY, Settings
from tests.integration.conftest import Kubectl, ended, reason
from tests.unit.test_tarball import installed, tarball

# Fixtures are found by their names in this module.
__all__ = ["installed", "tarball"]

NAME = "from-tarball"
OWN = "of-ones-own"
DOMAIN = "ml.hashfoundry.local"
EXAMPLE = REPOSITORY / "docs" / "examples" / "one_model.yml"
TRAIN = (
    "import dataclasses, sys; from model.command import run; from model.iris.recipe import RECIPE; "
    "sys.exit(run(dataclasses.replace(RECIPE, name=sys.argv.pop(1)), 'model.iris', sys.argv[1:]))"
)
# The inventory of a user of the cluster of `make up`: its local sources instead of the Internet, and its only node.
INVENTORY = """---
clusters:
  hosts:
    mine: {{ansible_connection: local, ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"}}
  vars:
    platform_helm: {state}/bin/helm
    kserve_chart_source: {state}/sources/kserve/charts
    gateway_manifest: {state}/sources/contour/examples/render/contour-gateway-provisioner.yaml
    platform_envoy_image: docker.io/envoyproxy/envoy:distroless-v1.38.3
    platform_registry: hashfoundry.local
    platform_replicas: 1
    kserve_controller_resources: {{requests: {{cpu: 100m, memory: 300Mi}}, limits: {{cpu: "1", memory: 512Mi}}}}
    gateway_ingress_class: true
    platform_domain: ml.hashfoundry.local
    platform_https_node_port: 30443
    model_verification_address: 127.0.0.1
    model_verification_port: {https_port}
    model_verification_retries: 10
    platform_object_storage: true
    object_storage_node_port: 30070
    platform_bucket: from-tarball
    platform_endpoint_url: http://127.0.0.1:{s3_port}
    platform_region: us-east-1
    platform_access_key: local-owner
    platform_secret_key: "{{{{ lookup('file', '{state}/s3-secret-key') }}}}"
    models:
      - name: from-tarball
        version: v1
        source: {{folder: {folder}}}
        format: sklearn
        runtime: kserve-sklearnserver
        storage: s3
        resources: {{requests: {{cpu: 50m, memory: 256Mi}}, limits: {{cpu: "1", memory: 512Mi}}}}
        owner: ml-platform
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def trained(name: str, folder: Path) -> Path:
    """Train iris under another name, as a model folder that a user provides."""
    command = [sys.executable, "-c", TRAIN, name, "--output", str(folder), "--version", "v1"]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdin=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def user(installed: Path, settings: Settings, kubectl: Kubectl) -> Iterator[Run]:
    """Run a playbook in a folder that contains only the collection and an inventory."""
    text = INVENTORY.format(
        state=settings.state,
        https_port=settings.https_port,
        s3_port=settings.s3_port,
        folder=trained(NAME, installed / "model"),
    )
    assert len(text.splitlines()) <= 50
    (installed / "inventory.yml").write_text(text)
    excluded_prefixes = ("ANSIBLE_", "HASHFOUNDRY_", "SPACES_", "AWS_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(excluded_prefixes)}
    env |= {"HASHFOUNDRY_STATE": str(settings.state), "ANSIBLE_COLLECTIONS_PATH": "collections"}

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "inventory.yml", *words]
        return ended(command, installed, env, timeout=900)

    yield run
    kubectl("delete", "inferenceservice", NAME, "-n", "ml-models", "--ignore-not-found", "--wait=false")
    kubectl("delete", "namespace", OWN, "--ignore-not-found", "--wait=false")


def answer(settings: Settings, name: str, *options: str) -> Any:
    """Send a prediction request over TLS, as a client without Ansible does; options: further ones of curl."""
    authority = f"{name}.{DOMAIN}:{settings.https_port}"
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--cacert", str(settings.state / "ca.crt")]
    command += ["--resolve", f"{authority}:127.0.0.1", f"https://{authority}/v1/models/{name}:predict"]
    command += [*options, "-d", '{"instances": [[5.1,3.5,1.4,0.2],[6.7,3.1,5.6,2.4]]}']
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def finished(result: subprocess.CompletedProcess[str]) -> int:
    """Assert that a run has succeeded, and return its number of changed tasks."""
    assert result.returncode == 0, reason(result)
    return int(re.findall(r"changed=(\d+)", result.stdout)[-1])


@pytest.fixture(scope="module")
def served(user: Run) -> None:
    """site.yml, from the tarball."""
    finished(user("hashfoundry.kserve.site"))


@pytest.mark.usefixtures("served")
def test_the_model_of_the_inventory_answers(settings: Settings) -> None:
    assert answer(settings, NAME) == {"predictions": [0, 2]}


@pytest.mark.usefixtures("served")
def test_a_second_run_changes_nothing(user: Run) -> None:
    assert finished(user("hashfoundry.kserve.site")) == 0


@pytest.fixture(scope="module")
def custom_playbook(user: Run, installed: Path, settings: Settings, served: None) -> tuple[str, ...]:
    """The example, adapted to this cluster: the arguments of ansible-playbook."""
    shutil.copy(EXAMPLE, installed / "one_model.yml")
    (play,) = yaml.safe_load(EXAMPLE.read_text())
    model = {**play["vars"]["models"][0], "name": OWN, "source": {"folder": str(trained(OWN, installed / OWN))}}
    words = {
        "models": [model],
        "platform_bucket": NAME,
        "platform_endpoint_url": f"http://127.0.0.1:{settings.s3_port}",
        "platform_model_namespace": OWN,
    }
    command = ("one_model.yml", "-e", json.dumps(words))
    assert finished(user(*command)) > 0
    return command


def test_a_custom_playbook_uses_three_roles(custom_playbook: tuple[str, ...], user: Run, settings: Settings) -> None:
    # The roles end when the Gateway's controller has accepted the route, and Envoy, which refuses the TLS handshakes of
    # unknown hosts, has it a moment later. The role that waits for answers, model_verification, is not among the three.
    retries = ("--retry", "10", "--retry-all-errors", "--retry-delay", "1")
    assert answer(settings, OWN, *retries) == {"predictions": [0, 2]}
    assert finished(user(*custom_playbook)) == 0


def test_the_other_playbooks_run_from_the_tarball_too(
    custom_playbook: tuple[str, ...], user: Run, tmp_path: Path
) -> None:
    models, folder = custom_playbook[1:], ("-e", f"folder={tmp_path / 'backup'}")
    finished(user("hashfoundry.kserve.backup", *models, *folder))
    finished(user("hashfoundry.kserve.restore", *models, *folder))
    finished(user("hashfoundry.kserve.rotate_credentials", *models, "--check"))
    finished(user("hashfoundry.kserve.account", "--check"))
    finished(user("hashfoundry.kserve.upgrade", "--check"))
    sentences = {
        "rollback": "No version of of-ones-own before v1 was found in the cluster.",
        "batch": "name the file in the bucket, as in -e input=",
        "teardown": "Nothing was uninstalled from mine, because",
    }
    for name, sentence in sentences.items():
        refused = user(f"hashfoundry.kserve.{name}", *models, "-e", f"model={OWN}", "--check")
        assert refused.returncode != 0
        assert sentence in " ".join(refused.stdout.split())
