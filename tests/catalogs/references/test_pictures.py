"""Pictures: measured and refused in one line, decoded as upright opaque sRGB."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from catalogs.references.book import InvalidReference, ReferenceBook, ReferenceProbe, load_reference
from catalogs.references.pictures import BadPicture, measure
from catalogs.requests import Reason
from tests.catalogs.references.photos import RED, WHITE, encoded, photo, saved

NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def rotated(orientation: int, kind: str = "JPEG") -> bytes:
    """Left half red, right half white, then the camera says how it was held."""
    image = photo(size=(64, 32), colour=WHITE)
    image.paste(RED, (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, quality=95, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_an_image_of_each_format_is_measured(tmp_path: Path, book: ReferenceBook, kind: str) -> None:
    image = photo("P" if kind == "GIF" else "RGB", colour=0 if kind == "GIF" else RED)
    reference = saved(tmp_path / "photo.bin", encoded(image, kind))
    probe = book.probe(str(tmp_path / "products.parquet"), "photo.bin")
    assert probe == ReferenceProbe(
        reference.uri, reference.sha256, 6, 4, kind, "P" if kind == "GIF" else "RGB", is_blank=True
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_s_orientation_is_applied(tmp_path: Path, book: ReferenceBook, orientation: int) -> None:
    reference = saved(tmp_path / "p.jpg", rotated(orientation))
    probe = book.probe("", reference.uri)
    upright = load_reference(reference)
    assert upright.size == (probe.width, probe.height)
    assert upright.size == ((64, 32) if orientation <= 4 else (32, 64))
    red_side = {
        1: (8, 16),
        2: (56, 16),
        3: (56, 16),
        4: (8, 16),
        5: (16, 8),
        6: (16, 8),
        7: (16, 56),
        8: (16, 56),
    }
    assert np.allclose(upright.getpixel(red_side[orientation]), RED, atol=8)
    assert not upright.getexif()


def animation(kind: str) -> bytes:
    frames = [photo(colour=(i * 80, 0, 0)) for i in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_counts_once_in_every_format(tmp_path: Path, book: ReferenceBook, kind: str) -> None:
    reference = saved(tmp_path / "p", rotated(6, kind))
    probe = book.probe("", reference.uri)
    upright = load_reference(reference)
    assert (probe.width, probe.height) == upright.size == (32, 64)
    assert np.allclose(upright.getpixel((16, 8)), RED, atol=25)


def test_the_first_picture_of_a_phone_s_jpeg_counts(tmp_path: Path, book: ReferenceBook) -> None:
    data = encoded(photo(size=(8, 8)), "MPO", save_all=True, append_images=[photo(size=(4, 4))])
    reference = saved(tmp_path / "p.jpg", data)
    probe = book.probe("", reference.uri)
    assert (probe.format, probe.width) == ("JPEG", 8)
    assert load_reference(reference).size == (8, 8)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"<html>not found</html>", "is not an image that can be read; use JPEG, PNG", id="html"),
        pytest.param(b"<?xml version='1.0'?><SVG xmlns='...'/>", "is an SVG drawing", id="svg"),
        pytest.param(b"%PDF-1.7", "is not an image that can be read", id="pdf"),
        pytest.param(encoded(photo(), "ICO"), "is not an image that can be read", id="ico"),
        pytest.param(encoded(NOISE)[:3000], "the image is cut short or damaged", id="cut png"),
        pytest.param(encoded(NOISE, "JPEG")[:900], "the image is cut short or damaged", id="cut jpeg"),
        pytest.param(encoded(NOISE, "WEBP")[:900], "the image is cut short or damaged", id="cut webp"),
        pytest.param(encoded(NOISE)[:60] + b"\0" * 40 + encoded(NOISE)[100:], "the image is cut short", id="damaged"),
        pytest.param(png_header(30_000, 30_000), "over the limit of 100 million; scale it down", id="bomb"),
        pytest.param(png_header(12_000, 12_000), "over the limit of 100 million", id="warned"),
        pytest.param(png_header(10_001, 10_000), "over the limit of 100 million", id="large"),
        pytest.param(animation("GIF"), "has 3 frames, an animation; save the one", id="gif"),
        pytest.param(animation("WEBP"), "has 3 frames, an animation", id="webp"),
        pytest.param(animation("PNG"), "has 3 frames, an animation", id="apng"),
        pytest.param(animation("TIFF"), "has 3 pages", id="pages"),
        pytest.param(encoded(Image.new("F", (4, 4)), "TIFF"), "holds F pixels", id="float"),
    ],
)
def test_what_is_no_reference_is_refused_in_one_line(
    tmp_path: Path, book: ReferenceBook, data: bytes, problem: str
) -> None:
    path = tmp_path / "photo.jpg"
    reference = saved(path, data)
    for _ in range(2):
        with pytest.raises(InvalidReference) as caught:
            book.probe("", str(path))
        assert problem in str(caught.value)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        assert caught.value.reason is Reason.REFERENCE_INVALID
    assert book.try_probe("", str(path)) is None
    with pytest.raises(InvalidReference):
        load_reference(reference)


@pytest.mark.parametrize(("kind", "limit"), [("WEBP", "0.0018"), ("AVIF", "0.0018"), ("PNG", ""), ("JPEG", "")])
def test_formats_that_are_decoded_several_times_have_half_the_limit(kind: str, limit: str) -> None:
    data = encoded(photo(size=(60, 60)), kind)
    if limit:
        with pytest.raises(BadPicture, match=f"limit of {limit} million for {kind}; save it as PNG or JPEG"):
            measure(data, max_pixels=3600)
    assert measure(data, max_pixels=7200).width == 60


def half_clear(mode: str) -> Image.Image:
    image = Image.new("RGBA", (4, 2), (*RED, 255))
    image.paste((0, 0, 0, 0), (2, 0, 4, 2))
    if mode == "P":
        return image.quantize(8)
    return image.convert(mode)


def keyed() -> bytes:
    image = photo(size=(4, 2))
    image.paste((1, 2, 3), (2, 0, 4, 2))
    return encoded(image, transparency=(1, 2, 3))


@pytest.mark.parametrize("background", ["#FFFFFF", "#102030"])
@pytest.mark.parametrize(
    ("data", "left"),
    [
        pytest.param(encoded(half_clear("RGBA")), RED, id="RGBA"),
        pytest.param(encoded(half_clear("RGBA"), "WEBP", lossless=True), RED, id="webp"),
        pytest.param(encoded(half_clear("LA")), (82, 82, 82), id="LA"),
        pytest.param(encoded(half_clear("P")), RED, id="P"),
        pytest.param(keyed(), RED, id="colour key"),
    ],
)
def test_transparency_lies_on_the_background(tmp_path: Path, data: bytes, left: Any, background: str) -> None:
    image = load_reference(saved(tmp_path / "p", data), background)
    ground = tuple(bytes.fromhex(background[1:]))
    assert image.mode == "RGB"
    assert np.allclose(image.getpixel((0, 0)), left, atol=1)
    assert image.getpixel((3, 1)) == ground


def deep_grey(kind: str) -> bytes:
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    return encoded(Image.fromarray(values), kind)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, kind: str) -> None:
    image = load_reference(saved(tmp_path / "p", deep_grey(kind)))
    assert np.asarray(image)[0].tolist() == [[v, v, v] for v in (0, 1, 128, 255)]


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (photo("CMYK", colour=(0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (photo("L", colour=77), "PNG", (77, 77, 77)),
        (photo("1", colour=1), "PNG", WHITE),
        (photo("P", colour=0), "BMP", (0, 0, 0)),
    ],
    ids=["CMYK", "L", "1", "P"],
)
def test_any_colour_model_becomes_rgb(tmp_path: Path, image: Image.Image, kind: str, expected: Any) -> None:
    loaded = load_reference(saved(tmp_path / "p", encoded(image, kind)))
    assert loaded.mode == "RGB"
    assert np.allclose(loaded.getpixel((1, 1)), expected, atol=3)


def wide_profile() -> bytes:
    """sRGB with its red and green primaries swapped: easy to see when it is applied."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    slots = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = slots[b"rXYZ"], slots[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = (
        data[green + 4 : green + 12],
        data[red + 4 : red + 12],
    )
    start, length = struct.unpack(">II", data[slots[b"desc"] + 4 : slots[b"desc"] + 12])
    text = bytes(data[start : start + length])
    data[start : start + length] = text.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_embedded_profile_is_converted_to_srgb(tmp_path: Path, mode: str) -> None:
    colour = (255, 0, 0) if mode == "RGB" else (255, 0, 0, 255)
    data = encoded(photo(mode, colour=colour), icc_profile=wide_profile())
    loaded = load_reference(saved(tmp_path / "p", data))
    assert np.allclose(loaded.getpixel((0, 0)), (0, 255, 0), atol=3)
    assert "icc_profile" not in loaded.info


@pytest.mark.parametrize("profile", [b"garbage", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
def test_srgb_and_broken_profiles_change_no_pixel(tmp_path: Path, profile: bytes) -> None:
    loaded = load_reference(saved(tmp_path / "p", encoded(NOISE, icc_profile=profile)))
    assert np.array_equal(np.asarray(loaded), np.asarray(NOISE))


def test_a_grey_profile_on_a_colour_photo_is_ignored(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    loaded = load_reference(saved(tmp_path / "p", encoded(photo(), icc_profile=lab)))
    assert loaded.getpixel((0, 0)) == RED
