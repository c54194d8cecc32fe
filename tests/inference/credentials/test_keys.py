from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from catalogs.campaigns.credentials import Credentials
from catalogs.errors import OptionError
from inference.credentials.chain import DEVELOPMENT
from inference.credentials.development import development_chain, write_development_chain
from inference.credentials.keys import CHAIN, KEY, SIGNER, NoKey, SigningKey, load_key
from inference.credentials.signing import Signing, try_key
from tests.inference.credentials.chains import Made, keys, made, secret
from tests.inference.credentials.pictures import EDITS, MAKING, encoded, read


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY, CHAIN, SIGNER):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def one() -> Made:
    return made()


def section(folder: Path) -> Credentials:
    return Credentials(key=str(folder / "key.pem"), chain=str(folder / "chain.pem"))


def write(folder: Path, key: str, chain: str) -> Credentials:
    (folder / "key.pem").write_text(key)
    (folder / "chain.pem").write_text(chain)
    return section(folder)


def test_from_files(tmp_path: Path, one: Made) -> None:
    assert load_key(write(tmp_path, one.key, one.chain), "c.yaml").chain.organisation == "Acme"


@pytest.mark.parametrize("form", ["pem", "one line", "path"])
def test_the_environment_wins(form: str, tmp_path: Path, one: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    other = made(organisation="Other")
    values = {KEY: other.key, CHAIN: other.chain}
    for name, value in values.items():
        if form == "one line":
            value = value.strip().replace("\n", "\\n")
        if form == "path":
            (tmp_path / name).write_text(value)
            value = str(tmp_path / name)
        monkeypatch.setenv(name, value)
    assert load_key(write(tmp_path, one.key, one.chain), "c.yaml").chain.organisation == "Other"


def test_no_key_names_both_ways_to_one(tmp_path: Path) -> None:
    with pytest.raises(NoKey) as caught:
        load_key(section(tmp_path / "credentials"), "c.yaml")
    line = str(caught.value)
    assert line.startswith("c.yaml: credentials.chain: there is nothing to sign with")
    assert f"packshot credentials init {tmp_path / 'credentials'}" in line
    assert KEY in line
    assert CHAIN in line


@pytest.mark.parametrize(("name", "writes"), [("key.pem", False), ("mine.pem", True)])
def test_what_init_does_not_write_it_is_not_said_to(tmp_path: Path, one: Made, name: str, writes: bool) -> None:
    (tmp_path / "chain.pem").write_text(one.chain)
    asked = Credentials(key=str(tmp_path / name), chain=str(tmp_path / "chain.pem"))
    with pytest.raises(NoKey, match="packshot credentials init") as caught:
        load_key(asked, "c.yaml")
    assert (f"which writes {tmp_path / 'key.pem'} and chain.pem to be named" in str(caught.value)) is writes


def test_a_mark_of_the_encoding_is_no_fault(tmp_path: Path, one: Made) -> None:
    credentials = write(tmp_path, one.key, one.chain)
    Path(credentials.chain).write_text("\ufeff" + one.chain, encoding="utf-8")
    try_key(load_key(credentials, "c.yaml"))


BAD_KEYS: dict[str, tuple[Any, str]] = {
    "another's": (lambda one: made().key, "is not the key of the certificate"),
    "another kind": (lambda one: secret(keys()["ed25519"]), "is not the key of the certificate"),
    "with a password": (lambda one: secret(keys()["es256"], b"hush"), "has a password"),
    "a certificate": (lambda one: one.leaf, "holds no private key"),
    "broken": (lambda one: one.key.replace("M", "N", 3), "holds no private key"),
    "empty": (lambda one: "", "holds no private key"),
    "letters of another alphabet": (lambda one: "ключ", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_a_key_that_is_none(case: str, tmp_path: Path, one: Made) -> None:
    change, problem = BAD_KEYS[case]
    with pytest.raises(OptionError, match=problem) as caught:
        load_key(write(tmp_path, change(one), one.chain), "c.yaml")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("given", "missing"), [(KEY, CHAIN), (CHAIN, KEY)])
def test_one_variable_wants_the_other(given: str, missing: str, one: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(given, one.key if given == KEY else one.chain)
    with pytest.raises(OptionError, match=f"^{missing}: is not set beside {given}"):
        load_key(Credentials(), "c.yaml")


def test_no_line_holds_what_a_variable_does(one: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    body = one.key.split("\n")[1]
    monkeypatch.setenv(CHAIN, one.chain)
    for value in (body, one.key.replace("PRIVATE", "SECRET"), one.key[:-40], "/nowhere/key.pem"):
        monkeypatch.setenv(KEY, value)
        with pytest.raises(OptionError) as caught:
            load_key(Credentials(), "c.yaml")
        assert body[:12] not in str(caught.value)
        assert caught.value.source == KEY
    monkeypatch.setenv(KEY, one.key)
    assert body[:12] not in repr(load_key(Credentials(), "c.yaml"))


def test_an_empty_variable_is_none(tmp_path: Path, one: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY, CHAIN, SIGNER):
        monkeypatch.setenv(name, " ")
    assert load_key(write(tmp_path, one.key, one.chain), "c.yaml").secret


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, one: Made) -> None:
    os.mkfifo(tmp_path / "chain.pem")
    with pytest.raises(OptionError, match="cannot be read"):
        load_key(section(tmp_path), "c.yaml")


KMS = '''
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

KEY = serialization.load_pem_private_key(b"""{key}""", None)
wrong = 1

def sign(data):
    r, s = decode_dss_signature(KEY.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")

def as_der(data):
    return KEY.sign(data, ec.ECDSA(hashes.SHA256()))

def refuse(data):
    raise PermissionError("not allowed to use the key")
'''


@pytest.fixture
def kms(tmp_path: Path, one: Made, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "acme_kms.py").write_text(KMS.format(key=one.key))
    (tmp_path / "broken_kms.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(CHAIN, one.chain)
    yield
    sys.modules.pop("acme_kms", None)


def test_a_callback_signs(kms: None, one: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNER, "acme_kms:sign")
    key = load_key(Credentials(), "c.yaml", probe=True)
    assert key.secret is None
    for _ in range(5):
        signed = Signing(key, Credentials()).sign(encoded(), "image/jpeg", MAKING, EDITS)
        assert read(signed.data, one.root).verdict == "trusted"
        gc.collect()  # c2pa calls into Python from a context that outlives what made it


BAD_SIGNERS = {
    "acme_kms": "cannot be loaded",
    "acme_kms:nothing": "cannot be loaded",
    "broken_kms:sign": "cannot be loaded",
    "no_such_module:sign": "cannot be loaded",
    "acme_kms:wrong": "is no function",
    "acme_kms:refuse": "could not sign .PermissionError: not allowed to use the key",
    "acme_kms:as_der": "does not sign with the key of the certificate",
}


@pytest.mark.parametrize("name", BAD_SIGNERS)
def test_a_callback_that_cannot_sign(kms: None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNER, name)
    with pytest.raises(OptionError, match=BAD_SIGNERS[name]):
        load_key(Credentials(), "c.yaml", probe=True)


def test_a_callback_with_another_key_is_found_before_a_run(kms: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNER, "acme_kms:sign")
    monkeypatch.setenv(CHAIN, made().chain)
    load_key(Credentials(), "c.yaml")  # a plan asks no KMS
    with pytest.raises(OptionError, match="does not sign with the key of the certificate"):
        load_key(Credentials(), "c.yaml", probe=True)


@pytest.mark.parametrize("algorithm", keys())
def test_a_probe_knows_every_kind_of_signature(algorithm: str, kms: None, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys()[algorithm]
    digest = {"es384": hashes.SHA384(), "es512": hashes.SHA512()}.get(algorithm, hashes.SHA256())

    def sign(data: bytes) -> bytes:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            size = (key.curve.key_size + 7) // 8
            return b"".join(n.to_bytes(size, "big") for n in decode_dss_signature(key.sign(data, ec.ECDSA(digest))))
        if algorithm == "ps256":
            return bytes(key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
        return bytes(key.sign(data))

    module: Any = __import__("acme_kms")
    module.sign = sign
    monkeypatch.setenv(SIGNER, "acme_kms:sign")
    monkeypatch.setenv(CHAIN, made(key=key).chain)
    assert isinstance(load_key(Credentials(), "c.yaml", probe=True), SigningKey)


def test_the_development_chain_names_itself_and_is_the_owners_alone(tmp_path: Path) -> None:
    files = write_development_chain(tmp_path / "credentials")
    assert sorted(path.name for path in files) == [".gitignore", "chain.pem", "key.pem", "root.pem"]
    assert (tmp_path / "credentials" / "key.pem").stat().st_mode & 0o777 == 0o600
    key = load_key(section(tmp_path / "credentials"), "c.yaml")
    assert (key.chain.is_development, key.chain.organisation) == (True, DEVELOPMENT)
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(OptionError, match=r"key\.pem: is there already"):
        write_development_chain(tmp_path / "credentials")
    (tmp_path / "credentials" / "key.pem").unlink()
    with pytest.raises(OptionError, match=r"chain\.pem: is there already"):
        write_development_chain(tmp_path / "credentials")
    assert {path: path.read_bytes() for path in files if path.exists()}.items() <= before.items()


def test_two_development_chains_are_two() -> None:
    assert development_chain().key != development_chain().key
