"""Reference images: measured once, refused in one line, loaded as upright opaque sRGB."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sqlite3
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from catalogs.errors import ReferenceImageError, StorageError
from catalogs.references import book as book_module
from catalogs.references.book import (
    ChangedReference,
    InvalidReference,
    MissingReference,
    ReferenceBook,
    ReferenceProbe,
    load_reference,
    pick,
    rights_problem,
)
from catalogs.references.probes import ProbeCache, cache_folder
from catalogs.requests import Reason, Reference
from catalogs.storage.store import Store
from tests.servers import S3Server

RED, WHITE = (200, 30, 40), (255, 255, 255)
TODAY = date(2026, 6, 1)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(mode: str = "RGB", size: tuple[int, int] = (6, 4), colour: Any = RED) -> Image.Image:
    return Image.new(mode, size, colour)


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


@pytest.fixture
def book(tmp_path: Path) -> Any:
    with_cache = ReferenceBook(tmp_path / "cache")
    yield with_cache
    with_cache.close()


def saved(path: Path, data: bytes) -> Reference:
    path.write_bytes(data)
    return Reference(str(path), hashlib.sha256(data).hexdigest(), "hero", 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_an_image_of_each_format_is_measured(tmp_path: Path, book: ReferenceBook, kind: str) -> None:
    image = photo("P" if kind == "GIF" else "RGB", colour=0 if kind == "GIF" else RED)
    reference = saved(tmp_path / "photo.bin", encoded(image, kind))
    probe = book.probe(str(tmp_path / "products.parquet"), "photo.bin")
    assert probe == ReferenceProbe(reference.uri, reference.sha256, 6, 4, kind, "P" if kind == "GIF" else "RGB")


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


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))


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
        book.load(reference)


def test_a_lower_limit_counts_also_for_what_is_cached(tmp_path: Path) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo(size=(40, 40))))
    ReferenceBook(tmp_path).probe("", reference.uri)
    with pytest.raises(InvalidReference, match="40 x 40 pixels, over the limit"):
        ReferenceBook(tmp_path, max_pixels=1000).probe("", reference.uri)


@pytest.mark.parametrize(
    ("base", "uri", "kind", "problem"),
    [
        ("/data/p.parquet", "no/such.jpg", MissingReference, "/data/no/such.jpg: there is no such file"),
        ("/data/p.parquet", "https://x.de/a.jpg", InvalidReference, "https references are not read yet"),
        ("/data/p.parquet", " ", InvalidReference, "the path is empty"),
        ("s3://bucket/p.parquet", "../../a.jpg", InvalidReference, "the path leads out of the bucket"),
    ],
)
def test_a_wrong_uri_is_told(book: ReferenceBook, base: str, uri: str, kind: type, problem: str) -> None:
    with pytest.raises(kind, match=problem):
        book.probe(base, uri)


def test_a_reference_error_keeps_its_kind_through_pickle() -> None:
    copy = pickle.loads(pickle.dumps(MissingReference("a.jpg", "", "gone", "find it")))
    assert (type(copy), copy.reason, str(copy)) == (
        MissingReference,
        Reason.REFERENCE_MISSING,
        "a.jpg: gone; find it",
    )


def test_load_refuses_what_changed_or_went(tmp_path: Path) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))
    assert load_reference(reference).getpixel((0, 0)) == RED
    saved(tmp_path / "p.png", encoded(photo(colour=WHITE)))
    with pytest.raises(ChangedReference, match="has changed since the plan was made; plan again") as changed:
        load_reference(reference)
    assert changed.value.reason is Reason.REFERENCE_CHANGED
    os.unlink(reference.uri)
    with pytest.raises(MissingReference) as missing:
        load_reference(reference)
    assert missing.value.reason is Reason.REFERENCE_MISSING
    assert isinstance(missing.value, ReferenceImageError)


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


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = book_module.read_uri
    monkeypatch.setattr(book_module, "read_uri", lambda uri: (reads.append(uri), read(uri))[1])
    path = tmp_path / "p.png"
    first = saved(path, encoded(photo()))
    for _ in range(2):
        fresh = ReferenceBook(tmp_path / "cache")
        assert [fresh.probe("", str(path)).sha256 for _ in range(3)] == [first.sha256] * 3
        fresh.close()
    assert len(reads) == 1
    second = saved(path, encoded(photo(colour=WHITE, size=(9, 9))))
    os.utime(path, ns=(0, 10**18))
    probe = ReferenceBook(tmp_path / "cache").probe("", str(path))
    assert (probe.sha256, probe.width) == (second.sha256, 9)


def test_threads_share_one_measurement(tmp_path: Path, book: ReferenceBook, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = book_module.read_uri
    monkeypatch.setattr(book_module, "read_uri", lambda uri: (reads.append(uri), read(uri))[1])
    names = [f"{i}.png" for i in range(20)]
    for name in names:
        saved(tmp_path / name, encoded(photo(size=(len(name), 3))))
    with ThreadPoolExecutor(16) as pool:
        probes = list(pool.map(lambda name: book.probe(f"{tmp_path}/p.parquet", name), names * 20))
    assert sorted(reads) == sorted(f"{tmp_path}/{name}" for name in names)
    assert [probe.uri for probe in probes] == [f"{tmp_path}/{name}" for name in names * 20]


def test_a_store_that_fails_is_asked_again(
    tmp_path: Path, book: ReferenceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))
    with monkeypatch.context() as patch:
        # A directory loop is a disk that fails for a reason of its own.
        os.unlink(reference.uri)
        os.symlink(reference.uri, reference.uri)
        with pytest.raises(StorageError):
            book.probe("", reference.uri)
        patch.undo()
    os.unlink(reference.uri)
    saved(tmp_path / "p.png", encoded(photo()))
    assert book.probe("", reference.uri).sha256 == reference.sha256


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_broken_cache_is_rebuilt(tmp_path: Path, content: bytes) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))
    (tmp_path / "references-1.sqlite").write_bytes(content)
    broken = ReferenceBook(tmp_path)
    assert broken.probe("", reference.uri).width == 6
    broken.close()
    connection = sqlite3.connect(tmp_path / "references-1.sqlite")
    assert connection.execute("select sha256 from probes").fetchall() == [(reference.sha256,)]
    connection.close()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))
    book = ReferenceBook(tmp_path / "p.png" / "under-a-file")
    assert book.probe("", reference.uri).width == 6
    book.close()


PROCESS = """
import sys
from pathlib import Path
from catalogs.references.book import ReferenceBook
book = ReferenceBook(Path(sys.argv[1]))
for i in range(30):
    book.probe(sys.argv[2] + "/p.parquet", f"{i}.png")
