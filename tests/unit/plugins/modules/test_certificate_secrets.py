# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.hashfoundry.kserve.plugins.module_utils._certificates import pki
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.modules import certificate_secrets

from ..module_utils.certificate_fixtures import Api, path

GATEWAY = {"namespace": "gateway", "secret": "tls", "dns_names": ["*.example.com"]}
ARGUMENTS = {"certificates": [GATEWAY], "api_key": "PLANTED-API-KEY"}
CA_PLACE = "hashfoundry-system/hashfoundry-ca"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    cluster = Api()
    monkeypatch.setattr(apply_client, "session", lambda _options: nullcontext(cluster))
    return cluster


def test_issue_and_a_second_run_without_changes(run_module, api: Api) -> None:
    result = run_module(certificate_secrets.main, ARGUMENTS)
    assert (result["changed"], result["ca_action"], result["ca_reason"]) == (True, "issued", "absent")
    authority = x509.load_pem_x509_certificate(result["ca_certificate"].encode())
    assert pki.subject(authority) == "CN=Hash Foundry local CA"
    (entry,) = result["certificates"]
    leaf = api.certificate("gateway/tls")
    leaf.verify_directly_issued_by(authority)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc - pki.CLOCK_SKEW).days == 397
    assert (authority.not_valid_after_utc - authority.not_valid_before_utc - pki.CLOCK_SKEW).days == 3650
    assert entry == {
        **GATEWAY,
        "action": "issued",
        "reason": "absent",
        "not_after": pki.not_after(leaf),
        "fingerprint_sha256": pki.fingerprint(leaf),
    }
    second = run_module(certificate_secrets.main, ARGUMENTS)
    assert (second["changed"], second["ca_action"], second["diff"]) == (False, "unchanged", [])
    assert second["certificates"] == [{**entry, "action": "unchanged", "reason": ""}]


def test_options_are_passed_on(run_module, api: Api) -> None:
    ca = {"namespace": "pki", "secret": "root", "common_name": "Mine", "days": 100}
    arguments = {**ARGUMENTS, "ca": ca, "certificates": [{**GATEWAY, "days": 50}], "renew_days": 10}
    assert run_module(certificate_secrets.main, arguments)["changed"]
    assert pki.subject(api.certificate("pki/root")) == "CN=Mine"
    lives = api.certificate("gateway/tls").not_valid_after_utc - api.certificate("gateway/tls").not_valid_before_utc
    assert lives.days == 50
    assert not run_module(certificate_secrets.main, arguments)["changed"]
    # The certificate is valid for 50 more days, and the CA for 100.
    renewed = run_module(certificate_secrets.main, {**arguments, "certificates": [GATEWAY], "renew_days": 60})
    assert (renewed["ca_action"], renewed["certificates"][0]["reason"]) == ("unchanged", "expires soon")


