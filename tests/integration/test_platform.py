# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An existing platform, a platform from a mirror, untested versions, and uninstalling.

What is uninstalled here is a small operator of the tests: its CRD, a custom resource, and what belongs to them.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.settings import REPOSITORY, Settings
from tests.integration.conftest import Kubectl, Playbook, reason

Apply = Callable[..., dict[str, Any]]
SPACE = "absent-probe"
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.absent.hashfoundry.local"},
    "spec": {
        "group": "absent.hashfoundry.local",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


def widget(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "absent.hashfoundry.local/v1",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": SPACE},
    }


OPERATOR: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
    CRD,
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": SPACE}, "data": {"a": "1"}},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s", "namespace": SPACE}},
    widget("ours"),
]


@pytest.fixture
def apply(playbook_env: dict[str, str], settings: Settings, kubectl: Kubectl) -> Iterator[Apply]:
    """Run the module manifests on the operator: apply(state="absent"). The rest is deleted at the end."""

    def run(
        definitions: list[dict[str, Any]] | None = None, check_mode: bool = False, **options: Any
    ) -> dict[str, Any]:
        arguments = {"definitions": definitions or OPERATOR, "kubeconfig": str(settings.kubeconfig), **options}
        program = Path(sys.executable).with_name("ansible")
        words = ["-i", "inventories/local", "local", "-m", "hashfoundry.kserve.manifests", "-a", json.dumps(arguments)]
        words += ["--check"] if check_mode else []
        completed = subprocess.run(
            [program, *words], cwd=REPOSITORY, env=playbook_env, capture_output=True, text=True, check=False
        )
        result: dict[str, Any] = yaml.safe_load(completed.stdout.partition("=>")[2])
        return result

    yield run
    kubectl("delete", "namespace", SPACE, "--ignore-not-found")
    kubectl("delete", "crd", CRD["metadata"]["name"], "--ignore-not-found")


def actions(result: dict[str, Any]) -> dict[str, str]:
    return {entry["kind"]: entry["action"] for entry in result["objects"]}


def test_only_applied_objects_are_deleted_and_only_when_unused(apply: Apply, kubectl: Kubectl, tmp_path: Path):
    assert apply()["counts"]["created"] == 5
    theirs = tmp_path / "theirs.json"
    theirs.write_text(json.dumps(widget("theirs")))
    kubectl("apply", "-f", str(theirs))

    refused = apply(state="absent")
    assert "1 of widgets.absent.hashfoundry.local; delete them first" in refused["msg"]

    kept = apply(state="absent", in_use="keep")
    assert actions(kept) == {
        "Widget": "deleted",
        "ServiceAccount": "deleted",
        "ConfigMap": "deleted",
        "CustomResourceDefinition": "kept",
        "Namespace": "kept",
    }
    reasons = {entry["kind"]: entry["reason"] for entry in kept["kept"]}
    assert reasons["Namespace"] == "it holds Widget theirs"
    assert kubectl("get", "widgets.absent.hashfoundry.local", "-n", SPACE, "-o", "name").count("/") == 1

    kubectl("delete", "widgets.absent.hashfoundry.local", "theirs", "-n", SPACE)
    assert apply(check_mode=True, state="absent")["counts"]["deleted"] == 2
    assert kubectl("get", "crd", CRD["metadata"]["name"], "-o", "name")
    deleted = apply(state="absent")
    assert actions(deleted)["CustomResourceDefinition"] == actions(deleted)["Namespace"] == "deleted"
    # The module waits for the deletion: everything can be re-created at once.
    assert apply()["counts"]["created"] == 5
    assert apply(state="absent")["counts"] == {"deleted": 5, "kept": 0, "absent": 0}
    assert apply(state="absent")["changed"] is False


