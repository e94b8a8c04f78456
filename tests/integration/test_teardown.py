# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform is taken away, and not before its models, and site.yml brings it back.

The tests build on each other in the order of this file.
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
Kinds = Callable[[], set[str]]
SERVICES = "inferenceservices.serving.kserve.io"
# By the mode: the groups whose kinds the platform brings, its namespaces beside KServe's, and kinds of its own objects.
GROUPS = {
    "Standard": ("serving.kserve.io", "gateway.networking.k8s.io", "projectcontour.io"),
    "Knative": ("serving.kserve.io", ".knative.dev", "cert-manager.io"),
}
NAMESPACES = {"Standard": {"projectcontour"}, "Knative": {"knative-serving", "kourier-system", "cert-manager"}}
LONG = 500  # seconds: of a playbook that installs


@pytest.fixture
def kinds(kubectl: Kubectl, settings: Settings) -> Kinds:
    """The names of the definitions of the platform's kinds."""

    def get() -> set[str]:
        names = kubectl("get", "crds", "-o", "name").split()
        return {name.rpartition("/")[2] for name in names if name.endswith(GROUPS[settings.mode])}

    return get


def recap(done: Done, word: str) -> int:
    """A number of the play's recap, such as that of changed."""
    found = re.search(rf"^local +:.* {word}=(\d+)", done.stdout, re.MULTILINE)
    assert found, done.stdout[-2000:]
    return int(found[1])


@pytest.fixture
def foreign(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """An InferenceService of somebody else, which stays stopped."""
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


def test_the_platform_stays_while_others_serve_models(playbook: Playbook, kinds: Kinds, foreign: str) -> None:
    before = kinds()
    done = playbook("playbooks/teardown.yml", "-e", "platform_teardown_models=delete")
    says(done, f"InferenceServices in other namespaces than ml-models need the platform: {foreign}.")
    assert recap(done, "changed") == 0
    assert kinds() == before


def test_the_platform_stays_while_models_are_served(playbook: Playbook) -> None:
    done = playbook("playbooks/teardown.yml")
    says(
        done,
        "because these InferenceServices exist: ml-models/",
        "ml-models/iris-classifier",
        "set platform_teardown_models to delete",
    )
    assert recap(done, "changed") == 0


@pytest.fixture
def shared(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A namespace that somebody else has made, to which the role model_namespace has given its labels."""
    kubectl("create", "namespace", "shared")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    file = tmp_path / "shared.yml"
    file.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shared", "labels": labels}})
    )
    kubectl("apply", "--server-side", "--field-manager=hashfoundry.kserve", "-f", str(file))
    yield "shared"
    kubectl("delete", "namespace", "shared", "--timeout=60s")


def test_the_platform_goes_with_its_models_and_leaves_the_bucket(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, kinds: Kinds, shared: str
) -> None:
    words = json.dumps({"platform_teardown_models": "delete", "platform_teardown_namespaces": ["ml-models", shared]})
    before = kinds()
    done = playbook("playbooks/teardown.yml", "--check", "-e", words, timeout=LONG)
    assert done.returncode == 0, reason(done)
    assert kinds() == before
    done = playbook("playbooks/teardown.yml", "-e", words, timeout=LONG)
    assert done.returncode == 0, reason(done)
    assert kinds() == set()
    spaces = {name.rpartition("/")[2] for name in kubectl("get", "namespaces", "-o", "name").split()}
    assert not spaces & {"ml-models", "kserve", *NAMESPACES[settings.mode]}
    assert {"object-storage", shared} <= spaces
    webhooks = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
    assert not re.search("kserve|knative|cert-manager", kubectl("get", webhooks, "-o", "name"))
    # Of the account that may have been made before, too.
    assert "deployer" not in kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")


def test_a_second_time_there_is_nothing_to_take_away(playbook: Playbook) -> None:
    done = playbook("playbooks/teardown.yml", "-e", "platform_teardown_models=delete")
    assert done.returncode == 0, reason(done)
    assert recap(done, "changed") == 0


def controller(kubectl: Kubectl) -> str:
    """The image of KServe's controller."""
    path = "jsonpath={.spec.template.spec.containers[?(@.name=='manager')].image}"
    return kubectl("get", "deployment", "kserve-controller-manager", "-n", "kserve", "-o", path)


def test_site_brings_everything_back(playbook: Playbook, kubectl: Kubectl) -> None:
    done = playbook("playbooks/site.yml", timeout=LONG)
    assert done.returncode == 0, reason(done)
    assert controller(kubectl).endswith(":v0.20.0")
