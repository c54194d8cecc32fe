"""Where the key and the chain that sign come from: files, the environment, or a function that asks a KMS.

What is read here is in no message, plan, row or log: a line about a key names where it came from, never what it holds.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from catalogs.campaigns.credentials import Credentials
from catalogs.errors import OptionError, one_line
from inference.credentials.chain import BadChain, Chain, read_chain
from inference.credentials.development import CHAIN_FILE, KEY_FILE

KEY, CHAIN, SIGNER = "PACKSHOT_CREDENTIALS_KEY", "PACKSHOT_CREDENTIALS_CHAIN", "PACKSHOT_CREDENTIALS_SIGNER"
MAX_BYTES = 1_000_000
_PROBE = b"packshot: whether this signer has the key of its certificate"
_HASHES = {"es256": hashes.SHA256(), "es384": hashes.SHA384(), "es512": hashes.SHA512(), "ps256": hashes.SHA256()}

Callback = Callable[[bytes], bytes]


class NoKey(OptionError):
    """Nothing says what to sign with."""


@dataclass(frozen=True)
class SigningKey:
    """What signs.

    Attributes:
        chain: the certificates that go into each file.
        origin: where they are from, for messages.
        secret: the private key as unencrypted PEM, None for a callback.
        callback: makes a signature of the bytes it is given, raw (r then s) for elliptic curves.
    """

    chain: Chain
    origin: str
    secret: bytes | None = field(default=None, repr=False)
    callback: Callback | None = field(default=None, repr=False)


def load_key(credentials: Credentials, source: str, probe: bool = False) -> SigningKey:
    """The key and the chain that a campaign signs with.

    Args:
        source: the campaign file, for messages.
        probe: also let a callback sign something, and see whether it has the right key.

    Raises:
        NoKey: there is none.
        OptionError: one line about what readers would not accept, or about a key that is another's.
    """
    callback_name = os.environ.get(SIGNER, "").strip()
    where, pem = _chain_text(credentials, source, bool(callback_name))
    try:
        chain, leaf = read_chain(pem)
    except BadChain as bad:
        raise OptionError(where, "", bad.problem, bad.fix) from None
    if callback_name:
        callback = _callback(callback_name)
        if probe:
            _try(callback, leaf, chain.algorithm)
        return SigningKey(chain, where, callback=callback)
    origin, (where, secret) = where, _key_text(credentials, source)
    return SigningKey(chain, origin, secret=_private_key(secret, where, leaf))


def _chain_text(credentials: Credentials, source: str, has_callback: bool) -> tuple[str, str]:
    if _is_set(CHAIN):
        return CHAIN, _text_of(CHAIN)
    if _is_set(KEY) and not has_callback:
        raise OptionError(CHAIN, "", f"is not set beside {KEY}", "give the certificate that belongs to that key")
    return _file(credentials.chain, "chain", source)


def _key_text(credentials: Credentials, source: str) -> tuple[str, str]:
    if _is_set(KEY):
        return KEY, _text_of(KEY)
    if _is_set(CHAIN):
        raise OptionError(KEY, "", f"is not set beside {CHAIN}", "give the private key of that certificate")
    return _file(credentials.key, "key", source)


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def _text_of(name: str) -> str:
    """A variable that holds PEM, or the path of a file with it; its value is in no message."""
    value = os.environ[name].strip()
    if "-----BEGIN" in value:
        # Where secrets are set on one line, line ends are often written out.
        return value.replace("\\n", "\n") if "\n" not in value else value
    try:
        return _read(value)
    except (OSError, ValueError):
        raise OptionError(name, "", "is neither PEM nor a file that can be read", "give one of them") from None


def _file(path: str, key: str, source: str) -> tuple[str, str]:
    try:
        return path, _read(path)
    except FileNotFoundError:
        fix = f"name the file, or set {KEY} and {CHAIN}; {_for_development(path, key)}"
        raise NoKey(source, f"credentials.{key}", f"there is nothing to sign with: no file {path}", fix) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise OptionError(source, f"credentials.{key}", f"{path} cannot be read ({why})", "name another") from None


def _for_development(path: str, key: str) -> str:
    """Which command makes it, where one does: the names of its files are its own."""
    folder, name = os.path.split(path)
    if name == {"key": KEY_FILE, "chain": CHAIN_FILE}[key]:
        return f"for development: `packshot credentials init {folder or '.'}`"
    written = f"{os.path.join(folder, KEY_FILE)} and {CHAIN_FILE}"
    return f"for development: `packshot credentials init {folder or '.'}`, which writes {written} to be named"


def _read(path: str) -> str:
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    if not os.path.isfile(path) or os.path.getsize(path) > MAX_BYTES:
        raise ValueError(path)  # a pipe would be waited for
    with open(path, encoding="utf-8-sig") as file:  # some editors write a mark of the encoding before all
        text = file.read()
    if not text.isascii():
        raise ValueError(path)
    return text


def _private_key(pem: str, where: str, leaf: x509.Certificate) -> bytes:
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise OptionError(where, "", "the key has a password", "give it without one, or a signer") from None
    except (ValueError, UnsupportedAlgorithm):
        raise OptionError(where, "", "holds no private key that can be read", "give it as PEM (PKCS #8)") from None
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise OptionError(where, "", "is not the key of the certificate", "give the key that the certificate is for")
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _callback(name: str) -> Callback:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # it is not ours, and may fail in any way
        said = f"cannot be loaded ({type(error).__name__}: {one_line(str(error))[:200]})"
        raise OptionError(SIGNER, name, said, "write MODULE:FUNCTION of a module that can be imported here") from None
    if not callable(found):
        raise OptionError(SIGNER, name, "is no function", "write MODULE:FUNCTION")
    signer: Callback = found
    return signer


def _try(callback: Callback, leaf: x509.Certificate, algorithm: str) -> None:
    name = os.environ[SIGNER].strip()
    try:
        signature = bytes(callback(_PROBE))
    except Exception as error:
        said = f"could not sign ({type(error).__name__}: {one_line(str(error))[:200]})"
        raise OptionError(SIGNER, name, said, "see whether it may use its key from here") from None
    try:
        _verify(leaf, algorithm, signature)
    except (InvalidSignature, ValueError):
        fix = f"give the chain of its key; signatures are {algorithm}, raw r and s for elliptic curves"
        raise OptionError(SIGNER, name, "does not sign with the key of the certificate", fix) from None


def _verify(leaf: x509.Certificate, algorithm: str, signature: bytes) -> None:
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        half = (key.curve.key_size + 7) // 8
        if len(signature) != 2 * half:
            raise ValueError("not raw")
        r, s = (int.from_bytes(signature[i : i + half], "big") for i in (0, half))
        key.verify(encode_dss_signature(r, s), _PROBE, ec.ECDSA(_HASHES[algorithm]))
    elif isinstance(key, rsa.RSAPublicKey):
        digest = _HASHES[algorithm]
        key.verify(signature, _PROBE, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, _PROBE)
