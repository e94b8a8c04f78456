# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a platform: taken away and not before its models, installed in an earlier version, and upgraded.

The tests build on each other in the order of this file, and leave the cluster as site.yml does. Both versions of KServe
are real; the earlier one is built from the Go module proxy the first time. The upgrade is of Standard mode,
the rest of both.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import demo
from local.settings import Settings
from tests.integration.conftest import reason

from . import earlier_kserve
from .test_trouble import Done, flat, says

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
COUNTED = {
    "Standard": ("gateways.gateway.networking.k8s.io",),
    "Knative": ("services.serving.knative.dev", "certificates.cert-manager.io"),
}
MODEL = "iris-classifier"
PREDICT = f"/v1/models/{MODEL}:predict"
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


@pytest.fixture(scope="module")
def earlier(settings: Settings) -> list[str]:
    """The options of ansible-playbook with which site.yml installs the earlier KServe; none where there is none."""
    # KServe v0.19.0 refuses to finish an InferenceService that names Knative as its mode: its validator takes an empty
    # status for Standard (inference_service_validation.go, validateDeploymentMode).
    found = earlier_kserve.provide(settings) if settings.mode == "Standard" else None
    if not found:
        return []
    version, charts = found
    words: dict[str, Any] = {"kserve_version": version, "kserve_chart_source": str(charts)}
    # The images of models and initializers are those that the cluster has.
    words["kserve_values"] = {"kserve": {"storage": {"tag": "v0.20.0"}}}
    return ["-e", json.dumps({**words, "cluster_preflight_untested": "warn"})]


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
    says(done, f"InferenceServices of other namespaces than ml-models need the platform: {foreign}; delete them first")
    assert recap(done, "changed") == 0
    assert kinds() == before


