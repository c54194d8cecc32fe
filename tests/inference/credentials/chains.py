"""Certificate chains as they come, right and wrong, made in the test that uses them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from inference.credentials.chain import CLAIM_SIGNING

EMAIL, ANY, SERVER = (
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    ExtendedKeyUsageOID.SERVER_AUTH,
)
DOCUMENTS = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
STAMPING, OCSP = ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING
DAY = dt.timedelta(days=1)
__all__ = ["ANY", "CLAIM_SIGNING", "DOCUMENTS", "EMAIL", "SERVER"]


@dataclass(frozen=True)
class Made:
    """A chain as PEM; `leaf` and `middle` are its parts."""

    key: str
    leaf: str
    middle: str
    root: str

    @property
    def chain(self) -> str:
        return self.leaf + self.middle


def made(
    usages: Sequence[ObjectIdentifier] | None = (EMAIL,),
    *,
    key: Any = None,
    begins: dt.timedelta = -DAY,
    ends: dt.timedelta = 30 * DAY,
    key_usage: bool = True,
    digital_signature: bool = True,
    basic: bool = True,
    organisation: str = "Acme",
    self_signed: bool = False,
    critical: bool = False,
    names_issuers_key: bool = True,
    certifies: bool = False,
) -> Made:
    """A root, an issuer and a signer's certificate, which differs from a right one as it is told."""
    root_key, middle_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    key = key or ec.generate_private_key(ec.SECP256R1())
    root = _certificate("root", "root", root_key, root_key, authority=True)
    middle = _certificate("issuer", "root", middle_key, root_key, authority=True)
    issuer, issuer_key = ("signer", key) if self_signed else ("issuer", middle_key)
    now = dt.datetime.now(dt.UTC)
    builder = _builder("signer", issuer, key, issuer_key, organisation, now + begins, now + ends, names_issuers_key)
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if key_usage:
        builder = builder.add_extension(_usage(digital_signature, certifies or not digital_signature), critical=True)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=critical)
    leaf = builder.sign(issuer_key, None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return Made(secret(key), _pem(leaf), _pem(middle), _pem(root))


def keys() -> dict[str, Any]:
    """A key of each kind that readers accept, by c2pa's name of its signatures."""
    return {
        "es256": ec.generate_private_key(ec.SECP256R1()),
        "es384": ec.generate_private_key(ec.SECP384R1()),
        "es512": ec.generate_private_key(ec.SECP521R1()),
        "ps256": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


def secret(key: Any, password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return pem.decode()


def _certificate(name: str, issuer: str, key: Any, issuer_key: Any, authority: bool) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = _builder(name, issuer, key, issuer_key, "Authority", now - DAY, now + 3650 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    return builder.add_extension(_usage(False, True), critical=True).sign(issuer_key, hashes.SHA256())


def _builder(
    name: str,
    issuer: str,
    key: Any,
    issuer_key: Any,
    organisation: str,
    begins: dt.datetime,
    ends: dt.datetime,
    names_issuers_key: bool = True,
) -> x509.CertificateBuilder:
    owner = organisation if issuer == name else "Authority"
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name, organisation))
        .issuer_name(_name(issuer, owner))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(begins, ends - DAY / 2))
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not names_issuers_key:
        return builder
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(identifier, critical=False)


def _name(name: str, organisation: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organisation:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _usage(signs: bool, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(signs, False, False, False, False, certifies, certifies, False, False)


def _pem(one: x509.Certificate) -> str:
    return one.public_bytes(serialization.Encoding.PEM).decode()
