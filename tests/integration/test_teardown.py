# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""teardown.yml uninstalls the platform, only after its models, and site.yml installs it again.

The tests depend on each other in the order of this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from local.settings import Settings
from tests.integration.conftest import reason

from .test_trouble import Done, says

Playbook = Callable[..., Done]
Kubectl = Callable[..., str]
CRDs = Callable[[], set[str]]
SERVICES = "inferenceservices.serving.kserve.io"
# By deployment mode: the API groups of the platform's CRDs, its namespaces besides KServe's, and its other resources.
GROUPS = {
    "Standard": ("serving.kserve.io", "gateway.networking.k8s.io", "projectcontour.io"),
    "Knative": ("serving.kserve.io", ".knative.dev", "cert-manager.io"),
}
NAMESPACES = {"Standard": {"projectcontour"}, "Knative": {"knative-serving", "kourier-system", "cert-manager"}}
LONG = 500  # seconds: the timeout of a playbook that installs


@pytest.fixture
def crds(kubectl: Kubectl, settings: Settings) -> CRDs:
    """The names of the platform's CRDs."""

    def get() -> set[str]:
        names = kubectl("get", "crds", "-o", "name").split()
        return {name.rpartition("/")[2] for name in names if name.endswith(GROUPS[settings.mode])}

    return get


def recap(result: Done, word: str) -> int:
    """A count of the play recap, such as that of changed."""
    found = re.search(rf"^local +:.* {word}=(\d+)", result.stdout, re.MULTILINE)
    assert found, result.stdout[-2000:]
    return int(found[1])


@pytest.fixture
def foreign(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A stopped InferenceService that another field manager owns."""
    spec = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://nothing/here/"}}}
    metadata = {"name": "theirs", "namespace": "others", "annotations": {"serving.kserve.io/stop": "true"}}
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": spec,
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "others"}}
    file = tmp_path / "others.yml"
    file.write_text(yaml.safe_dump_all([namespace, service]))
    kubectl("apply", "-f", str(file))
    yield "others/theirs"
    kubectl("delete", "-f", str(file), "--timeout=60s")


def test_the_platform_is_retained_while_unmanaged_models_exist(playbook: Playbook, crds: CRDs, foreign: str) -> None:
    before = crds()
    result = playbook("playbooks/teardown.yml", "-e", "platform_teardown_models=delete")
    says(result, f"InferenceServices in other namespaces than ml-models need the platform: {foreign}.")
    assert recap(result, "changed") == 0
    assert crds() == before


def test_the_platform_is_retained_while_models_are_served(playbook: Playbook) -> None:
    result = playbook("playbooks/teardown.yml")
    says(
        result,
        "because these InferenceServices exist: ml-models/",
        "ml-models/iris-classifier",
        "Set platform_teardown_models to delete",
    )
    assert recap(result, "changed") == 0


@pytest.fixture
def shared(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """An existing namespace, to which the role model_namespace has added its labels."""
    kubectl("create", "namespace", "shared")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    file = tmp_path / "shared.yml"
    file.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shared", "labels": labels}})
    )
    kubectl("apply", "--server-side", "--field-manager=hashfoundry.kserve", "-f", str(file))
    yield "shared"
    kubectl("delete", "namespace", "shared", "--timeout=60s")


def test_the_platform_is_uninstalled_with_its_models_and_the_bucket_is_retained(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, crds: CRDs, shared: str
) -> None:
    words = json.dumps({"platform_teardown_models": "delete", "platform_teardown_namespaces": ["ml-models", shared]})
    before = crds()
    result = playbook("playbooks/teardown.yml", "--check", "-e", words, timeout=LONG)
    assert result.returncode == 0, reason(result)
    assert crds() == before
    result = playbook("playbooks/teardown.yml", "-e", words, timeout=LONG)
    assert result.returncode == 0, reason(result)
    assert crds() == set()
    spaces = {name.rpartition("/")[2] for name in kubectl("get", "namespaces", "-o", "name").split()}
    assert not spaces & {"ml-models", "kserve", *NAMESPACES[settings.mode]}
    assert {"object-storage", shared} <= spaces
    webhooks = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
    assert not re.search("kserve|knative|cert-manager", kubectl("get", webhooks, "-o", "name"))
    # Including those of a deployer account that an earlier test may have created.
    assert "deployer" not in kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")


def test_a_second_uninstall_changes_nothing(playbook: Playbook) -> None:
    result = playbook("playbooks/teardown.yml", "-e", "platform_teardown_models=delete")
    assert result.returncode == 0, reason(result)
    assert recap(result, "changed") == 0


def controller(kubectl: Kubectl) -> str:
    """The image of KServe's controller."""
    path = "jsonpath={.spec.template.spec.containers[?(@.name=='manager')].image}"
    return kubectl("get", "deployment", "kserve-controller-manager", "-n", "kserve", "-o", path)


def test_site_installs_everything_again(playbook: Playbook, kubectl: Kubectl) -> None:
    result = playbook("playbooks/site.yml", timeout=LONG)
    assert result.returncode == 0, reason(result)
    assert controller(kubectl).endswith(":v0.20.0")
