"""Files and chains that somebody damaged: a verdict or a line each, never a traceback."""

from __future__ import annotations

import random

import pytest

from inference.credentials.chain import BadChain, read_chain
from inference.credentials.likeness import decoded
from inference.credentials.reading import CredentialReader, Verdict
from tests.inference.credentials.chains import made
from tests.inference.credentials.pictures import MIMES, signed_by

FEW = pytest.param(200)
MANY = pytest.param(3000, marks=pytest.mark.slow)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Changed in one place or in many: bytes replaced, cut out, put in; lengths made huge; the end cut off."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        at = chance.randrange(max(1, len(made)))
        how = chance.randrange(5)
        if how == 0:
            made[at : at + 1] = bytes([chance.randrange(256)])
        elif how == 1:
            del made[at : at + chance.randrange(1, 400)]
        elif how == 2:
            made[at:at] = chance.randbytes(chance.randrange(1, 60))
        elif how == 3:
            made[at : at + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
        elif chance.random() < 0.2:
            del made[at:]
    return bytes(made)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_damaged_files_get_a_verdict_and_none_is_trusted_with_other_pixels(count: int) -> None:
    one, chance = made(), random.Random(count)
    files = [signed_by(one, format) for format in MIMES]
    pictures = {image.tobytes() for data in files if (image := decoded(data))}
    reader, seen = CredentialReader(one.root), set()
    for _ in range(count):
        data = damaged(chance.choice(files), chance)
        found = reader.read(data)
        seen.add(found.verdict)
        assert "\n" not in found.why
        if found.verdict is Verdict.TRUSTED:
            image = decoded(data)
            assert image is not None
            assert image.tobytes() in pictures
    assert {Verdict.TAMPERED, Verdict.UNREADABLE} <= seen


@pytest.mark.parametrize("count", [FEW, MANY])
def test_damaged_chains_are_refused_in_a_line(count: int) -> None:
    chance, refused, taken = random.Random(count), 0, 0
    chain = made().chain.encode()
    for _ in range(count):
        try:
            read_chain(damaged(chain, chance).decode("latin-1"))
        except BadChain as bad:
            refused += bool(bad.fix) and "\n" not in str(bad)
        else:
            taken += 1
    assert refused + taken == count
    assert refused > count / 2
