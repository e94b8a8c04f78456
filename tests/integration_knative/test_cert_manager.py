# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert-manager issues the certificates of webhooks and gateway; a failure is reported with cert-manager's reason."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import table
from local.settings import Settings

Playbook = Callable[..., Any]
Thing = Callable[..., dict[str, Any]]
Kubectl = Callable[..., str]
ACME = {
    "server": "https://acme.invalid/directory",
    "email": "nobody@example.com",
    "privateKeySecretRef": {"name": "acme-account"},
    "solvers": [{"http01": {"ingress": {"class": "nginx"}}}],
}


def decoded(secret: dict[str, Any], key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


@pytest.mark.parametrize(
    ("namespace", "name", "secret"),
    [("kserve", "serving-cert", "kserve-webhook-server-cert"), ("kourier-system", "models-tls", "models-tls")],
)
def test_the_certificates_are_issued_by_cert_manager_from_the_clusters_ca(
    settings: Settings, thing: Thing, namespace: str, name: str, secret: str
) -> None:
    certificate = thing("certificates.cert-manager.io", name, "-n", namespace)
    assert certificate["spec"]["secretName"] == secret
    assert certificate["spec"]["issuerRef"]["name"] == "hashfoundry-ca"
    held = thing("secret", secret, "-n", namespace)
    assert held["metadata"]["annotations"]["cert-manager.io/certificate-name"] == name
    assert decoded(held, "ca.crt") == (settings.state / "ca.crt").read_text()


def test_cert_manager_injects_the_ca_into_kserves_webhooks(settings: Settings, thing: Thing) -> None:
    webhooks = thing("validatingwebhookconfiguration", "inferenceservice.serving.kserve.io")
    assert webhooks["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == "kserve/serving-cert"
    bundles = {webhook["clientConfig"]["caBundle"] for webhook in webhooks["webhooks"]}
    assert [base64.b64decode(bundle).decode() for bundle in bundles] == [(settings.state / "ca.crt").read_text()]


def test_cert_manager_runs_the_images_of_the_table(thing: Thing) -> None:
    wanted = {image.ref for image in table.load().images if "/cert-manager-" in image.ref}
    pods = thing("pods", "-n", "cert-manager")["items"]
    assert {container["image"] for pod in pods for container in pod["spec"]["containers"]} == wanted


# Until cert-manager has reported why it does not issue: it creates a key before it calls an ACME server.
SECONDS = 15


@pytest.fixture(scope="module")
def issue(playbook: Playbook, kubectl: Kubectl) -> Iterator[Callable[..., str]]:
    """Request a certificate that cannot be issued, and return the output."""

    def run(**options: Any) -> str:
        certificate = {"namespace": "trouble", "secret": "lost", "dns_names": ["lost.example.com"]}
        certificate |= {key: options.pop(key) for key in ("issuer",) if key in options}
        words = {"certificates_issued": [certificate], "certificates_timeout": SECONDS, **options}
        result = playbook("playbooks/addons.yml", "--tags", "certificates", "-e", json.dumps(words))
        assert result.returncode != 0
        return " ".join(result.stdout.split())

    yield run
    kubectl("delete", "namespace", "trouble", "--ignore-not-found")
    kubectl("delete", "clusterissuers.cert-manager.io", "acme", "elsewhere", "--ignore-not-found")


def test_a_missing_issuer_is_named(issue: Callable[..., str]) -> None:
    output = issue(issuer="nobody")
    assert f"Certificate trouble/lost is not ready after {SECONDS} seconds: the condition Ready is not True: " in output
    assert (
        'is Pending: Referenced "ClusterIssuer" not found: clusterissuer.cert-manager.io "nobody" not found.' in output
    )


@pytest.mark.parametrize(
    ("name", "spec", "why"),
    [
        ("acme", {"acme": ACME}, 'Failed to register ACME account: Get "https://acme.invalid/directory"'),
        ("elsewhere", {"ca": {"secretName": "elsewhere"}}, "Error getting keypair for CA issuer: "),
    ],
)
def test_an_issuer_that_is_not_ready_is_reported_with_its_reason(
    issue: Callable[..., str], kubectl: Kubectl, name: str, spec: dict[str, Any], why: str
) -> None:
    output = issue(certificates_issuers=[{"name": name, "spec": spec}])
    kubectl("delete", "clusterissuers.cert-manager.io", name)
    assert (
        f"ClusterIssuer {name} is not ready after {SECONDS} seconds: the condition Ready is not True: {why}" in output
    )
