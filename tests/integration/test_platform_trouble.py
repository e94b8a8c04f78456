# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the cluster during a playbook: it reports the fault or resumes, and the next run finishes.

The cluster is real. Each test repairs the fault that it causes, and ends with a successful run of the playbook.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from local import demo
from local.settings import Settings
from tests.integration.conftest import Docker, OnNode, errors, reason

from .helpers import one_line, wait_until
from .policy_pods import Pods, named, running
from .test_trouble import Done, says
from .test_watch_survives import Handler, kill_api_server, proxied

Playbook = Callable[..., Done]
Kubectl = Callable[..., str]
PLATFORM = ("playbooks/addons.yml", "--tags", "cluster_preflight,kserve")
CRD = "crd/inferenceservices.serving.kserve.io"
ENOUGH = 30  # attempts of a client, about three seconds
UNRESTRICTED = 60  # the most seconds after its first attempt, on a node whose pods all start at once
RUNTIME = "clusterservingruntime/kserve-pmmlserver"  # no model of the tests uses it


def assert_succeeded(result: Done) -> None:
    """Assert that a run has succeeded."""
    assert result.returncode == 0, reason(result)


def test_a_cluster_that_is_too_old(
    playbook: Playbook, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_on = Handler.do_GET

    def answer(handler: Handler) -> None:
        if handler.path.partition("?")[0].rstrip("/") != "/version":
            passed_on(handler)
            return
        body = json.dumps({"major": "1", "minor": "28", "gitVersion": "v1.28.15"}).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        BaseHTTPRequestHandler.end_headers(handler)
        handler.wfile.write(body)

    monkeypatch.setattr(Handler, "do_GET", answer)
    # The real API server, except for its version: no older one can run beside it.
    with proxied(settings, tmp_path) as proxy:
        result = playbook("playbooks/addons.yml", "-e", f"platform_kubeconfig={proxy.kubeconfig}", timeout=60)
    says(result, "Kubernetes v1.28.15 is too old for the version set kserve-0.20, which needs 1.33 or newer")
    assert len(errors(result)) == 1


@pytest.fixture
def owned_by_helm(kubectl: Kubectl) -> Iterator[None]:
    """The CRD of InferenceService, with the labels, annotations and field manager of a Helm release."""
    release = ("meta.helm.sh/release-name=their-kserve", "meta.helm.sh/release-namespace=theirs")
    managers = json.loads(kubectl("get", CRD, "-o", "json", "--show-managed-fields"))["metadata"]["managedFields"]
    manage = {"op": "replace", "path": "/metadata/managedFields"}
    kubectl("patch", CRD, "--type=json", "-p", json.dumps([{**manage, "value": [{}]}]))
    kubectl("annotate", CRD, "--field-manager=helm", *release)
    yield
    kubectl("annotate", CRD, *(word.replace(word[word.index("=") :], "-") for word in release))
    # An adopted CRD has two field managers, and is retained when the platform is uninstalled.
    kubectl("patch", CRD, "--type=json", "-p", json.dumps([{**manage, "value": managers}]))


@pytest.mark.usefixtures("owned_by_helm")
def test_a_crd_of_another_owner(playbook: Playbook) -> None:
    result = playbook(*PLATFORM)
    says(
        result,
        "Nothing is applied, since these CRDs are managed by another owner: "
        "inferenceservices.serving.kserve.io by the Helm release theirs/their-kserve; leave them to it, or set adopt "
        "to take them over.",
    )
    assert len(errors(result)) == 1
    assert_succeeded(playbook(*PLATFORM, "-e", "platform_adopt=true"))
    # It is managed from then on.
    assert_succeeded(playbook(*PLATFORM))


@pytest.fixture
def silent_webhook(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A webhook for runtimes whose endpoint does not answer, and a runtime to be re-created."""
    name = "silent.hashfoundry.local"
    # TEST-NET-1 of RFC 5737, where no host answers.
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "silent", "namespace": "kserve", "labels": {"kubernetes.io/service-name": "silent"}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": 443}],
        "endpoints": [{"addresses": ["192.0.2.1"]}],
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "silent", "namespace": "kserve"},
        "spec": {"ports": [{"name": "https", "port": 443}]},
    }
    rule = {"apiGroups": ["serving.kserve.io"], "apiVersions": ["*"], "operations": ["*"]}
    webhook = {
        "name": name,
        "clientConfig": {"service": {"name": "silent", "namespace": "kserve"}},
        "rules": [{**rule, "resources": ["clusterservingruntimes"]}],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "silent"},
        "webhooks": [webhook],
    }
    file = tmp_path / "silent.yml"
    file.write_text(yaml.safe_dump_all([service, endpoints, configuration]))
    kubectl("delete", RUNTIME, "--ignore-not-found")
    kubectl("apply", "-f", str(file))
    yield name
    kubectl("delete", "-f", str(file), "--ignore-not-found")


def test_a_webhook_that_never_answers(playbook: Playbook, kubectl: Kubectl, silent_webhook: str) -> None:
    began = time.monotonic()
    result = playbook(*PLATFORM, "-e", "kserve_timeout=6")
    assert time.monotonic() - began < 60
    says(
        result,
        "ClusterServingRuntime kserve-pmmlserver is not applied, since a webhook has not answered within 6 seconds:",
        f'failed calling webhook "{silent_webhook}"',
        "check the Deployment and the Service behind the webhook.",
    )
    assert len(errors(result)) == 1
    kubectl("delete", "validatingwebhookconfiguration", "silent")
    assert_succeeded(playbook(*PLATFORM))
    assert kubectl("get", RUNTIME, "-o", "name").strip()


CA = ("secret", "hashfoundry-ca", "-n", "hashfoundry-system")


@pytest.fixture
def unreadable_ca(kubectl: Kubectl) -> Iterator[None]:
    """The CA's Secret with an unreadable certificate, written by another field manager."""
    before = json.loads(kubectl("get", *CA, "-o", "json"))
    garbage = base64.b64encode(b"not a certificate").decode()
    metadata = {"labels": dict.fromkeys(before["metadata"]["labels"])}
    kubectl("patch", *CA, "--type=merge", "-p", json.dumps({"metadata": metadata, "data": {"tls.crt": garbage}}))
    yield
    kept = {"metadata": {"labels": before["metadata"]["labels"]}, "data": {"tls.crt": before["data"]["tls.crt"]}}
    kubectl("patch", *CA, "--type=merge", "-p", json.dumps(kept))


@pytest.mark.usefixtures("unreadable_ca")
def test_a_certificate_that_cannot_be_issued(playbook: Playbook) -> None:
    words = ("playbooks/addons.yml", "--tags", "cluster_preflight,certificates")
    result = playbook(*words)
    says(
        result,
        "Secret hashfoundry-system/hashfoundry-ca exists already and is not managed by this module; name another "
        "Secret, or give this one the label",
    )
    assert len(errors(result)) == 1


def test_a_certificate_is_issued_once_the_ca_is_restored(playbook: Playbook) -> None:
    result = playbook("playbooks/addons.yml", "--tags", "cluster_preflight,certificates")
    assert_succeeded(result)
    assert "changed=0" in result.stdout


def run_with_fault(playbook: Playbook, kubectl: Kubectl, break_it: Callable[[], object]) -> Done:
    """Run addons.yml, and cause a fault while it waits for the rollout of KServe's controller."""
    kubectl("delete", "deployment", "kserve-controller-manager", "-n", "kserve", "--timeout=60s")
    words = ("get", "deployment", "kserve-controller-manager", "-n", "kserve", "-o", "name", "--ignore-not-found")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(playbook, "playbooks/addons.yml", timeout=600)
        what = "the controller's Deployment is re-created"
        wait_until(lambda: kubectl(*words).strip() or running.done(), pause=0.05, what=what)
        assert not running.done(), running.result().stdout
        break_it()
        return running.result()


def wait_for_predictions(settings: Settings) -> None:
    """Wait until the model returns the expected predictions."""

    def answers() -> bool:
        result = subprocess.run(demo.curl(settings), capture_output=True, text=True, check=False)
        return result.returncode == 0 and json.loads(result.stdout) == {"predictions": [0, 2]}

    wait_until(answers, what="the model answers")


def wait_for_api_server(kubectl: Kubectl, seconds: float = 120) -> None:
    readyz = ("get", "--raw=/readyz")
    wait_until(lambda: kubectl(*readyz, check=False), lambda text: text == "ok", seconds, what="/readyz returns ok")


def test_the_api_server_restarts_during_a_run(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, on_node: OnNode
) -> None:
    result = run_with_fault(playbook, kubectl, lambda: kill_api_server(on_node))
    assert_succeeded_or_explained(result)
    wait_for_api_server(kubectl)
    assert_succeeded(playbook("playbooks/addons.yml"))
    wait_for_predictions(settings)


def assert_succeeded_or_explained(result: Done) -> None:
    """Assert that a run has succeeded, or failed with one sentence about the API server."""
    assert "Traceback (most recent call last)" not in one_line(result.stdout)
    if result.returncode:
        assert len(errors(result)) == 1, result.stdout[-3000:]
        sentences = ("API server", "does not answer", "has not answered")
        assert any(sentence in " ".join(errors(result)) for sentence in sentences), result.stdout[-3000:]


@pytest.fixture
def _same_address(docker: Docker, node: str) -> Iterator[None]:
    """The node keeps its address when it restarts, as a machine does.

    Docker assigns the lowest free address, and that of a deleted cluster may be lower. Then no policy would allow
    traffic to the API server until namespace_security is applied again.
    """

    def address(container: str) -> IPv4Address:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return IPv4Address(docker("inspect", "--format", form, container).strip())

    image = docker("inspect", "--format", "{{.Image}}", node).strip()
    taken: list[str] = []
    try:
        while not taken or address(taken[-1]) < address(node):
            taken.append(docker("run", "--detach", "--network=kind", "--entrypoint=sleep", image, "900").strip())
        yield
    finally:
        docker("rm", "--force", "--volumes", *taken)


@pytest.fixture
def peers(kubectl: Kubectl, settings: Settings, tmp_path: Path) -> Iterator[Pods]:
    """A server behind a Service, a client that its policy allows, and one that it does not."""
    with running(kubectl, tmp_path, "restart") as pods:
        pods.server("server")
        # The pods get other IP addresses when the node restarts; that of the Service remains.
        address = pods.service("server")
        pods.apply(pods.policy("peers", [named("friend")]))
        for client in ("friend", "stranger"):
            pods.client(client, address)
        pods.await_state("friend", True)
        if settings.network_policies:
            pods.await_state("stranger", False)
        yield pods


def last(pods: Pods, client: str, since: float) -> set[bool]:
    """Which results the last new connections of a client since a time had; none if they are few."""
    found = [one for one in pods.attempts(client, since) if one.kind == "new"]
    return {one.open for one in found[-ENOUGH:]} if len(found) >= ENOUGH else set()


def assert_closed_again(pods: Pods, since: float) -> None:
    """Assert that policies are enforced again after the node has restarted.

    The rules were in its kernel, so that every pod is unrestricted until the agent has written them again.
    """
    wait_until(lambda: last(pods, "friend", since), lambda found: found == {True}, what="the friend is let through")
    wait_until(lambda: last(pods, "stranger", since), lambda found: found == {False}, what="the stranger is not")
    assert last(pods, "friend", since) == {True}  # and the server answers
    attempts = pods.attempts("stranger", since)
    unrestricted = max((one.when for one in attempts if one.open), default=attempts[0].when) - attempts[0].when
    print(f"After the restart of the node its pods were unrestricted for {unrestricted:.1f} s.")
    assert unrestricted < UNRESTRICTED


@pytest.mark.usefixtures("_same_address")
def test_the_node_restarts_during_a_run(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, docker: Docker, node: str, peers: Pods
) -> None:
    restarted = []

    def restart() -> None:
        restarted.append(time.time())
        docker("restart", "--time=0", node)

    result = run_with_fault(playbook, kubectl, restart)
    assert_succeeded_or_explained(result)
    wait_for_api_server(kubectl, 240)
    if settings.network_policies:
        assert_closed_again(peers, restarted[0])
    assert_succeeded(playbook("playbooks/site.yml", timeout=500))
    wait_for_predictions(settings)
