# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import importlib.util
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from ansible_collections.hashfoundry.kserve.plugins.module_utils._certificates import pki, secrets
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

from ..certificate_fixtures import Api, path

NOW = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
CA = {"namespace": "system", "secret": "ca", "common_name": "Test CA", "days": 3650}
CA_PLACE = "system/ca"
GATEWAY = {"namespace": "gateway", "secret": "tls", "dns_names": ["*.example.com", "example.com"], "days": 397}
HOOK = {"namespace": "kserve", "secret": "hook", "dns_names": ["hook.kserve.svc"], "days": 90}
NAMES = ("*.example.com", "example.com")


def run(
    api: Api,
    now: datetime = NOW,
    check_mode: bool = False,
    ca: dict[str, Any] | None = None,
    certificates: list[dict[str, Any]] | None = None,
    renew_days: int = 30,
) -> dict[str, Any]:
    certificates = [GATEWAY, HOOK] if certificates is None else certificates
    request = secrets.request({**CA, **(ca or {})}, certificates, renew_days)
    return secrets.reconcile(api, request, now, check_mode)


def actions(result: dict[str, Any]) -> list[tuple[str, str]]:
    entries = [(entry["action"], entry["reason"]) for entry in result["certificates"]]
    return [(result["ca_action"], result["ca_reason"]), *entries]


UNCHANGED = ("unchanged", "")


# Issued certificates.


def test_a_ca_may_issue_only_server_certificates() -> None:
    pair = pki.new_authority("Test CA", 10, NOW)
    extensions = pair.certificate.extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    assert isinstance(pair.key.curve, ec.SECP256R1)
    assert pair.certificate.not_valid_before_utc < NOW - timedelta(minutes=30)
    assert pki.not_after(pair.certificate) == "2026-11-30T10:00:00Z"


def test_a_certificate_is_for_its_names_and_for_servers() -> None:
    authority = pki.new_authority("Test CA", 1000, NOW)
    pair = pki.issue(authority, NAMES, 10, NOW)
    extensions = pair.certificate.extensions
    assert pki.names_of(pair.certificate) == list(NAMES)
    assert pki.subject(pair.certificate) == "CN=*.example.com"
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign and not usage.key_encipherment
    key_identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == key_identifier
    assert pki.not_after(pair.certificate) == "2026-11-30T10:00:00Z"
    again = pki.issue(authority, NAMES, 10, NOW).certificate
    assert again.serial_number != pair.certificate.serial_number
    assert again.public_key() != pair.certificate.public_key()


def test_a_client_that_trusts_the_ca_accepts_its_certificates_and_no_other_name() -> None:
    authority = pki.new_authority("Test CA", 1000, NOW)
    leaf = pki.issue(authority, NAMES, 10, NOW).certificate
    policy = PolicyBuilder().store(Store([authority.certificate])).time(NOW)
    assert len(policy.build_server_verifier(x509.DNSName("models.example.com")).verify(leaf, [])) == 2
    for other in ("a.b.example.com", "example.org"):
        with pytest.raises(VerificationError):
            policy.build_server_verifier(x509.DNSName(other)).verify(leaf, [])
    stranger = PolicyBuilder().store(Store([pki.new_authority("Test CA", 1000, NOW).certificate])).time(NOW)
    with pytest.raises(VerificationError):
        stranger.build_server_verifier(x509.DNSName("example.com")).verify(leaf, [])


def test_a_certificate_never_outlives_its_ca() -> None:
    authority = pki.new_authority("Test CA", 50, NOW)
    leaf = pki.issue(authority, NAMES, 397, NOW).certificate
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_name_too_long_for_a_common_name_is_only_an_alternative_name() -> None:
    authority = pki.new_authority("Test CA", 50, NOW)
    long = f"{'a' * 40}.{'b' * 40}.svc"
    leaf = pki.issue(authority, [long], 10, NOW).certificate
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (pki.subject(leaf), pki.names_of(leaf), names.critical) == ("", [long], True)
    both = pki.issue(authority, [long, "short.svc"], 10, NOW).certificate
    assert pki.subject(both) == "CN=short.svc"


# Valid requests.


