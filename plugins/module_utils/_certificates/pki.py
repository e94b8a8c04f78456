# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small certificate authority: issuing certificates, and saying why one is to be renewed.

Keys are ECDSA on P-256: every TLS client and server of today takes that curve for a server's certificate, Envoy by
default no other (envoyproxy/envoy#10855), and a key is made and used at a fraction of RSA's cost.
Extensions are those of RFC 5280, section 4.2.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

CRYPTOGRAPHY_IMPORT_ERROR: str | None = None
try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    CRYPTOGRAPHY_IMPORT_ERROR = traceback.format_exc()

# A certificate is valid from a little before it is issued, for machines whose clock is behind.
CLOCK_SKEW = timedelta(hours=1)
# Upper bound of a common name (ub-common-name, RFC 5280, appendix A.1).
LONGEST_COMMON_NAME = 64
# Why a certificate is renewed that has no fault.
EXPIRES_SOON = "expires soon"
_LONGEST_DNS_NAME = 253
# The host names of RFC 1123, section 2.1, in lower case.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


def dns_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return DNS names in lower case, each once.

    :param names: host names; the first label may be ``*``.
    :raises KServeError: there is none, or one of them is no DNS name.
    """
    if not names:
        raise KServeError("A certificate has no dns_names; give it at least one.", reason="InvalidOption")
    return tuple(dict.fromkeys(_dns_name(name) for name in names))


def _dns_name(name: str) -> str:
    lowered = name.lower()
    if _is_address(lowered):
        raise KServeError(
            f"{name!r} in dns_names is an IP address; give the DNS name that clients use.", reason="InvalidOption"
        )
    labels = lowered.removeprefix("*.").split(".")
    if len(lowered) > _LONGEST_DNS_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise KServeError(
            f"{name!r} in dns_names is not a DNS name; use labels of at most 63 letters, digits and hyphens with "
            f"dots between them, {_LONGEST_DNS_NAME} characters at most, and * only as the whole first label; a name "
            "in another script is given in its xn-- form.",
            reason="InvalidOption",
        )
    return lowered


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def new_authority(common_name: str, days: int, now: datetime) -> Pair:
    """Return a new certificate authority, which may issue certificates of servers but no further authority.

    :param common_name: its name, of 1 to 64 characters.
    :param days: how long it is valid from now on.
    :param now: the time, with a time zone.
    """
    return _self_signed(ec.generate_private_key(ec.SECP256R1()), _name(common_name), days, now)


def renewed_authority(authority: Pair, days: int, now: datetime) -> Pair:
    """Return a certificate authority of the same name and key that is valid for longer.

    A client that trusts either certificate accepts what the other has issued, for as long as its own is valid.

    :param days: how long it is valid from now on.
    :param now: the time, with a time zone.
    """
    return _self_signed(authority.key, authority.certificate.subject, days, now)


def _self_signed(key: ec.EllipticCurvePrivateKey, name: x509.Name, days: int, now: datetime) -> Pair:
    usage = _usage(key_cert_sign=True, crl_sign=True)
    builder = (
        _builder(key, name, now, now + timedelta(days=days))
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Pair, names: Sequence[str], days: int, now: datetime) -> Pair:
    """Return a new certificate for a TLS server.

    :param names: what dns_names returned; the first that fits is the common name.
    :param days: how long it is valid from now on; it never outlives the authority.
    :param now: the time, with a time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    common_name = next((name for name in names if len(name) <= LONGEST_COMMON_NAME), None)
    end = min(now + timedelta(days=days), authority.certificate.not_valid_after_utc)
    issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(key, _name(common_name), now, end)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        # Without a subject, the names here are all that says whose the certificate is (RFC 5280, section 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), common_name is None)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(key: ec.EllipticCurvePrivateKey, name: x509.Name, now: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str | None) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def _usage(digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def authority_renewal_reason(pair: Pair | None, common_name: str, soon: datetime) -> str | None:
    """Return why an authority is to be re-created, or None.

    :param pair: what parse returned.
    :param soon: the time that it has to live beyond.
    """
    if pair is None:
        return "unreadable"
    if not _is_authority(pair.certificate):
        return "not an authority"
    if pair.certificate.subject != _name(common_name):
        return "another common name"
    return _renewal_reason(pair, pair.certificate, soon)


def certificate_renewal_reason(
    pair: Pair | None, authority: x509.Certificate, names: Iterable[str], soon: datetime
) -> str | None:
    """Return why a server's certificate is to be renewed, or None.

    :param pair: what parse returned.
    :param names: what dns_names returned.
    :param soon: the time that it has to live beyond.
    """
    if pair is None:
        return "unreadable"
    if set(names_of(pair.certificate)) != set(names):
        return "other DNS names"
    return _renewal_reason(pair, authority, soon)


def _renewal_reason(pair: Pair, authority: x509.Certificate, soon: datetime) -> str | None:
    if pair.certificate.public_key() != pair.key.public_key():
        return "the key is of another certificate"
    try:
        pair.certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "not signed by the authority"
    return EXPIRES_SOON if pair.certificate.not_valid_after_utc < soon else None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return everything that the certificate is for, DNS names as they are and others with their kind before them."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return []
    return [name.value if isinstance(name, x509.DNSName) else f"{type(name).__name__}:{name.value}" for name in names]


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate, as hexadecimal bytes with colons between them."""
    return certificate.fingerprint(hashes.SHA256()).hex(":")


def not_after(certificate: x509.Certificate) -> str:
    """Return when the certificate ends, such as 2027-12-31T23:59:59Z."""
    return certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def subject(certificate: x509.Certificate) -> str:
    """Return the certificate's subject, such as CN=*.example.com."""
    return certificate.subject.rfc4514_string()


def pem(certificate: x509.Certificate) -> str:
    """Return the certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def parse(data: Mapping[str, Any]) -> Pair | None:
    """Return the pair in a Secret's data, or None when a half cannot be read or is of a kind not made here."""
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"], validate=True))
        key = serialization.load_pem_private_key(base64.b64decode(data["tls.key"], validate=True), password=None)
        public = certificate.public_key()
        list(certificate.extensions)  # read now: only asking for them shows that they are broken
    except Exception:
        # A dozen classes of three packages. What they say is dropped, since it might repeat a part of the key.
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
        return Pair(certificate, key)
    return None


def text(data: Mapping[str, Any], key: str) -> str | None:
    """Return an entry of a Secret's data as text, or None when it is not there or no text."""
    try:
        return base64.b64decode(data[key], validate=True).decode()
    except (KeyError, TypeError, ValueError):
        return None


def data(pair: Pair, authority: x509.Certificate) -> dict[str, str]:
    """Return the data of a Secret of type kubernetes.io/tls, with the authority's certificate beside the pair."""
    key = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    texts = {"tls.crt": pem(pair.certificate).encode(), "tls.key": key, "ca.crt": pem(authority).encode()}
    return {name: base64.b64encode(text).decode() for name, text in texts.items()}
