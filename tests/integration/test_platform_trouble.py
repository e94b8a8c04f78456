# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the cluster itself is in trouble, a playbook says so or goes on, and the next run finishes the work.

The cluster is the real one. Each test mends what it has broken, and ends with a run of the playbook that succeeds.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from local import demo
from local.settings import Settings
from tests.integration.conftest import Docker, OnNode, errors, reason

from .test_trouble import Done, flat, says
from .test_watch_survives import Handler, kill_api_server, proxied, until

Playbook = Callable[..., Done]
Kubectl = Callable[..., str]
PLATFORM = ("playbooks/addons.yml", "--tags", "cluster_preflight,kserve")
CRD = "crd/inferenceservices.serving.kserve.io"
RUNTIME = "clusterservingruntime/kserve-pmmlserver"  # no model of the tests uses it


def finishes(done: Done) -> None:
    """See that a run has ended well."""
    assert done.returncode == 0, reason(done)


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
    # The real API server but for its version: an older one cannot be had beside it.
    with proxied(settings, tmp_path) as proxy:
        done = playbook("playbooks/addons.yml", "-e", f"platform_kubeconfig={proxy.kubeconfig}", timeout=60)
    says(done, "Kubernetes v1.28.15 is too old for the version set kserve-0.20, which needs 1.33 or newer")
    assert len(errors(done)) == 1


@pytest.fixture
def of_helm(kubectl: Kubectl) -> Iterator[None]:
    """The definition of InferenceServices as Helm would have made it, as far as can be seen from it."""
    release = ("meta.helm.sh/release-name=their-kserve", "meta.helm.sh/release-namespace=theirs")
    managers = json.loads(kubectl("get", CRD, "-o", "json", "--show-managed-fields"))["metadata"]["managedFields"]
    manage = {"op": "replace", "path": "/metadata/managedFields"}
    kubectl("patch", CRD, "--type=json", "-p", json.dumps([{**manage, "value": [{}]}]))
    kubectl("annotate", CRD, "--field-manager=helm", *release)
    yield
    kubectl("annotate", CRD, *(word.replace(word[word.index("=") :], "-") for word in release))
    # What was taken over is of two owners to Kubernetes, and stays when the platform is taken away.
    kubectl("patch", CRD, "--type=json", "-p", json.dumps([{**manage, "value": managers}]))


@pytest.mark.usefixtures("of_helm")
def test_a_definition_of_another_owner(playbook: Playbook) -> None:
    done = playbook(*PLATFORM)
    says(
        done,
        "Nothing is applied, since these CRDs are managed by another owner: "
        "inferenceservices.serving.kserve.io by the Helm release theirs/their-kserve; leave them to it, or set adopt "
        "to take them over.",
    )
    assert len(errors(done)) == 1
    finishes(playbook(*PLATFORM, "-e", "platform_adopt=true"))
    # From then on it is ours.
    finishes(playbook(*PLATFORM))


@pytest.fixture
def silent_webhook(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A webhook for runtimes whose Service has nobody behind it that answers, and a runtime to be made anew."""
    name = "silent.hashfoundry.local"
    # TEST-NET-1 of RFC 5737, where nobody is.
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
    done = playbook(*PLATFORM, "-e", "kserve_timeout=6")
    assert time.monotonic() - began < 60
    says(
        done,
        "ClusterServingRuntime kserve-pmmlserver is not applied, since a webhook has not answered within 6 seconds:",
        f'failed calling webhook "{silent_webhook}"',
        "check the Deployment and the Service behind the webhook.",
    )
    assert len(errors(done)) == 1
    kubectl("delete", "validatingwebhookconfiguration", "silent")
    finishes(playbook(*PLATFORM))
    assert kubectl("get", RUNTIME, "-o", "name").strip()


CA = ("secret", "hashfoundry-ca", "-n", "hashfoundry-system")


@pytest.fixture
def broken_authority(kubectl: Kubectl) -> Iterator[None]:
    """The CA with a certificate that nobody can read, as somebody else has put it there."""
    before = json.loads(kubectl("get", *CA, "-o", "json"))
    garbage = base64.b64encode(b"not a certificate").decode()
    metadata = {"labels": dict.fromkeys(before["metadata"]["labels"])}
    kubectl("patch", *CA, "--type=merge", "-p", json.dumps({"metadata": metadata, "data": {"tls.crt": garbage}}))
    yield
    kept = {"metadata": {"labels": before["metadata"]["labels"]}, "data": {"tls.crt": before["data"]["tls.crt"]}}
    kubectl("patch", *CA, "--type=merge", "-p", json.dumps(kept))


@pytest.mark.usefixtures("broken_authority")
def test_a_certificate_that_cannot_be_issued(playbook: Playbook) -> None:
    words = ("playbooks/addons.yml", "--tags", "cluster_preflight,certificates")
    done = playbook(*words)
    says(
        done,
        "Secret hashfoundry-system/hashfoundry-ca exists already and is not managed by this module; name another "
        "Secret, delete this one, or give it the label",
    )
    assert len(errors(done)) == 1


def test_and_is_once_the_authority_is_whole_again(playbook: Playbook) -> None:
    done = playbook("playbooks/addons.yml", "--tags", "cluster_preflight,certificates")
    finishes(done)
    assert "changed=0" in done.stdout


def in_the_middle(playbook: Playbook, kubectl: Kubectl, break_it: Callable[[], object]) -> Done:
    """Run addons.yml, and break something while it waits for KServe's controller to be rolled out."""
    kubectl("delete", "deployment", "kserve-controller-manager", "-n", "kserve", "--timeout=60s")
    words = ("get", "deployment", "kserve-controller-manager", "-n", "kserve", "-o", "name", "--ignore-not-found")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(playbook, "playbooks/addons.yml", timeout=600)
        until(lambda: bool(kubectl(*words).strip()) or running.done(), "the controller is made anew")
        assert not running.done(), running.result().stdout
        break_it()
        return running.result()


def serves(settings: Settings) -> None:
    """See that the model answers, as soon as it does."""

    def answers() -> bool:
        done = subprocess.run(demo.curl(settings), capture_output=True, text=True, check=False)
        return done.returncode == 0 and json.loads(done.stdout) == {"predictions": [0, 2]}

    until(answers, "the model answers")


def test_the_api_server_is_restarted_in_the_middle(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, on_node: OnNode
) -> None:
    done = in_the_middle(playbook, kubectl, lambda: kill_api_server(on_node))
    went_on_or_said_why(done)
    until(lambda: kubectl("get", "--raw=/readyz", check=False) == "ok", "the API server is back")
    finishes(playbook("playbooks/addons.yml"))
    serves(settings)


def went_on_or_said_why(done: Done) -> None:
    """See that a run has ended well, or with one sentence about the API server."""
    assert "Traceback (most recent call last)" not in flat(done.stdout)
    if done.returncode:
        assert len(errors(done)) == 1, done.stdout[-3000:]
        sentences = ("API server", "does not answer", "has not answered")
        assert any(sentence in " ".join(errors(done)) for sentence in sentences), done.stdout[-3000:]


def test_the_node_goes_away_in_the_middle(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, docker: Docker, node: str
) -> None:
    done = in_the_middle(playbook, kubectl, lambda: docker("restart", "--time=0", node))
    went_on_or_said_why(done)
    until(lambda: kubectl("get", "--raw=/readyz", check=False) == "ok", "the API server is back", 240)
    finishes(playbook("playbooks/site.yml", timeout=500))
    serves(settings)