def test_names_are_compared_in_lower_case_and_once() -> None:
    assert pki.dns_names(["A.example.com", "a.example.com", "xn--bcher-kva.example", "localhost"]) == (
        "a.example.com",
        "xn--bcher-kva.example",
        "localhost",
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "*.",
        "a..b",
        "a.b.",
        "a_b.c",
        "-a.b",
        "a-.b",
        "a.*.b",
        "a*.b",
        "*.*.b",
        "a b",
        "a.b\n",
        "bücher.example",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "10.0.0.1",
        "::1",
        "https://a.b",
        "a.b:443",
    ],
)
def test_an_invalid_dns_name_is_rejected(name: str) -> None:
    with pytest.raises(KServeError, match="in dns_names is"):
        pki.dns_names(["a.b", name])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"certificates": [{**GATEWAY, "dns_names": []}]}, "has no dns_names"),
        ({"certificates": [GATEWAY, GATEWAY]}, "gateway/tls is requested more than once"),
        ({"certificates": [{**GATEWAY, "namespace": "system", "secret": "ca"}]}, "system/ca is requested more than"),
        ({"certificates": [{**GATEWAY, "secret": "../configmaps/x"}]}, "cannot be a secret"),
        ({"certificates": [{**GATEWAY, "namespace": "A"}]}, "cannot be a namespace"),
        ({"certificates": [{**GATEWAY, "days": 30}]}, "days be more than renew_days, which is 30"),
        ({"ca": {"days": 30}}, "days be more than renew_days"),
        ({"ca": {"days": 36501}}, "at most 36500"),
        ({"ca": {"common_name": ""}}, "common_name of ca"),
        ({"ca": {"common_name": "a" * 65}}, "common_name of ca"),
        ({"renew_days": -1}, "renew_days is less than 0"),
    ],
)
def test_an_impossible_request_is_rejected(changes: dict[str, Any], says: str) -> None:
    api = Api()
    with pytest.raises(KServeError, match=says):
        run(api, **changes)
    assert api.writes == []


# The first run and later ones.