def test_the_ca_for_clients(run_module, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "for" / "clients" / "ca.crt"
    arguments = {**ARGUMENTS, "ca_file": str(file)}
    # Without a CA there is nothing to return.
    assert run_module(certificate_secrets.main, arguments, check_mode=True)["changed"] and not file.exists()
    first = run_module(certificate_secrets.main, arguments)
    assert file.read_text() == first["ca_certificate"] and file.stat().st_mode & 0o777 == 0o644
    assert not run_module(certificate_secrets.main, arguments)["changed"]
    file.write_text("another")
    assert run_module(certificate_secrets.main, arguments, check_mode=True)["changed"] and file.read_text() == "another"
    assert run_module(certificate_secrets.main, arguments)["changed"] and file.read_text() == first["ca_certificate"]
    (tmp_path / "file").touch()
    refused = run_module(certificate_secrets.main, {**ARGUMENTS, "ca_file": str(tmp_path / "file" / "ca.crt")})
    assert (refused["failed"], refused["reason"]) == (True, "FileNotWritable")


def test_check_mode(run_module, api: Api) -> None:
    result = run_module(certificate_secrets.main, ARGUMENTS, check_mode=True)
    assert (result["changed"], result["ca_action"], result["ca_certificate"]) == (True, "issued", "")
    (entry,) = result["certificates"]
    assert entry == {
        **GATEWAY,
        "action": "issued",
        "reason": "absent",
        "not_after": None,
        "fingerprint_sha256": None,
    }
    assert api.objects == {}


def test_diff(run_module, api: Api) -> None:
    run_module(certificate_secrets.main, ARGUMENTS)
    old = api.certificate("gateway/tls")
    arguments = {**ARGUMENTS, "certificates": [{**GATEWAY, "dns_names": ["b.example.com"]}]}
    planned = run_module(certificate_secrets.main, arguments, check_mode=True, diff=True)["diff"]
    assert planned[0]["after"]["dns_names"] == ["b.example.com"] and planned[0]["after"]["not_after"] is None
    (shown,) = run_module(certificate_secrets.main, arguments, diff=True)["diff"]
    new = api.certificate("gateway/tls")
    assert shown["before"] == planned[0]["before"]
    assert (shown["before"], shown["after"]) == tuple(
        {
            "subject": f"CN={name}",
            "dns_names": [name],
            "not_after": pki.not_after(certificate),
            "fingerprint_sha256": pki.fingerprint(certificate),
        }
        for name, certificate in (("*.example.com", old), ("b.example.com", new))
    )
    assert shown["before"]["fingerprint_sha256"] != shown["after"]["fingerprint_sha256"]


def secrets_of(api: Api) -> set[str]:
    """Return every key in the cluster, complete and line by line."""
    found = set()
    for thing in api.objects.values():
        key = thing.get("data", {}).get("tls.key")
        if key:
            found |= {key, *base64.b64decode(key).decode().splitlines()[1:-1]}
    return found


def test_no_output_contains_a_key(run_module, api: Api) -> None:
    secrets: set[str] = set()
    outputs: list[dict[str, Any]] = []

    def run(**internal: bool) -> None:
        secrets.update(secrets_of(api))
        outputs.append(run_module(certificate_secrets.main, ARGUMENTS, diff=True, verbosity=5, **internal))
        secrets.update(secrets_of(api))

    run(check_mode=True)
    run()
    data = api.secret(CA_PLACE)["data"]
    # An unreadable key, a key instead of a certificate, and a Secret of another field manager.
    pem = "-----BEGIN EC PRIVATE KEY-----\nUExBTlRFRC1LRVktTUFURVJJQUw=\n-----END EC PRIVATE KEY-----\n"
    planted = base64.b64encode(pem.encode()).decode()
    api.put(CA_PLACE, data={**data, "tls.key": planted})
    run()
    api.put(CA_PLACE, data={**data, "tls.crt": data["tls.key"], "ca.crt": planted})
    run()
    api.put("gateway/tls", data={"tls.key": planted}, metadata={"name": "tls"})
    run()
    assert (outputs[-1]["failed"], outputs[-1]["reason"]) == (True, "SecretNotManaged")
    api.put("gateway/tls", metadata={"name": "tls", "labels": {"app.kubernetes.io/managed-by": "hashfoundry.kserve"}})
    api.refusals = [ApiError(f"denied {planted}", 400, f"denied {planted} {data}")]
    run()
    assert (outputs[-1]["failed"], outputs[-1]["reason"]) == (True, "APIServerRejected")
    everything = json.dumps(outputs)
    # Three times two new keys, each as one string and three lines, and the planted one.
    assert len(secrets) >= 4 * 6 and "UExBTlRFRC1LRVktTUFURVJJQUw=" in secrets
    assert not [secret for secret in secrets if secret in everything]
    assert "PRIVATE KEY" not in everything and "PLANTED" not in everything


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"certificates": [{**GATEWAY, "dns_names": ["a_b.c"]}]}, "'a_b.c' in dns_names is not a DNS name"),
        ({"certificates": [{**GATEWAY, "dns_names": ["10.0.0.1"]}]}, "'10.0.0.1' in dns_names is an IP address"),
        ({"certificates": [{**GATEWAY, "days": 3}]}, "let days be more than renew_days"),
    ],
)
def test_invalid_certificate_options(run_module, api: Api, arguments: dict[str, Any], says: str) -> None:
    result = run_module(certificate_secrets.main, arguments)
    assert result["failed"] and says in result["msg"] and "Traceback" not in json.dumps(result)


def test_a_secret_of_another_field_manager(run_module, api: Api) -> None:
    api.put("gateway/tls", metadata={"name": "tls"})
    result = run_module(certificate_secrets.main, ARGUMENTS)
    assert result["failed"] and result["msg"].startswith("Secret gateway/tls exists already and is not managed by")
    assert path(CA_PLACE) not in api.objects


def test_no_kubeconfig(run_module, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv("K8S_AUTH_HOST", raising=False)
    result = run_module(certificate_secrets.main, {**ARGUMENTS, "kubeconfig": str(tmp_path / "none")})
    assert (result["failed"], result["reason"]) == (True, "InvalidKubeconfig")


def test_without_cryptography(run_module, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "CRYPTOGRAPHY_IMPORT_ERROR", "ImportError: No module named 'cryptography'")
    result = run_module(certificate_secrets.main, ARGUMENTS)
    assert (result["failed"], result["reason"], api.objects) == (True, "LibraryMissing", {})
