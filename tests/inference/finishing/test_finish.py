from __future__ import annotations

import hashlib
import io
import re
import time
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from catalogs.campaigns.channels import Channel, builtin_channels
from catalogs.errors import StorageError, WorkError
from catalogs.requests import Reason
from inference.finishing import encode, metadata
from inference.finishing.encode import QUALITY_FLOOR, FinishingError, OverByteLimit
from inference.finishing.finish import finish
from inference.finishing.metadata import PROOF_TITLE, TRAINED_ALGORITHMIC_MEDIA, AssetMetadata, xmp_packet
from inference.finishing.pixels import decode_master, encode_master, pixel_sha256, thumbnail, thumbnail_of

FORMATS = ("jpeg", "png", "webp")
META = AssetMetadata(
    "f" * 64,
    "Halden & Moss",
    "Mug <Tuva> \"3\" 'é' 東京",
    model="klein-4b",
    model_revision="r1",
    rights="© H & M",
)
PROOF = AssetMetadata("a" * 64, "Halden & Moss", "Mug", proof=True, model="proof")
Pixels = npt.NDArray[np.uint8]


def noise(width: int = 256, height: int = 256) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gradient(width: int = 256, height: int = 256) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 127 // (width + height)], -1).astype(np.uint8)


def channel(width: int = 256, height: int = 256, **rest: Any) -> Channel:
    return Channel(name="web", width=width, height=height, **rest)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def xmp_of(image: Image.Image) -> str:
    raw = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    return raw.decode() if isinstance(raw, bytes) else str(raw)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(256, 256), (200, 250), (251, 130), (64, 16), (400, 400)])
def test_files_have_format_size_and_profile(format: str, size: tuple[int, int]) -> None:
    finished = finish(gradient(), channel(*size, format=format), META)
    image = opened(finished.data)
    assert (image.format or "").lower() == format
    assert image.size == size == (finished.width, finished.height)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert finished.sha256 == hashlib.sha256(finished.data).hexdigest()
    assert finished.quality == (None if format == "png" else 92)


@pytest.mark.parametrize("format", FORMATS)
def test_metadata_survives_any_text(format: str) -> None:
    image = opened(finish(gradient(), channel(format=format), META).data)
    xmp = xmp_of(image)
    ET.fromstring(xmp[xmp.index("<x:xmpmeta") : xmp.index("<?xpacket end")])
    assert TRAINED_ALGORITHMIC_MEDIA in xmp
    assert META.fingerprint in xmp
    assert "Halden &amp; Moss" in xmp
    assert "klein-4b" in xmp
    assert "© H &amp; M" in xmp
    assert image.getexif()[0x8298].encode("latin-1").decode() == "© H & M"
    assert image.getexif()[0x0131] == "packshot"


@pytest.mark.parametrize("format", FORMATS)
def test_a_proof_says_so_and_claims_nothing(format: str) -> None:
    image = opened(finish(gradient(), channel(format=format), PROOF).data)
    assert PROOF_TITLE in xmp_of(image)
    assert PROOF_TITLE in image.getexif()[0x010E]
    assert "trainedAlgorithmicMedia" not in xmp_of(image)
    assert "AISystemUsed" not in xmp_of(image)


def test_xmp_drops_what_xml_cannot_hold_and_long_texts() -> None:
    packet = xmp_packet(AssetMetadata("f", "b\x00\x1b\ud800rand", "x" * 100_000))
    root = ET.fromstring(packet[packet.index(b"<x:xmpmeta") : packet.index(b"<?xpacket end")])
    assert "brand" in [element.text for element in root.iter()]
    assert len(packet) < 4_000