@pytest.fixture
def repository_of_charts(settings: Settings, tmp_path: Path) -> Iterator[str]:
    """The URL of a chart repository with the chart probe 1.2.3, packaged and read by Helm."""
    chart, folder = tmp_path / "probe", tmp_path / "repository"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: probe, version: 1.2.3}")
    (chart / "templates" / "config.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\n"
        "data: {of: '{{ .Release.Namespace }}', word: {{ .Values.word | quote }}}\n"
    )
    helm = settings.state / "bin" / "helm"
    for words in (["package", chart, "--destination", folder], ["repo", "index", folder]):
        subprocess.run([helm, *words], check=True, capture_output=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_chart_comes_from_a_repository(
    apply: Apply, kubectl: Kubectl, settings: Settings, repository_of_charts: str
) -> None:
    chart = {"ref": "probe", "repository": repository_of_charts, "release": "mine", "values": {"word": "it's: #1"}}
    helm = str(settings.state / "bin" / "helm")

    def of_version(version: str) -> dict[str, Any]:
        return apply(OPERATOR[:1], charts=[{**chart, "version": version}], helm=helm, namespace=SPACE)

    assert of_version("1.2.3")["counts"]["created"] == 2
    data = json.loads(kubectl("get", "configmap", "mine", "-n", SPACE, "-o", "jsonpath={.data}"))
    assert data == {"of": SPACE, "word": "it's: #1"}
    assert of_version("1.2.3")["changed"] is False
    assert of_version("9.9.9")["msg"].startswith("Helm does not render the chart probe: ")


LOOP = """
- hosts: clusters
  gather_facts: false
  tasks:
    - hashfoundry.kserve.platform_info:
        components: "{{ item }}"
        kubeconfig: "{{ platform_kubeconfig }}"
      loop: [[kserve], [], [kserve]]
      register: found
      until: found.attempts > 1
      retries: 3
      delay: 0
    - ansible.builtin.assert:
        that: found.results | map(attribute='components') | map('length') | list == [1, 0, 1]
"""


def test_the_items_of_a_loop_and_a_retry_reach_the_cluster(playbook: Playbook, tmp_path: Path) -> None:
    """The kubeconfig embeds its certificates, which the Kubernetes client keeps in files until its process exits."""
    book = tmp_path / "loop.yml"
    book.write_text(LOOP)
    result = playbook(book)
    assert result.returncode == 0, reason(result)


def test_an_object_that_is_not_deleted_is_reported_and_a_second_run_succeeds(apply: Apply, kubectl: Kubectl):
    apply()
    where = ("widgets.absent.hashfoundry.local", "ours", "-n", SPACE)
    kubectl("patch", *where, "--type=merge", "-p", '{"metadata":{"finalizers":["absent.hashfoundry.local/clean"]}}')
    stuck = apply(state="absent", wait_timeout=2)
    assert "Widget absent-probe/ours is not gone after 2 seconds: its finalizers absent.hash" in stuck["msg"]
    # Objects that a controller may need to finalize it, such as its ServiceAccount, still exist.
    assert stuck["counts"]["deleted"] == 1
    kubectl("patch", *where, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert apply(state="absent")["counts"] == {"deleted": 4, "kept": 0, "absent": 1}


def test_a_controller_starts_when_its_crds_are_available(kubectl: Kubectl):
    """A controller that starts before its CRDs are available exits, and is restarted within its first minute."""
    selector = "control-plane=kserve-controller-manager"
    pods = json.loads(kubectl("get", "pods", "-n", "kserve", "-l", selector, "-o", "json"))["items"]
    assert pods
    for pod in pods:
        made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
        for status in pod["status"]["containerStatuses"]:
            ended = status.get("lastState", {}).get("terminated")
            assert not ended or (datetime.fromisoformat(ended["finishedAt"]) - made).total_seconds() > 60


ADDONS = ("playbooks/addons.yml", "--tags", "cluster_preflight")
PLATFORM = ("playbooks/addons.yml", "--tags", "cluster_preflight,gateway,kserve")


def test_an_untested_pair_of_versions(playbook: Playbook, kubectl: Kubectl, tmp_path: Path):
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "cert-manager",
            "labels": {"app.kubernetes.io/name": "cert-manager", "app.kubernetes.io/version": "v1.13.0"},
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "foreign"}},
            "template": {
                "metadata": {"labels": {"app": "foreign"}},
                "spec": {"containers": [{"name": "c", "image": "quay.io/jetstack/cert-manager-controller:v1.13.0"}]},
            },
        },
    }
    file = tmp_path / "foreign.json"
    file.write_text(json.dumps(foreign))
    state = ("-e", "platform_certificates_provider=cert_manager", "-e", "cert_manager_state=existing")
    kubectl("create", "namespace", "foreign-versions")
    try:
        kubectl("apply", "-n", "foreign-versions", "-f", str(file))
        refused = playbook(*ADDONS, *state)
        warned = playbook(*ADDONS, *state, "-e", "cluster_preflight_untested=warn")
    finally:
        kubectl("delete", "namespace", "foreign-versions", "--wait=false")
    says = "These versions are untested together on local: KServe v0.20.0 with cert-manager v1.13.0."
    assert refused.returncode != 0 and says in " ".join(refused.stdout.split())
    assert warned.returncode == 0 and says in " ".join(warned.stdout.split())


def test_a_cluster_that_is_too_old(playbook: Playbook, kubectl: Kubectl, tmp_path: Path):
    document = yaml.safe_load((REPOSITORY / "meta" / "version_sets.yml").read_text())
    document["sets"][document["default"]]["kubernetes"] = {"min": "1.99", "max": "1.99"}
    sets = tmp_path / "sets.yml"
    sets.write_text(yaml.safe_dump(document))
    result = playbook(*ADDONS, "-e", f"platform_version_sets_file={sets}")
    version = json.loads(kubectl("get", "--raw", "/version"))["gitVersion"]
    says = f"Kubernetes {version} is too old for the version set {document['default']}, which needs 1.99 or newer"
    assert result.returncode != 0 and says in " ".join(result.stdout.split())