"""


def test_processes_share_the_cache(tmp_path: Path) -> None:
    for i in range(30):
        saved(tmp_path / f"{i}.png", encoded(photo(size=(i + 1, 2))))
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "cache"), str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[1] for process in running] == [b""] * 3
    cache = ProbeCache(tmp_path / "cache")
    assert cache._run("select count(*) from probes", ()) == [(30,)]
    cache.close()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PACKSHOT_CACHE")
    assert cache_folder() == Path("~/.cache/packshot").expanduser()


def test_a_reference_in_a_bucket(book: ReferenceBook, moto_s3: S3Server) -> None:
    bucket = moto_s3.bucket()
    data = encoded(photo())
    Store.at(f"s3://{bucket}/in").write("images/a.png", data)
    probe = book.probe(f"s3://{bucket}/in/products.parquet", "images/a.png")
    assert (probe.uri, probe.width) == (f"s3://{bucket}/in/images/a.png", 6)
    image = book.load(Reference(probe.uri, probe.sha256, "hero", probe.width, probe.height))
    assert image.getpixel((0, 0)) == RED
    with pytest.raises(MissingReference):
        book.probe(f"s3://{bucket}/in/products.parquet", "images/none.png")


HERO, SIDE, PLAIN = {"uri": "h", "role": "hero"}, {"uri": "s", "role": "side"}, {"uri": "p", "role": ""}


@pytest.mark.parametrize(
    ("images", "role", "expected"),
    [
        ([SIDE, HERO], "hero", HERO),
        ([SIDE, HERO], "Side", SIDE),
        ([PLAIN, {"uri": "q", "role": None}], "hero", PLAIN),
        ([PLAIN, SIDE], "hero", None),
        ([PLAIN], "side", None),
        ([{**HERO, "uri": "1"}, {**HERO, "uri": "2"}], "hero", {"uri": "1", "role": "hero"}),
        ([], "hero", None),
    ],
)
def test_pick_by_role(images: list[dict[str, Any]], role: str, expected: dict[str, Any] | None) -> None:
    assert pick(images, role) == expected


@pytest.mark.parametrize(
    ("image", "territory", "problem"),
    [
        ({}, None, None),
        ({"licence_end": TODAY}, "DE", None),
        ({"licence_end": TODAY - timedelta(days=1)}, "DE", "its licence ended on 2026-05-31"),
        ({"territories": ["DE", "AT"]}, "de", None),
        ({"territories": ["DE", "AT"]}, "US", "its licence covers AT, DE only, not US"),
        ({"territories": ["DE"]}, None, "its licence covers DE only, and the channel names no territory"),
        ({"territories": ["DE"]}, "WORLD", "its licence covers DE only, not the world"),
        ({"territories": ["DE", "*"]}, None, None),
        ({"territories": ["World"]}, "US", None),
        ({"territories": []}, None, None),
        ({"territories": None, "licence_end": None}, "US", None),
    ],
)
def test_rights(image: dict[str, Any], territory: str | None, problem: str | None) -> None:
    assert rights_problem(image, territory, TODAY) == problem
