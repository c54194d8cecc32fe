"""A certificate chain of one's own, for trying things out: it names itself so, and no reader trusts it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from catalogs.errors import OptionError
from inference.credentials.chain import DEVELOPMENT

KEY_FILE, CHAIN_FILE, ROOT_FILE = "key.pem", "chain.pem", "root.pem"
_YEARS = timedelta(days=3650)


class Files(NamedTuple):
    """A chain as PEM: the private key, the signer's certificate with its issuer's, and the root."""

    key: str
    chain: str
    root: str


class _Issuer(NamedTuple):
    name: x509.Name
    key: ec.EllipticCurvePrivateKey


def development_chain(organisation: str = DEVELOPMENT) -> Files:
    """A new key, its certificate, and an authority of two stages that nobody knows."""
    root_key, issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = _Issuer(_named("root", organisation), root_key)
    issuer = _Issuer(_named("issuer", organisation), issuer_key)
    anchor = certificate(root.name, root_key, root, authority=True)
    middle = certificate(issuer.name, issuer_key, root, authority=True)
    usages = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)
    leaf = certificate(_named("signer", organisation), key, issuer, usages=usages)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Files(secret.decode(), _pem(leaf) + _pem(middle), _pem(anchor))


def certificate(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: _Issuer,
    authority: bool = False,
    usages: Sequence[ObjectIdentifier] = (),
) -> x509.Certificate:
    """A certificate as readers want it."""
    now = datetime.now(UTC)
    usage = dict.fromkeys(_USAGES, False) | (
        {"key_cert_sign": True, "crl_sign": True} if authority else {"digital_signature": True}
    )
    builder = (
        x509.CertificateBuilder(issuer.name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _named(what: str, organisation: str) -> x509.Name:
    common = f"{organisation}: {what}"[:64]
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _pem(one: x509.Certificate) -> str:
    return one.public_bytes(serialization.Encoding.PEM).decode()


def write_development_chain(folder: Path) -> list[Path]:
    """Write a chain into a folder, made if need be, and what keeps it out of git.

    Returns the files written. The key can be read by its owner alone.

    Raises:
        OptionError: one of them is there already, or the folder cannot be written to.
    """
    made = development_chain()
    contents = {KEY_FILE: made.key, CHAIN_FILE: made.chain, ROOT_FILE: made.root}
    for name in contents:
        if os.path.lexists(folder / name):
            fix = "it is not overwritten: choose another folder, or move the file away"
            raise OptionError(str(folder), name, "is there already", fix)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [_create(folder / name, text) for name, text in contents.items()]
        if not os.path.lexists(folder / ".gitignore"):
            written.append(_create(folder / ".gitignore", "*\n"))
    except OSError as error:
        problem = f"cannot be written to ({error.strerror})"
        raise OptionError(str(folder), "", problem, "choose a folder you may write to") from error
    return written


def _create(path: Path, text: str) -> Path:
    # Never overwritten, also where somebody else writes it just now; the mode is there from the beginning.
    mode = 0o600 if path.name == KEY_FILE else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    return path