@pytest.mark.parametrize("format", FORMATS)
def test_lone_surrogates_in_names_do_not_stop_an_asset(format: str) -> None:
    finish(gradient(), channel(format=format), AssetMetadata("f", "\ud800", "\udfff"))


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_are_reproducible_at_another_moment(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = finish(gradient(), channel(format=format), META)
    metadata._srgb_profile.cache_clear()
    time.sleep(1.1 if format == "jpeg" else 0)
    assert finish(gradient(), channel(format=format), META) == first


@pytest.mark.parametrize("format", ["jpeg", "webp"])
@pytest.mark.parametrize("limit", [50_000, 60_000, 70_000])
def test_quality_is_the_highest_that_keeps_the_limit(format: str, limit: int) -> None:
    # Noise is the hardest picture there is: about 2 bytes a pixel at the channel's own quality.
    web = channel(format=format, max_bytes=limit, quality=98)
    finished = finish(noise(), web, META)
    assert len(finished.data) <= limit
    assert finished.quality is not None
    assert QUALITY_FLOOR <= finished.quality < 98
    one_more = channel(format=format, quality=finished.quality + 1)
    assert len(finish(noise(), one_more, META).data) > limit


@pytest.mark.parametrize("format", FORMATS)
def test_over_the_limit_is_a_typed_failure(format: str) -> None:
    with pytest.raises(OverByteLimit, match="over web's 9,000") as caught:
        finish(noise(), channel(format=format, max_bytes=9_000), META)
    assert caught.value.reason is Reason.OVER_BYTE_LIMIT
    assert isinstance(caught.value, WorkError)


@pytest.mark.parametrize("quality", [40, 92, 100])
def test_noise_of_full_size_encodes(quality: int) -> None:
    finish(noise(1024, 1024), channel(1024, 1024, quality=quality), META)


def test_what_a_codec_refuses_is_a_typed_failure() -> None:
    broken = Image.new("RGB", (17_000, 2))
    with pytest.raises(FinishingError, match="webp encoding failed") as caught:
        encode._encode(broken, "webp", 80, {})
    assert caught.value.reason is Reason.ENCODE_ERROR


def test_crop_is_the_middle() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    cut = opened(finish(pixels, channel(50, 50, format="png"), META).data)
    assert np.asarray(cut)[5:-5, 5:-5].min() == 255


def test_crop_without_scaling_keeps_every_pixel() -> None:
    pixels = noise(1088, 136)
    cut = np.asarray(opened(finish(pixels, channel(1080, 136, format="png"), META).data))
    assert np.array_equal(cut, pixels[:, 4:1084])


def test_pixel_hash_tells_shapes_and_pixels_apart_but_not_formats() -> None:
    flat = np.zeros((4, 8, 3), np.uint8)
    assert pixel_sha256(flat) == hashlib.sha256(b"8x4x3" + bytes(96)).hexdigest()
    assert pixel_sha256(flat) != pixel_sha256(flat.reshape(8, 4, 3))
    assert pixel_sha256(noise()[:, ::-1]) == pixel_sha256(noise()[:, ::-1].copy())
    hashes = {finish(gradient(), channel(200, 200, format=f), META).pixel_sha256 for f in FORMATS}
    assert len(hashes) == 1


def test_array_and_image_give_the_same_file_and_stay_as_they_were() -> None:
    pixels = gradient()
    image = Image.fromarray(pixels)
    assert finish(pixels, channel(100, 100), META) == finish(image, channel(100, 100), META)
    assert thumbnail(image) == thumbnail(pixels)
    assert image.size == (256, 256)


@pytest.mark.parametrize("pixels", [noise(64, 96), gradient(320, 96)])
def test_masters_are_lossless(pixels: Pixels) -> None:
    decoded = decode_master(encode_master(pixels))
    assert np.array_equal(decoded, pixels)
    assert decoded.flags.writeable


@pytest.mark.parametrize("data", [b"", b"no picture", encode_master(noise())[:-5000]])
def test_torn_masters_are_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match="cannot be decoded"):
        decode_master(data)


def test_thumbnails_are_small() -> None:
    data = thumbnail(gradient(1440, 2560))
    assert opened(data).size == (180, 320)
    assert opened(data).format == "WEBP"
    assert len(data) < 12_000
    assert opened(thumbnail(gradient(96, 64))).size == (96, 64)


@pytest.mark.parametrize("format", FORMATS)
def test_thumbnails_of_delivered_files(format: str) -> None:
    delivered = finish(gradient(), channel(640, 320, format=format), META).data
    assert opened(thumbnail_of(delivered)).size == (320, 160)
    with pytest.raises(StorageError, match="a delivered file cannot be decoded"):
        thumbnail_of(delivered[:300])


def test_builtin_limits_are_kept_by_a_grainy_master() -> None:
    for name in ("open-graph", "email-hero"):
        target = builtin_channels()[name]
        grain = noise(*target.master_size) // 4 + gradient(*target.master_size) // 2
        finished = finish(grain, target, META)
        assert finished.quality is not None
        assert finished.quality < target.quality
        assert target.max_bytes is not None
        assert len(finished.data) <= target.max_bytes


def test_the_longest_metadata_there_may_be_fits_a_jpeg() -> None:
    one = "&" * 100_000
    most = AssetMetadata(one, one, one, False, one, one, one, True, one, one, one, one, one)
    image = opened(finish(gradient(), channel(format="jpeg"), most).data)
    assert xmp_of(image).count("&amp;") > 5_000


def test_what_is_empty_is_not_said() -> None:
    image = opened(finish(gradient(), channel(format="jpeg"), AssetMetadata("", "", "")).data)
    assert 0x010E not in image.getexif()
    said = re.findall(r"<(\w+:\w+)>", xmp_of(image))
    assert said == ["xmp:CreatorTool", "Iptc4xmpExt:DigitalSourceType"]
