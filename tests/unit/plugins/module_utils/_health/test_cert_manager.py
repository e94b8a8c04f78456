# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import Options, apply_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.cert_manager import certificate_problem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import Server, Time, listed, thing

Json = dict[str, Any]
CERTIFICATE = thing(
    "Certificate", "tls", api="cert-manager.io/v1", spec={"issuerRef": {"name": "ca", "kind": "Issuer"}}
)
CERTIFICATE["metadata"]["uid"] = "certificate"


def owned(owner: str, uid: str, status: Json, spec: Json | None = None, revision: str | None = None) -> Json:
    annotations = {"cert-manager.io/certificate-revision": revision} if revision else {}
    metadata = {"name": f"tls-{uid}", "uid": uid, "ownerReferences": [{"uid": owner}], "annotations": annotations}
    return {"metadata": metadata, "spec": spec or {}, "status": status}


def request(*conditions: tuple[str, str, str, str], uid: str = "1", owner: str = "certificate") -> Json:
    entries = [{"type": k, "status": s, "reason": r, "message": m} for k, s, r, m in conditions]
    return owned(owner, uid, {"conditions": entries}, revision=uid)


APPROVED = ("Approved", "True", "cert-manager.io", "Certificate request has been approved by cert-manager.io")
PENDING = ("Ready", "False", "Pending", 'Referenced "Issuer" not found: issuer.cert-manager.io "ca" not found')
FAILED = ("Ready", "False", "Failed", "The order is invalid.")


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([], "it has not been requested from Issuer ca; see cert-manager's log"),
        ([request(APPROVED, PENDING, owner="another")], "it has not been requested from Issuer ca"),
        ([request()], "CertificateRequest tls-1 is not approved"),
        ([request(APPROVED)], "CertificateRequest tls-1 is not handled by any issuer"),
        ([request(APPROVED, PENDING)], f"CertificateRequest tls-1 is Pending: {PENDING[3]}"),
        ([request(APPROVED, FAILED)], "CertificateRequest tls-1 is Failed: The order is invalid"),
        (
            [request(("Denied", "True", "Policy", "no wildcards"), ("Ready", "False", "Denied", "it was denied"))],
            "CertificateRequest tls-1 is Policy: no wildcards",
        ),
        # The newest counts; 10 is after 9.
        ([request(FAILED, uid="10"), request(PENDING, uid="9")], "CertificateRequest tls-10 is Failed"),
    ],
)
def test_the_newest_request_is_reported(requests: list[Json], expected: str) -> None:
    assert certificate_problem(CERTIFICATE, requests, [], []).startswith(expected)


def test_an_order_is_reported_with_its_pending_challenges() -> None:
    orders = [owned("1", "order", {"state": "pending"}), owned("2", "other", {"state": "invalid"})]
    spec = {"type": "HTTP-01", "dnsName": "a.example.com"}
    why = "Waiting for HTTP-01 challenge propagation: wrong status code '404', expected '200'."
    challenges = [
        owned("order", "open", {"state": "pending", "reason": why}, spec),
        owned("order", "new", {}, {"type": "DNS-01", "dnsName": "b.example.com"}),
        owned("order", "done", {"state": "valid"}, {"type": "HTTP-01", "dnsName": "c.example.com"}),
        owned("other", "others", {"state": "pending"}, spec),
    ]
    waits = ("Ready", "False", "Pending", "Waiting on certificate issuance from order models/tls-order")
    assert certificate_problem(CERTIFICATE, [request(APPROVED, waits)], orders, challenges) == (
        "CertificateRequest tls-1 is Pending: Waiting on certificate issuance from order models/tls-order; "
        "its Order is pending; "
        f"the HTTP-01 challenge for a.example.com is pending: {why.rstrip('.')}; "
        "the DNS-01 challenge for b.example.com is not processed"
    )


@pytest.fixture
def server() -> Server:
    """An API server with cert-manager's CRDs, and a Certificate whose request is pending."""
    made = Server()
    made.kinds["/apis/cert-manager.io/v1"] = {"Certificate": ("certificates", True)}
    inside = "/namespaces/models"
    made.objects[f"/apis/cert-manager.io/v1{inside}/certificaterequests"] = {"items": [request(APPROVED, PENDING)]}
    made.objects[f"/apis/acme.cert-manager.io/v1{inside}/orders"] = {"items": []}
    made.objects[f"/apis/acme.cert-manager.io/v1{inside}/challenges"] = {"items": []}
    return made


def failure(server: Server, status: Json) -> str:
    path = server.path(CERTIFICATE)
    time = Time([listed(path, {**CERTIFICATE, "status": status})])
    with pytest.raises(KServeError) as caught:
        apply_manifests(
            server,
            load([CERTIFICATE], []),
            Options(wait_timeout=5),
            time.timing,
        )
    return str(caught.value)


def not_ready(**more: Any) -> Json:
    why = {"message": "Issuing certificate as Secret does not exist", "observedGeneration": 1}
    return {"conditions": [{"type": "Ready", "status": "False", **why}], **more}


def test_a_certificate_that_is_not_issued_in_time_is_reported_with_its_request(server: Server) -> None:
    assert failure(server, not_ready()) == (
        "Certificate models/tls is not ready after 5 seconds: the condition Ready is not True: Issuing certificate as "
        f"Secret does not exist; CertificateRequest tls-1 is Pending: {PENDING[3]}."
    )


def test_a_certificate_that_cannot_be_issued_ends_the_wait(server: Server) -> None:
    requests = "/apis/cert-manager.io/v1/namespaces/models/certificaterequests"
    server.objects[requests] = {"items": [request(APPROVED, FAILED)]}
    status = not_ready(lastFailureTime="2026-11-21T09:00:00Z")
    status["conditions"].append({"type": "Issuing", "status": "False", "observedGeneration": 1})
    assert failure(server, status) == (
        "Certificate models/tls is not ready: its issuance has failed (fix the cause and delete the Certificate, or "
        "wait for the hour after which cert-manager tries again); CertificateRequest tls-1 is Failed: The order is "
        "invalid."
    )


def test_an_unreadable_request_is_reported(server: Server) -> None:
    path = "/apis/cert-manager.io/v1/namespaces/models/certificaterequests"
    server.read_errors[path] = ApiError("certificaterequests is forbidden", 403)
    assert "; what cert-manager says of it cannot be read (certificaterequests is forbidden)." in failure(
        server, not_ready()
    )