def test_existing_components_are_detected_and_not_changed(playbook: Playbook, kubectl: Kubectl):
    before = kubectl(
        "get", "deployments,configmaps", "-n", "kserve", "-o", "jsonpath={.items[*].metadata.resourceVersion}"
    )
    states = ("-e", "gateway_state=existing", "-e", "kserve_state=existing")
    result = playbook(*PLATFORM, *states)
    printed = " ".join(result.stdout.split())
    assert result.returncode == 0 and "changed=0" in printed
    assert "The existing KServe is healthy: version v0.20.0, namespace kserve." in printed
    assert "The existing Gateway API is healthy: version v1.3.0." in printed
    assert "The existing Gateway projectcontour/models is healthy." in printed
    assert before == kubectl(
        "get", "deployments,configmaps", "-n", "kserve", "-o", "jsonpath={.items[*].metadata.resourceVersion}"
    )
    wrong = playbook(*PLATFORM, *states, "-e", "gateway_name=nobodys")
    says = "The existing Gateway projectcontour/nobodys is not healthy: the cluster has no such Gateway."
    assert wrong.returncode != 0 and says in " ".join(wrong.stdout.split())


ORIGINAL = re.compile(r"(?:docker|ghcr|gcr|nvcr|quay)\.io/[\w./-]+:[\w.-]+")


def test_all_images_come_from_the_mirror(playbook: Playbook, kubectl: Kubectl, tmp_path: Path):
    registries = {f"{name}.io": f"mirror.example.com/{name}" for name in ("docker", "ghcr", "gcr", "nvcr", "quay")}
    digest = f"sha256:{'1' * 64}"
    images = {"registries": registries, "digests": {"docker.io/kserve/kserve-controller:v0.20.0": digest}}
    variables = tmp_path / "images.json"
    variables.write_text(json.dumps({"platform_images": images}))
    result = playbook(*PLATFORM, "--check", "--diff", "-e", f"@{variables}")
    assert result.returncode == 0, reason(result)
    lines = result.stdout.splitlines()
    # Each line with an image of an upstream registry is removed, and none is added.
    removed = " ".join(line for line in lines if line.startswith("-"))
    come = [line for line in lines if line.startswith("+")]
    assert [line for line in come if ORIGINAL.search(line)] == []
    assert f"mirror.example.com/docker/kserve/kserve-controller:v0.20.0@{digest}" in " ".join(come)
    there = " ".join(
        kubectl("get", *what, "-o", "yaml")
        for what in (
            ("deployment", "kserve-controller-manager", "-n", "kserve"),
            ("deployment", "contour-gateway-provisioner", "-n", "projectcontour"),
            ("clusterservingruntimes",),
            ("clusterstoragecontainers",),
        )
    )
    named = {image for image in re.findall(r"image: (\S+)", there) if not image.startswith("hashfoundry.local/")}
    assert len(named) > 10 and {image for image in named if f"{image} " not in f"{removed} "} == set()
    # The images that the controller adds to pods are set in the JSON of its ConfigMap.
    config = " ".join(come).replace(" ", "")
    assert "mirror.example.com/docker/kserve/storage-initializer:v0.20.0" in config
    assert "mirror.example.com/docker/kserve/agent:v0.20.0" in config


def test_a_manifest_is_downloaded_once_and_only_with_its_checksum(
    playbook: Playbook, settings: Settings, tmp_path: Path
):
    manifest = settings.state / "sources" / "contour" / "examples" / "render" / "contour-gateway-provisioner.yaml"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    paths: list[str] = []

    class Mirror(SimpleHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            paths.append(self.path)

    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Mirror, directory=manifest.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{manifest.name}"
        words = ("playbooks/addons.yml", "--check", "--tags", "gateway", "-e", f"gateway_manifest={address}", "-e")
        wrong = playbook(*words, f"gateway_manifest_sha256={'0' * 64}", env=cache)
        assert wrong.returncode != 0 and "The checksum for" in wrong.stdout and not list(tmp_path.rglob("*.yaml"))
        right = playbook(*words, f"gateway_manifest_sha256={digest}", env=cache)
        assert right.returncode == 0, right.stdout
        assert [path.read_bytes() for path in tmp_path.rglob("*.yaml")] == [manifest.read_bytes()]
        before = len(paths)
        assert playbook(*words, f"gateway_manifest_sha256={digest}", env=cache).returncode == 0
        assert len(paths) == before
        server.shutdown()
