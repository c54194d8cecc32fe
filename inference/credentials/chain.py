"""A certificate chain against what readers of content credentials accept.

The rules are those of the C2PA's certificate profile as c2pa-python 0.38 keeps them when it signs and when it reads;
some it only keeps when it reads, and a file signed against them would be called invalid everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

DEVELOPMENT = "packshot development - not trusted"
"""Organisation of the certificates that `packshot credentials init` makes."""

CLAIM_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
READ = (ExtendedKeyUsageOID.EMAIL_PROTECTION, CLAIM_SIGNING)
"""Extended key usages that readers take of a signer."""

_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_RSA_BITS = 2048


class BadChain(Exception):
    """What is wrong with a chain or a key.

    Args:
        problem: what readers would not accept.
        fix: what to do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; {fix}")


@dataclass(frozen=True)
class Chain:
    """A chain that readers accept.

    Attributes:
        pem: the signer's certificate first, then its issuers'.
        algorithm: c2pa's name of the signature that the signer's key makes.
        organisation: whom readers name as the signer, "" where the certificate does not say.
        ends: when the first of its certificates ends.
        is_development: made by `packshot credentials init`, or named as if it was.
        has_issuer: whether the issuer of the signer's certificate is in it.
    """

    pem: str
    algorithm: str
    organisation: str
    ends: datetime
    is_development: bool
    has_issuer: bool


def read_chain(pem: str, now: datetime | None = None) -> tuple[Chain, x509.Certificate]:
    """A chain and its signer's certificate.

    Raises:
        BadChain: it is no chain, or readers would not accept it.
    """
    if "PRIVATE KEY-----" in pem:
        raise BadChain("holds a private key, and is written into files", "leave only certificates in it")
    certificates = _certificates(pem)
    try:
        return _checked(pem, certificates, now or datetime.now(UTC))
    except BadChain:
        raise
    except Exception as error:  # parts of a certificate are read only when they are asked for, and fail in many ways
        problem = f"holds a certificate that cannot be read ({type(error).__name__})"
        raise BadChain(problem, "give it as the authority issued it") from None


def _checked(pem: str, certificates: Sequence[x509.Certificate], now: datetime) -> tuple[Chain, x509.Certificate]:
    leaf = certificates[0]
    _check_order(certificates)
    _check_times(certificates, now)
    _check_usage(leaf)
    organisations = [_organisation(one) for one in certificates]
    ends = min(one.not_valid_after_utc for one in certificates)
    chain = Chain(
        pem=pem,
        algorithm=algorithm_of(leaf),
        organisation=organisations[0],
        ends=ends,
        is_development=DEVELOPMENT in organisations,
        has_issuer=len(certificates) > 1,
    )
    return chain, leaf


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, x509.InvalidVersion):
        fix = "give the signer's certificate and its issuers' as PEM, each from BEGIN to END CERTIFICATE"
        raise BadChain("holds no certificates that can be read", fix) from None


def _check_order(chain: Sequence[x509.Certificate]) -> None:
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        if len(chain) > 1:
            raise _reversed()
        fix = "take one that an authority issued, or `packshot credentials init` for development"
        raise BadChain("the signer's certificate is self-signed, which readers do not accept", fix)
    if _is_authority(leaf):
        if len(chain) > 1:
            raise _reversed()
        raise BadChain("holds an authority's certificate and no signer's", "put the signer's before it")
    for child, parent in pairwise(chain):
        if not _is_authority(parent):
            raise BadChain(f"{_name(parent)!r} may issue no certificates", "give those of the authorities after it")
        try:
            child.verify_directly_issued_by(parent)
        except (ValueError, TypeError, InvalidSignature):
            fix = "put the signer's certificate first, and after each the one that issued it"
            problem = f"{_name(child)!r} was not issued by {_name(parent)!r}, which stands after it"
            raise BadChain(problem, fix) from None


def _reversed() -> BadChain:
    return BadChain(
        "begins with an authority", "put the signer's certificate first, and after each the one that issued it"
    )


def _check_times(chain: Sequence[x509.Certificate], now: datetime) -> None:
    for one in chain:
        if one.not_valid_after_utc <= now:
            raise BadChain(f"{_name(one)!r} ended on {one.not_valid_after_utc:%Y-%m-%d}", "renew the certificate")
        if one.not_valid_before_utc > now:
            problem = f"{_name(one)!r} begins only on {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            raise BadChain(problem, "wait for it, or set the clock of this machine right")


def _check_usage(leaf: x509.Certificate) -> None:
    ask = "ask the authority for one for e-mail protection or C2PA claim signing"
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise BadChain(
            f"{_name(leaf)!r} has no key usage", "ask the authority for one for digital signatures"
        ) from None
    if not usage.digital_signature:
        raise BadChain(f"{_name(leaf)!r} is not for digital signatures", "take one that is")
    try:
        extended = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        raise BadChain(f"{_name(leaf)!r} has no extended key usage", ask) from None
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in extended:
        raise BadChain(f"{_name(leaf)!r} is for any use, which readers do not accept", ask)
    if not set(READ).intersection(extended):
        raise BadChain(f"{_name(leaf)!r} is for other uses than readers accept", ask)


def algorithm_of(certificate: x509.Certificate) -> str:
    """c2pa's name of the signatures of a certificate's key.

    Raises:
        BadChain: it is of a kind that readers do not know.
    """
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    fix = f"take one on P-256, P-384, P-521 or Ed25519, or RSA of {_RSA_BITS} bits or more"
    raise BadChain(f"the key of {_name(certificate)!r} is of a kind that readers do not accept", fix)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _organisation(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:120]
