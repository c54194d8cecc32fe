"""Facts of real files: all formats and layouts give the same ground, what cannot be read says so in one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from catalogs.references.pictures import BadPicture
from inference.quality.facts import LONGEST_SIDE, facts_of
from tests.inference.quality.drawn import BLUE, WHITE, deep_png, deep_tiff, encoded, packshot

PLAIN = packshot(400, 200, 0.5)
FILES = {
    "jpeg": encoded(PLAIN),
    "progressive jpeg": encoded(PLAIN, progressive=True),
    "grey jpeg": encoded(PLAIN.convert("L")),
    "cmyk jpeg": encoded(PLAIN.convert("CMYK")),
    "png": encoded(PLAIN, "PNG"),
    "palette png": encoded(PLAIN.quantize(4), "PNG"),
    "png of one bit": encoded(PLAIN.convert("1"), "PNG"),
    "png of 16 bits": deep_png(PLAIN),
    "webp": encoded(PLAIN, "WEBP"),
    "lossless webp": encoded(PLAIN, "WEBP", lossless=True),
    "avif": encoded(PLAIN, "AVIF"),
    "tiff": encoded(PLAIN, "TIFF"),
    "packed tiff": encoded(PLAIN, "TIFF", compression="tiff_lzw"),
    "cmyk tiff": encoded(PLAIN.convert("CMYK"), "TIFF"),
    "tiff of 16 bits": deep_tiff(PLAIN),
    "bmp": encoded(PLAIN, "BMP"),
    "gif": encoded(PLAIN, "GIF"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format(name: str) -> None:
    data = FILES[name]
    facts = facts_of(data)
    assert facts.size == len(data)
    assert facts.header[:2] == (400, 200)
    assert (facts.header.bits == 16) == ("16" in name)
    ground = facts.ground
    assert ground is not None
    assert ground.off_white == 0
    assert ground.fill == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_on_its_side_is_measured_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", (400, 200), WHITE)
    image.paste(BLUE, (20, 50, 380, 150))
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        facts = facts_of(encoded(image, kind, exif=exif))
        assert facts.header[:2] == ((200, 400) if orientation >= 5 else (400, 200))
        assert facts.ground is not None
        assert facts.ground.subject is not None
        box = facts.ground.subject
        assert (box.width > box.height) == (orientation < 5)


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    clear.paste((*BLUE, 255), (20, 20, 80, 80))
    for kind in ("PNG", "WEBP", "TIFF"):
        facts = facts_of(encoded(clear, kind, **({"lossless": True} if kind == "WEBP" else {})))
        assert facts.header.has_alpha
        assert facts.ground is not None
        assert (facts.ground.off_white, facts.ground.fill) == (0, 0.6)


def test_an_animation_is_not_measured() -> None:
    facts = facts_of(encoded(PLAIN, "GIF", save_all=True, append_images=[packshot(400, 200, 0.2)]))
    assert (facts.header.frames, facts.ground) == (2, None)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"no picture at all", "is not an image"),
        (FILES["jpeg"][:-600], "cut short or damaged"),
        (FILES["png"][: len(FILES["png"]) // 2], "cut short or damaged"),
        (FILES["tiff"][:5000], "cut short or damaged"),
        (FILES["webp"][:200], "not an image|cut short or damaged"),
        (FILES["bmp"][:-5000], "cut short or damaged"),
        (encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "holds F pixels"),
        (encoded(Image.new("1", (LONGEST_SIDE + 1, 2)), "PNG"), "65536 x 2 pixels, a side over 65,535"),
        (encoded(Image.new("1", (10_001, 10_000)), "PNG"), "over the limit of 100 million"),
    ],
)
def test_what_cannot_be_judged_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BadPicture, match=problem):
        facts_of(data)
