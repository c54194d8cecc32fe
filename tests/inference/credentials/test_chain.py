"""The table of what readers accept: what is refused here, c2pa refuses to sign with or calls invalid when it reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from catalogs.errors import OptionError
from inference.credentials.chain import BadChain, read_chain
from tests.inference.credentials.chains import (
    ANY,
    CLAIM_SIGNING,
    DAY,
    DOCUMENTS,
    EMAIL,
    OCSP,
    SERVER,
    STAMPING,
    Made,
    keys,
    made,
    secret,
)
from tests.inference.credentials.pictures import key_of, read, signed_by

GOOD: dict[str, Callable[[], Made]] = {
    "email protection": made,
    "claim signing": lambda: made((CLAIM_SIGNING,)),
    "both": lambda: made((EMAIL, CLAIM_SIGNING)),
    "critical usage": lambda: made(critical=True),
    "no organisation": lambda: made(organisation=""),
    "no basic constraints": lambda: made(basic=False),
}

BAD: dict[str, tuple[Callable[[], str], str]] = {
    "no certificate": (lambda: "", "holds no certificates"),
    "a key": (lambda: secret(ec.generate_private_key(ec.SECP256R1())), "holds a private key"),
    "a key beside it": (lambda: (m := made()).chain + m.key, "holds a private key"),
    "an issuer that is no authority": (lambda: made().leaf + made().leaf, "may issue no certificates"),
    "no PEM": (lambda: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificates"),
    "reversed": (lambda: (m := made()).middle + m.leaf, "begins with an authority"),
    "root first": (lambda: (m := made()).root + m.middle + m.leaf, "begins with an authority"),
    "an authority alone": (lambda: made().middle, "holds an authority's certificate"),
    "self-signed": (lambda: made(self_signed=True).leaf, "is self-signed"),
    "another issuer": (lambda: made().leaf + made().middle, "was not issued by"),
    "the root where the issuer belongs": (lambda: (m := made()).leaf + m.root, "was not issued by"),
    "no extended key usage": (lambda: made(None).chain, "has no extended key usage"),
    "server": (lambda: made((SERVER,)).chain, "is for other uses"),
    "any": (lambda: made((ANY,)).chain, "is for any use"),
    "any beside a right one": (lambda: made((EMAIL, ANY)).chain, "is for any use"),
    "documents": (lambda: made((DOCUMENTS,)).chain, "is for other uses"),
    "no key usage": (lambda: made(key_usage=False).chain, "has no key usage"),
    "no digital signature": (lambda: made(digital_signature=False).chain, "is not for digital signatures"),
    "ended": (lambda: made(begins=-3 * DAY, ends=-DAY).chain, "ended on"),
    "not begun": (lambda: made(begins=DAY).chain, "begins only on"),
    "short RSA": (lambda: made(key=rsa.generate_private_key(65537, 1024)).chain, "of a kind that readers"),
    "another curve": (lambda: made(key=ec.generate_private_key(ec.SECP256K1())).chain, "of a kind that readers"),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_accepted_reads_as_trusted(case: str) -> None:
    one = GOOD[case]()
    chain, _ = read_chain(one.chain)
    assert (chain.algorithm, chain.is_development, chain.has_issuer) == ("es256", False, True)
    assert chain.organisation == ("" if case == "no organisation" else "Acme")
    assert read(signed_by(one), one.root).verdict == "trusted"


@pytest.mark.parametrize("algorithm", keys())
def test_every_kind_of_key_signs(algorithm: str) -> None:
    one = made(key=keys()[algorithm])
    assert read_chain(one.chain)[0].algorithm == algorithm
    assert read(signed_by(one), one.root).verdict == "trusted"


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str) -> None:
    make, problem = BAD[case]
    with pytest.raises(BadChain, match=problem) as caught:
        read_chain(make())
    assert caught.value.fix
    assert "\n" not in str(caught.value)


READERS_REFUSE: dict[str, dict[str, Any]] = {
    "documents": {"usages": (DOCUMENTS,)},
    "any": {"usages": (ANY,)},
    "server": {"usages": (SERVER,)},
    "no extended key usage": {"usages": None},
    "no key usage": {"key_usage": False},
}


@pytest.mark.parametrize("case", READERS_REFUSE)
def test_c2pa_agrees(case: str) -> None:
    """Each refused usage is refused by c2pa too, when it signs or when it reads; but for a key usage without digital
    signatures, which only the C2PA's certificate profile forbids."""
    from inference.credentials.signing import CredentialsFailed

    one = made(**READERS_REFUSE[case])
    try:
        data = signed_by(one, unchecked=True)
    except CredentialsFailed:
        return
    assert read(data, one.root).verdict != "trusted"


BEYOND: dict[str, dict[str, Any]] = {
    "stamps times too": {"usages": (EMAIL, STAMPING)},
    "answers OCSP too": {"usages": (EMAIL, OCSP)},
    "no key of the issuer": {"names_issuers_key": False},
    "signs certificates too": {"certifies": True},
}


@pytest.mark.parametrize("case", BEYOND)
def test_what_c2pa_refuses_beyond_the_table_is_found_by_a_trial(case: str) -> None:
    from inference.credentials.signing import try_key

    try_key(key_of(made()))
    with pytest.raises(OptionError, match=r"chain\.pem: signs nothing that readers accept .*; ask the authority"):
        try_key(key_of(made(**BEYOND[case])))


def test_a_chain_without_its_issuer_is_taken_and_told() -> None:
    chain, _ = read_chain(made().leaf)
    assert not chain.has_issuer


def test_it_ends_with_its_first_certificate() -> None:
    """Certificates know whole seconds: it ends in that of which it was made, or in the next if that began under way."""
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    one = made(ends=5 * DAY)
    after = dt.datetime.now(dt.UTC)
    assert before + 5 * DAY <= read_chain(one.chain)[0].ends <= after + 5 * DAY
    with pytest.raises(BadChain, match="ended on"):
        read_chain(one.chain, after + 6 * DAY)
