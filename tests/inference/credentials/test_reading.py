"""What is said of files that were changed, in each of the formats that are delivered."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from PIL import Image, PngImagePlugin

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.credentials import Credentials
from inference.credentials.development import development_chain
from inference.credentials.manifest import manifest
from inference.credentials.reading import CredentialReader, Verdict
from inference.credentials.signing import Signing, settings_of
from inference.finishing.finish import finish
from inference.finishing.metadata import AssetMetadata
from tests.inference.credentials.chains import Made, made
from tests.inference.credentials.pictures import EDITS, MAKING, MIMES, encoded, key_of, picture, read, signed_by

FORMATS = tuple(MIMES)
MARKED = AssetMetadata("f" * 64, "Acme", "Mug", model="klein-4b", model_revision="r1", signed=True)


@pytest.fixture(scope="module")
def one() -> Made:
    return made()


@pytest.fixture(scope="module")
def signed(one: Made) -> dict[str, bytes]:
    return {format: signed_by(one, format) for format in FORMATS}


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def pixels_of(data: bytes) -> int:
    """A place in the pixels' bytes."""
    return data.index(b"VP8 ") + 60 if data.startswith(b"RIFF") else len(data) - 60


@pytest.mark.parametrize("format", FORMATS)
def test_who_is_trusted_is_the_readers_choice(signed: dict[str, bytes], one: Made, format: str) -> None:
    found = read(signed[format], one.root)
    assert (found.verdict, found.why, found.issuer) == (Verdict.TRUSTED, "", "Acme")
    assert (found.made_by, found.source_type, found.sources) == ("klein-4b r1", "trainedAlgorithmicMedia", 1)
    assert (found.training, found.signed_at) == ("notAllowed", "")
    assert read(signed[format]).verdict == Verdict.UNKNOWN_ISSUER
    assert read(signed[format], made().root).verdict == Verdict.UNKNOWN_ISSUER


CHANGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a bit of the pixels": (lambda data: flipped(data, pixels_of(data)), "picture or metadata were changed"),
    "appended bytes": (lambda data: data + b"xxxx", "4 bytes were added behind the picture"),
    "cut": (lambda data: data[:-30], "the end of the file is cut off"),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("change", CHANGES)
def test_tampered(signed: dict[str, bytes], one: Made, format: str, change: str) -> None:
    make, why = CHANGES[change]
    found = read(make(signed[format]), one.root)
    assert found.verdict == Verdict.TAMPERED
    assert found.why == why or found.why.startswith(why)


@pytest.mark.parametrize(("format", "at"), [("jpeg", 4), ("jpeg", 20), ("webp", 17)])
def test_a_byte_that_hides_the_credential_from_readers(signed: dict[str, bytes], format: str, at: int) -> None:
    found = read(flipped(signed[format], at))
    assert found.verdict in (Verdict.TAMPERED, Verdict.UNREADABLE)
    assert found.why


def test_an_edited_credential(signed: dict[str, bytes], one: Made) -> None:
    found = read(signed["jpeg"].replace(b"trainedAlgorithmicMedia", b"digitalCaptureXXXXXXXXX"), one.root)
    assert (found.verdict, found.why) == (Verdict.TAMPERED, "its credential was changed")


def test_every_byte_of_a_credential_counts_or_is_padding(signed: dict[str, bytes], one: Made) -> None:
    """Wherever a byte of it is changed, nothing falls over; what goes unseen is padding, a fifth of it."""
    data, reader = signed["jpeg"], CredentialReader(one.root)
    start, end = data.index(b"jumb"), len(data)
    seen = [reader.read(flipped(data, at)).verdict for at in range(start, end, 37)]
    assert set(seen) <= {Verdict.TAMPERED, Verdict.TRUSTED, Verdict.NONE, Verdict.UNREADABLE, Verdict.UNKNOWN_ISSUER}
    assert seen.count(Verdict.TRUSTED) < len(seen) / 3


@pytest.mark.parametrize("format", FORMATS)
def test_metadata_that_was_edited(one: Made, format: str) -> None:
    channel = Channel(name="web", width=96, height=72, format=format)  # type: ignore[arg-type]
    signing = Signing(key_of(one), Credentials())
    sign = lambda data, edits: signing.sign(data, MIMES[format], MAKING, EDITS).data  # noqa: E731
    data = finish(picture(), channel, MARKED, sign).data
    assert read(data, one.root).verdict == Verdict.TRUSTED
    assert read(data, one.root).iptc == "trainedAlgorithmicMedia"
    assert read(data.replace(b"klein-4b", b"camera-x", 1), one.root).verdict == Verdict.TAMPERED


@pytest.mark.parametrize("format", FORMATS)
def test_saved_again_it_is_gone(signed: dict[str, bytes], format: str) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(signed[format])).save(buffer, format.upper())
    assert read(buffer.getvalue()).verdict == Verdict.NONE


@pytest.mark.parametrize("format", FORMATS)
def test_what_kept_its_metadata_is_known_to_be_stripped(format: str) -> None:
    """Servers that make files smaller keep XMP and drop what they do not know."""
    channel = Channel(name="web", width=96, height=72, format=format)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(finish(picture(), channel, MARKED, lambda data, edits: data).data))
    xmp = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
    buffer, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    image.save(buffer, format.upper(), **({"pnginfo": info} if format == "png" else {"xmp": xmp}))
    found = read(buffer.getvalue())
    assert (found.verdict, found.iptc) == (Verdict.STRIPPED, "trainedAlgorithmicMedia")


def test_signed_with_another_key(one: Made) -> None:
    """c2pa notices when it signs; a tool that does not look makes such files."""
    import c2pa

    settings = settings_of()
    settings["verify"]["verify_after_sign"] = False
    info = c2pa.C2paSignerInfo(b"es256", one.chain.encode(), made().key.encode(), None)
    context, signed = c2pa.Context(c2pa.Settings.from_dict(settings), c2pa.Signer.from_info(info)), io.BytesIO()
    c2pa.Builder(manifest(MAKING, "image/jpeg", EDITS, "unsaid"), context=context).sign(
        "image/jpeg", io.BytesIO(encoded()), signed
    )
    assert read(signed.getvalue(), one.root).verdict == Verdict.TAMPERED


def test_a_certificate_that_has_ended() -> None:
    ends = made(ends=timedelta(seconds=3))  # whole seconds, so it may be little more than two
    data = signed_by(ends)
    assert read(data, ends.root).verdict == Verdict.TRUSTED
    time.sleep(4)
    assert read(data, ends.root).verdict == Verdict.EXPIRED


def test_a_development_certificate_is_never_trusted() -> None:
    files = development_chain()
    one = Made(files.key, files.chain, "", files.root)
    for anchors in ("", files.root):
        assert read(signed_by(one), anchors).verdict == Verdict.DEVELOPMENT


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"", Verdict.UNREADABLE),
        (b"hello", Verdict.UNREADABLE),
        (b"\xff\xd8\xff", Verdict.UNREADABLE),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, Verdict.UNREADABLE),
        (b"GIF89a" + b"\0" * 50, Verdict.UNREADABLE),
        (encoded("jpeg"), Verdict.NONE),
        (encoded("png"), Verdict.NONE),
        (encoded("webp"), Verdict.NONE),
    ],
)
def test_what_was_never_signed(data: bytes, verdict: Verdict) -> None:
    assert read(data).verdict == verdict
