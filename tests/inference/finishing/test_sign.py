"""Signing inside finishing: after the one encoding, before the hash, within the channel's limit."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from catalogs.campaigns.channels import Channel
from inference.finishing.encode import OverByteLimit
from inference.finishing.finish import finish
from inference.finishing.metadata import AssetMetadata
from inference.finishing.sign import SPARE, Edit, crop_edits

META = AssetMetadata("f" * 64, "Acme", "Mug", model="klein-4b")
CREDENTIAL = 5_000


class Stamp:
    """Appends so many bytes, as a signature is of no fixed size."""

    def __init__(self, size: int = CREDENTIAL) -> None:
        self.size, self.edits, self.calls = size, [], 0
        self.edits: list[Edit] = []

    def __call__(self, data: bytes, edits: Sequence[Edit]) -> bytes:
        self.edits, self.calls = list(edits), self.calls + 1
        return data + bytes(self.size - self.calls)


def photo(side: int = 256) -> Image.Image:
    coarse = np.random.default_rng(3).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def channel(format: str = "jpeg", width: int = 256, height: int = 256, max_bytes: int | None = None) -> Channel:
    return Channel.model_validate(
        {"name": "web", "width": width, "height": height, "format": format, "max_bytes": max_bytes}
    )


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_the_hash_is_of_the_signed_file(format: str) -> None:
    plain, signed = finish(photo(), channel(format), META), finish(photo(), channel(format), META, Stamp())
    assert signed.sha256 == hashlib.sha256(signed.data).hexdigest()
    assert len(signed.data) == len(plain.data) + CREDENTIAL - 1
    assert (signed.pixel_sha256, signed.quality) == (plain.pixel_sha256, plain.quality)


def test_the_steps_are_told_in_order() -> None:
    stamp = Stamp()
    finish(photo(), channel(width=128, height=64), META, stamp)
    assert stamp.edits == [
        Edit("crop", {"width": 256, "height": 128}),
        Edit("resize", {"width": 128, "height": 64}),
        Edit("encode", {"format": "jpeg", "quality": 92}),
    ]
    finish(photo(), channel("png"), META, stamp)
    assert stamp.edits == [Edit("encode", {"format": "png"})]


@pytest.mark.parametrize(
    ("master", "made", "steps"),
    [
        ((100, 100), (100, 100), []),
        ((100, 100), (50, 50), ["resize"]),
        ((100, 100), (100, 50), ["crop"]),
        ((100, 100), (50, 25), ["crop", "resize"]),
        ((100, 100), (400, 400), ["resize"]),
        ((1440, 1440), (1080, 1350), ["crop", "resize"]),
    ],
)
def test_what_a_crop_did(master: tuple[int, int], made: tuple[int, int], steps: list[str]) -> None:
    assert [edit.step for edit in crop_edits(master, None, made)] == steps


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_the_limit_holds_for_the_signed_file(format: str) -> None:
    plain, stamp = finish(photo(), channel(format), META), Stamp()
    room = len(plain.data) + CREDENTIAL + SPARE
    assert finish(photo(), channel(format, max_bytes=room), META, stamp).quality == plain.quality
    assert stamp.calls == 1
    if format == "png":
        return
    tight = finish(photo(), channel(format, max_bytes=len(plain.data) + 100), META, Stamp())
    assert len(tight.data) <= len(plain.data) + 100
    assert tight.quality is not None
    assert plain.quality is not None
    assert tight.quality < plain.quality
    Image.open(io.BytesIO(tight.data)).load()


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_no_room_for_both_is_over_the_limit(format: str) -> None:
    limit = len(finish(photo(), channel("png"), META).data) + 3_000 if format == "png" else 12_000
    finish(photo(), channel(format, max_bytes=limit), META)
    with pytest.raises(OverByteLimit, match="set max_bytes to") as caught:
        finish(photo(), channel(format, max_bytes=limit), META, Stamp(6_000))
    assert "content credential of 6," in str(caught.value)
    advised = int(str(caught.value).split("set max_bytes to ")[1].split()[0])
    assert len(finish(photo(), channel(format, max_bytes=advised), META, Stamp(6_000)).data) <= advised


def test_a_credential_that_grows_over_the_limit_is_noticed() -> None:
    class Growing(Stamp):
        def __call__(self, data: bytes, edits: Sequence[Edit]) -> bytes:
            self.calls += 1
            return data + bytes(1_000 if self.calls == 1 else 100_000)

    plain = finish(photo(), channel(), META)
    with pytest.raises(OverByteLimit):
        finish(photo(), channel(max_bytes=len(plain.data) + 100), META, Growing())


def test_without_a_signature_nothing_says_there_is_one() -> None:
    assert b"ContentCredentials" not in finish(photo(), channel(), META).data
    signed = AssetMetadata("f" * 64, "Acme", "Mug", model="klein-4b", signed=True)
    assert b"packshot:ContentCredentials" in finish(photo(), channel(), signed).data