def test_the_platform_stays_while_models_are_served(playbook: Playbook) -> None:
    done = playbook("playbooks/teardown.yml")
    says(
        done,
        "since models are served: ml-models/",
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


@pytest.fixture
def upgradable(earlier: list[str], settings: Settings) -> None:
    if settings.mode == "Knative":
        pytest.skip("KServe v0.19.0 serves no model that names Knative as its mode.")
    if not earlier:
        pytest.skip("KServe v0.19.0 is not in the cache; HASHFOUNDRY_EARLIER_KSERVE=1 builds it, in half an hour.")


def test_site_brings_everything_back_in_the_earlier_version(
    playbook: Playbook, kubectl: Kubectl, earlier: list[str]
) -> None:
    done = playbook("playbooks/site.yml", *earlier, timeout=LONG)
    assert done.returncode == 0, reason(done)
    assert controller(kubectl).endswith(":v0.19.0" if earlier else ":v0.20.0")


def controller(kubectl: Kubectl) -> str:
    path = "jsonpath={.spec.template.spec.containers[?(@.name=='manager')].image}"
    return kubectl("get", "deployment", "kserve-controller-manager", "-n", "kserve", "-o", path)


@pytest.mark.usefixtures("upgradable")
def test_an_upgrade_over_two_versions_is_refused_with_the_way(playbook: Playbook) -> None:
    words = {"kserve_version": "v0.21.0", "cluster_preflight_untested": "warn"}
    done = playbook("playbooks/upgrade.yml", "-e", json.dumps(words))
    says(
        done,
        "The platform of local is not upgraded, and nothing is changed. KServe goes one minor version at a time, and "
        "from v0.19.0 to v0.21.0 are more: go by v0.20 to v0.21.0.",
    )
    assert recap(done, "changed") == 0


class Load:
    """Asks the model again and again, over one connection at a time, and counts what it says."""

    def __init__(self, settings: Settings) -> None:
        self.answers: Counter[str] = Counter()
        self._settings = settings
        self._context = ssl.create_default_context(cafile=str(settings.state / "ca.crt"))
        self._ended = threading.Event()

    def _ask(self) -> str:
        link = HTTPSConnection(demo.HOST, self._settings.https_port, context=self._context, timeout=10)
        try:
            # To this machine, whatever the name is elsewhere.
            plain = socket.create_connection(("127.0.0.1", self._settings.https_port), timeout=10)
            link.sock = self._context.wrap_socket(plain, server_hostname=demo.HOST)
            link.request("POST", PREDICT, demo.QUESTIONS[MODEL], {"Content-Type": "application/json"})
            answer = link.getresponse()
            body = answer.read()
            return (
                "right" if answer.status == 200 and json.loads(body) == {"predictions": [0, 2]} else str(answer.status)
            )
        except (OSError, HTTPException, ValueError) as error:
            return type(error).__name__
        finally:
            link.close()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            self.answers[self._ask()] += 1

    def stop(self) -> None:
        self._ended.set()


@contextmanager
def loaded(settings: Settings) -> Iterator[Load]:
    load = Load(settings)
    thread = threading.Thread(target=load.run, daemon=True)
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join(30)


def counts(kubectl: Kubectl, mode: str) -> dict[str, int]:
    """How many objects there are of the kinds whose objects somebody makes."""
    plurals = (SERVICES, "clusterservingruntimes.serving.kserve.io", *COUNTED[mode])
    return {plural: len(kubectl("get", plural, "-A", "-o", "name").split()) for plural in plurals}


@pytest.mark.usefixtures("upgradable")
def test_an_upgrade_under_load_loses_neither_objects_nor_requests(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, kinds: Kinds, tmp_path: Path
) -> None:
    before = (counts(kubectl, settings.mode), uid(kubectl))
    known = kinds()
    with loaded(settings) as load:
        done = playbook("playbooks/upgrade.yml", "-e", f"platform_upgrade_backup_folder={tmp_path}", timeout=LONG)
    assert done.returncode == 0, reason(done)
    print(load.answers)
    assert controller(kubectl).endswith(":v0.20.0")
    after = counts(kubectl, settings.mode)
    # A new version may bring kinds and runtimes, and takes none.
    assert known <= kinds()
    assert all(after[plural] >= count for plural, count in before[0].items()), (before, after)
    assert (after[SERVICES], uid(kubectl)) == (before[0][SERVICES], before[1])
    (backup,) = tmp_path.iterdir()
    kept = json.loads((backup / "index.json").read_text())
    assert kept["objects"][SERVICES]["ml-models/iris-classifier"] == uid(kubectl)
    assert "from: v0.19.0 to: v0.20.0" in flat(done.stdout)
    assert load.answers["right"] > 100
    assert set(load.answers) == {"right"}, load.answers


def uid(kubectl: Kubectl) -> str:
    return kubectl("get", SERVICES, "iris-classifier", "-n", "ml-models", "-o", "jsonpath={.metadata.uid}")


LOSS = """
- hosts: clusters
  gather_facts: false
  environment: {K8S_AUTH_KUBECONFIG: "{{ platform_kubeconfig }}"}
  tasks:
    - ansible.builtin.include_role: {name: hashfoundry.kserve.cluster_preflight}
    - ansible.builtin.include_role: {name: hashfoundry.kserve.platform_upgrade}
    - kubernetes.core.k8s:
        state: absent
        api_version: serving.kserve.io/v1alpha1
        kind: ClusterServingRuntime
        name: kserve-pmmlserver
    - ansible.builtin.include_role: {name: hashfoundry.kserve.platform_upgrade}
      vars: {platform_upgrade_stage: after}
"""


def test_a_loss_stops_the_upgrade_and_the_backup_brings_it_back(
    playbook: Playbook, kubectl: Kubectl, playbook_env: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    book = tmp_path / "loss.yml"
    book.write_text(LOSS)
    words = ("-e", f"platform_upgrade_backup_folder={tmp_path}/backups")
    done = playbook(book, *words)
    printed = says(
        done,
        "1 custom resources are gone or were made anew: clusterservingruntimes.serving.kserve.io kserve-pmmlserver",
    )
    # The command of the message, as a person would copy it.
    found = re.search(r"`ansible localhost -m (\S+) -a '(src=\S+ force_conflicts=true kubeconfig=\S+)'`", printed)
    assert found, printed
    command = ["ansible", "localhost", "-m", found[1], "-a", found[2]]
    restored = subprocess.run(command, env=playbook_env, capture_output=True, text=True, check=False)
    assert restored.returncode == 0, flat(restored.stdout + restored.stderr)
    assert "kserve-pmmlserver" in kubectl("get", "clusterservingruntimes", "-o", "name")


def test_site_changes_nothing_after_the_upgrade(playbook: Playbook) -> None:
    done = playbook("playbooks/site.yml")
    assert done.returncode == 0, reason(done)
    assert recap(done, "changed") == 0