def test_the_first_run_creates_everything_and_the_second_nothing() -> None:
    api = Api("gateway")
    result = run(api)
    assert result["changed"] and actions(result) == [("issued", "absent")] * 3
    # The CA comes first, and a namespace only if it is missing.
    assert api.writes == [
        "/api/v1/namespaces/system",
        path(CA_PLACE),
        path("gateway/tls"),
        "/api/v1/namespaces/kserve",
        path("kserve/hook"),
    ]
    assert {query["fieldManager"] for query in api.queries} == {"hashfoundry.kserve.certificates"}
    # Each Secret is created, so that no other run can have, before it is applied at that version.
    assert api.created == [path(place) for place in (CA_PLACE, "gateway/tls", "kserve/hook")]
    for place in (CA_PLACE, "gateway/tls", "kserve/hook"):
        secret = api.secret(place)
        assert (secret["type"], sorted(secret["data"])) == ("kubernetes.io/tls", ["ca.crt", "tls.crt", "tls.key"])
        assert secret["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "hashfoundry.kserve"}
        assert base64.b64decode(secret["data"]["ca.crt"]).decode() == result["ca_certificate"]
    assert result["certificates"][0]["fingerprint_sha256"] == pki.fingerprint(api.certificate("gateway/tls"))
    assert result["certificates"][1]["not_after"] == "2027-02-18T10:00:00Z"

    api.writes.clear()
    second = run(api, NOW + timedelta(days=1))
    assert not second["changed"] and actions(second) == [UNCHANGED] * 3 and second["diff"] == [] and api.writes == []
    assert second["ca_certificate"] == result["ca_certificate"]
    for before, after in zip(result["certificates"], second["certificates"], strict=True):
        assert (before["not_after"], before["fingerprint_sha256"]) == (after["not_after"], after["fingerprint_sha256"])


def test_check_mode_returns_the_same_and_writes_nothing() -> None:
    api = Api()
    result = run(api, check_mode=True)
    assert result["changed"] and actions(result) == [("issued", "absent")] * 3
    assert result["ca_certificate"] == "" and api.writes == [] and api.objects == {}
    assert {entry["fingerprint_sha256"] for entry in result["certificates"]} == {None}


def test_without_certificates_the_ca_is_still_created() -> None:
    api = Api()
    assert run(api, certificates=[])["ca_action"] == "issued"
    assert not run(api, certificates=[])["changed"]


def key_of(api: Api, place: str) -> str:
    key: str = api.secret(place)["data"]["tls.key"]
    return key


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def with_data(place: str, **changes: str) -> Callable[[Api], None]:
    entries = {key.replace("_", "."): value for key, value in changes.items()}
    return lambda api: api.put(place, data={**api.secret(place)["data"], **entries})


def with_key_of(place: str, other: str) -> Callable[[Api], None]:
    return lambda api: with_data(place, tls_key=key_of(api, other))(api)


def without(place: str) -> Callable[[Api], None]:
    def remove(api: Api) -> None:
        del api.objects[path(place)]

    return remove


def by_an_impostor(api: Api) -> None:
    """A certificate with the issuer and identifiers of the CA, signed with another key."""
    real, key = api.certificate("gateway/tls"), ec.generate_private_key(ec.SECP256R1())
    forged = (
        x509.CertificateBuilder(extensions=list(real.extensions))
        .subject_name(real.subject)
        .issuer_name(real.issuer)
        .public_key(real.public_key())
        .serial_number(1)
        .not_valid_before(real.not_valid_before_utc)
        .not_valid_after(real.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    with_data("gateway/tls", tls_crt=encoded(pki.pem(forged)))(api)


LEAF = "gateway/tls"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without(LEAF), "absent"),
        (lambda api: api.put(LEAF, data=None), "unreadable"),
        (with_data(LEAF, tls_crt="%%%"), "unreadable"),
        (with_data(LEAF, tls_crt=encoded("no certificate")), "unreadable"),
        (
            with_data(LEAF, tls_key=encoded("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
            "unreadable",
        ),
        (with_key_of(LEAF, "kserve/hook"), "the key is of another certificate"),
        (by_an_impostor, "not signed by the authority"),
        (with_data(LEAF, ca_crt=encoded("another")), "ca.crt is of another authority"),
        (with_data(LEAF, ca_crt="%%%"), "ca.crt is of another authority"),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_only_a_corrupt_certificate_is_renewed(change: Callable[[Api], None], reason: str, check_mode: bool) -> None:
    api = Api()
    run(api)
    change(api)
    api.writes.clear()
    before = dict(api.objects)
    result = run(api, check_mode=check_mode)
    assert actions(result) == [UNCHANGED, ("issued", reason), UNCHANGED] and result["changed"]
    assert [entry["after_header"] for entry in result["diff"]] == ["Secret gateway/tls"]
    if check_mode:
        assert api.writes == [] and api.objects == before
    else:
        assert api.writes == [path(LEAF)]
        assert not run(api)["changed"]
        authority = api.certificate(CA_PLACE)
        api.certificate(LEAF).verify_directly_issued_by(authority)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["example.com", "*.Example.com"], ""),
        (["example.com"], "other DNS names"),
        (["*.example.com", "example.com", "example.org"], "other DNS names"),
    ],
)
def test_the_set_of_names_decides(names: list[str], reason: str) -> None:
    api = Api()
    run(api)
    result = run(api, certificates=[{**GATEWAY, "dns_names": names}])
    assert result["certificates"][0]["reason"] == reason and result["changed"] is bool(reason)


def test_a_certificate_about_to_expire_is_renewed_and_no_second_earlier() -> None:
    api = Api()
    run(api)
    last = NOW.replace(microsecond=0) + timedelta(days=90 - 30)
    assert not run(api, last)["changed"]
    result = run(api, last + timedelta(seconds=1))
    assert actions(result) == [UNCHANGED, UNCHANGED, ("issued", "expires soon")]
    # It was read at that version, and later changes of others are not overwritten.
    assert api.queries[-1]["force"] == "true"
    assert not run(api, last + timedelta(seconds=2))["changed"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without(CA_PLACE), "absent"),
        (with_data(CA_PLACE, tls_crt=encoded("broken")), "unreadable"),
        (with_key_of(CA_PLACE, "kserve/hook"), "the key is of another certificate"),
        (lambda api: api.put(CA_PLACE, data=api.secret("kserve/hook")["data"]), "not an authority"),
    ],
)
def test_a_new_ca_issues_every_certificate(change: Callable[[Api], None], reason: str) -> None:
    api = Api()
    old = run(api)["ca_certificate"]
    change(api)
    planned, result = run(api, check_mode=True), run(api)
    assert actions(planned) == actions(result)
    assert actions(result) == [("issued", reason)] + [("issued", "the authority is new")] * 2
    assert result["ca_certificate"] != old
    for place in (LEAF, "kserve/hook"):
        api.certificate(place).verify_directly_issued_by(api.certificate(CA_PLACE))
    assert not run(api)["changed"]


def test_a_ca_about_to_expire_or_with_another_name_is_replaced() -> None:
    api = Api()
    old = run(api)["ca_certificate"]
    later = NOW + timedelta(days=3650 - 29)
    # In check mode the CA is still the old one.
    assert run(api, later, check_mode=True)["ca_certificate"] == old
    assert actions(run(api, later))[0] == ("issued", "expires soon")
    assert actions(run(api, later, ca={"common_name": "Other"}))[0] == ("issued", "another common name")
    assert not run(api, later, ca={"common_name": "Other"})["changed"]


def test_a_renewed_ca_and_the_one_before_are_both_trusted() -> None:
    def trusts(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
        policy = PolicyBuilder().store(Store([authority])).time(later)
        return len(policy.build_server_verifier(x509.DNSName("models.example.com")).verify(leaf, [])) == 2

    # The gateway has certificates of 397 days, and the CA one of 400.
    api, later, ca = Api(), NOW + timedelta(days=400 - 29), {"days": 400}
    run(api, ca=ca, renew_days=1)
    before, leaf_before = api.certificate(CA_PLACE), api.certificate(LEAF)
    planned, result = run(api, later, check_mode=True, ca=ca), run(api, later, ca=ca)
    assert actions(planned) == actions(result)
    assert actions(result) == [("issued", "expires soon")] + [("issued", "the authority is renewed")] * 2
    after, leaf_after = api.certificate(CA_PLACE), api.certificate(LEAF)
    assert after.not_valid_after_utc > before.not_valid_after_utc and leaf_after != leaf_before
    # Clients have either certificate, and servers as well, until they have loaded theirs.
    assert [trusts(authority, leaf) for authority in (before, after) for leaf in (leaf_before, leaf_after)] == [
        True
    ] * 4
    assert not run(api, later, ca=ca)["changed"]


def test_keys_of_another_type_are_not_used() -> None:
    """A CA that was created manually may have a key that does not support SHA-256."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    api = Api()
    api.put(CA_PLACE, data={"tls.crt": encoded(pki.pem(certificate)), "tls.key": encoded(pem)})
    assert actions(run(Api(), check_mode=True))[0] == ("issued", "absent")
    assert actions(run(api, check_mode=True))[0] == ("issued", "unreadable")


def test_an_interrupted_run_is_finished_by_the_next() -> None:
    api = Api()
    run(api)
    without(CA_PLACE)(api)
    run(api, certificates=[])
    result = run(api)
    assert actions(result) == [UNCHANGED] + [("issued", "not signed by the authority")] * 2


# Objects of other field managers.


@pytest.mark.parametrize("place", [CA_PLACE, LEAF, "kserve/hook"])
@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"metadata": {"name": "x"}}, "SecretNotManaged"),
        ({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}, "SecretNotManaged"),
        ({"type": "Opaque"}, "SecretTypeMismatch"),
    ],
)
def test_a_secret_of_another_field_manager_is_rejected_before_anything_is_written(
    place: str, check_mode: bool, fields: dict[str, Any], reason: str
) -> None:
    api = Api("gateway", "kserve", "system")
    api.put(place, **fields, data={"tls.key": encoded("PLANTED")})
    before = dict(api.objects)
    with pytest.raises(KServeError, match=f"^Secret {place} ") as caught:
        run(api, check_mode=check_mode)
    assert caught.value.reason == reason and "PLANTED" not in str(caught.value)
    assert api.objects == before and api.writes == []


class Meanwhile(Api):
    """Another client writes every Secret between the read and the write."""

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        try:
            return super().get(path, **query)
        finally:
            namespace, _kind, name = path.split("/")[-3:]
            self.put(f"{namespace}/{name}")
            self.objects[path] = {**self.objects[path], "metadata": {"resourceVersion": "someone's"}}


def test_a_concurrent_change_is_not_overwritten() -> None:
    api = Meanwhile("system")
    with pytest.raises(KServeError, match="system/ca exists already and is not managed by this module") as stop:
        run(api)
    assert stop.value.reason == "SecretNotManaged"
    assert api.writes == [] and api.created == []


class Overtaken(Api):
    """Another run begins and ends when this one is about to write its first Secret of a place."""

    def __init__(self, place: str) -> None:
        super().__init__("system", "gateway", "kserve")
        self.awaited = place

    def _overtake(self, at: str) -> None:
        if self.awaited and at == path(self.awaited):
            self.awaited = ""
            self.others = run(self)

    def post(self, path: str, body: Any) -> str:
        self._overtake(f"{path}/{body['metadata']['name']}")
        return super().post(path, body)

    def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        self._overtake(path)
        return super().apply(path, body, **query)


@pytest.mark.parametrize("place", [CA_PLACE, LEAF, "kserve/hook"])
def test_of_two_first_runs_at_once_one_creates_the_ca_and_both_use_it(place: str) -> None:
    api = Overtaken(place)
    result = run(api)
    assert result["ca_certificate"] == api.others["ca_certificate"]
    assert api.secret(CA_PLACE)["data"]["tls.crt"] == encoded(result["ca_certificate"])
    for leaf in (LEAF, "kserve/hook"):
        api.certificate(leaf).verify_directly_issued_by(api.certificate(CA_PLACE))
    assert len(api.created) == len(set(api.created)) == 3
    # What a run has issued before it was overtaken is told, and nothing that the other has issued.
    issued = [entry["secret"] for entry in result["certificates"] if entry["action"] == "issued"]
    assert (result["ca_action"], issued) == {
        CA_PLACE: ("unchanged", []),
        LEAF: ("issued", []),
        "kserve/hook": ("issued", ["tls"]),
    }[place]
    assert result["changed"] is (place != CA_PLACE)
    assert not run(api)["changed"]


def test_other_errors_of_a_read_are_passed_on() -> None:
    class Forbidden(Api):
        def get(self, path: str, **query: Any) -> dict[str, Any]:
            raise ApiError("The credentials lack a permission", 403)

    with pytest.raises(ApiError, match="lack a permission"):
        run(Forbidden())


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (401, "", "the sentence for 401"),
        (403, "secrets is forbidden: User x cannot patch", "answers 403: .*; grant it to the user of the kubeconfig"),
        (403, "unable to create: namespace system is being terminated", "Namespace system is being deleted; run again"),
        (500, "etcdserver: leader changed", "Secret system/ca is not applied, the API server answers 500: etcdserver"),
    ],
)
def test_rejected_writes(status: int, text: str, says: str) -> None:
    api = Api("system")
    api.refusals = [ApiError(f"the sentence for {status}", status, text)]
    with pytest.raises(KServeError, match=says):
        run(api)


def keys(api: Api) -> list[str]:
    """Return every form in which the keys in the cluster could be printed."""
    pems = [base64.b64decode(key_of(api, place)).decode() for place in (CA_PLACE, LEAF, "kserve/hook")]
    return [line for pem in pems for line in (encoded(pem), *pem.splitlines()[1:-1])]


def test_a_webhook_that_repeats_the_secret_does_not_reveal_it() -> None:
    class Indiscreet(Api):
        planted: list[str]

        def apply(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
            old, new = self.objects[path]["data"], body["data"]
            plain = base64.b64decode(new["tls.key"]).decode()
            self.planted = [old["tls.key"], new["tls.key"], *plain.splitlines()[1:-1]]
            text = f"denied: {old['tls.key']} {new['tls.key']} {plain!r} {' '.join(plain.split())} and so on"
            # The message of the error may be truncated within a key.
            raise ApiError(text[-150:], 400, text)

    api = Indiscreet()
    first = Api()
    run(first)
    api.objects.update(first.objects)
    with pytest.raises(KServeError, match=r"answers 400: .*denied") as caught:
        run(api, certificates=[{**GATEWAY, "dns_names": ["new.example.com"]}])
    message = f"{caught.value!r} {caught.value.result}"
    pieces = {secret[at : at + 16] for secret in api.planted for at in range(len(secret) - 16)}
    assert len(api.planted) >= 4 and not [piece for piece in pieces if piece in message]


def test_the_representation_of_a_pair_has_no_key() -> None:
    pair = pki.new_authority("Test CA", 50, NOW)
    assert "key" not in repr(pair).replace("PublicKey", "")


def test_no_key_is_in_a_result_or_a_diff() -> None:
    api = Api()
    results = [run(api, check_mode=True), run(api)]
    before = keys(api)
    without(CA_PLACE)(api)
    results += [run(api, check_mode=True), run(api), run(api)]
    text = repr(results)
    assert "PRIVATE" not in text and not [key for key in before + keys(api) if key in text]


def test_a_key_in_the_wrong_entry_is_not_shown() -> None:
    api = Api()
    run(api)
    certificate = base64.b64decode(api.secret(CA_PLACE)["data"]["tls.crt"]).decode()
    key = base64.b64decode(key_of(api, CA_PLACE)).decode()
    with_data(CA_PLACE, tls_crt=encoded(certificate + key))(api)
    assert run(api)["ca_certificate"] == certificate


def test_without_cryptography_the_import_still_works_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    copy = importlib.util.module_from_spec(importlib.util.find_spec(pki.__name__))
    monkeypatch.setitem(sys.modules, pki.__name__, copy)
    copy.__loader__.exec_module(copy)
    assert "cryptography" in copy.CRYPTOGRAPHY_IMPORT_ERROR
