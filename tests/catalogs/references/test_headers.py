"""What a file says of its picture, of every format and layout, before a pixel is decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from catalogs.references.pictures import BadPicture, Header, header
from tests.catalogs.references.photos import encoded, photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DEEP_GREY = Image.fromarray(np.full((4, 6), 40_000, np.uint16))


@pytest.mark.parametrize(
    ("image", "kind", "options", "said"),
    [
        (photo(), "JPEG", {}, ("JPEG", "RGB", 8, 1, "", False)),
        (photo("CMYK", colour=0), "JPEG", {}, ("JPEG", "CMYK", 8, 1, "", False)),
        (photo("L", colour=9), "JPEG", {"icc_profile": SRGB}, ("JPEG", "L", 8, 1, "sRGB built-in", False)),
        (photo(), "PNG", {"icc_profile": b"none"}, ("PNG", "RGB", 8, 1, "unreadable", False)),
        (photo("RGBA"), "PNG", {}, ("PNG", "RGBA", 8, 1, "", True)),
        (photo().quantize(2), "PNG", {}, ("PNG", "P", 1, 1, "", False)),
        (photo().quantize(2), "PNG", {"transparency": 0}, ("PNG", "P", 1, 1, "", True)),
        (DEEP_GREY, "PNG", {}, ("PNG", "I;16", 16, 1, "", False)),
        (DEEP_GREY, "TIFF", {}, ("TIFF", "I;16", 16, 1, "", False)),
        (photo("CMYK", colour=0), "TIFF", {}, ("TIFF", "CMYK", 8, 1, "", False)),
        (photo("1", colour=1), "TIFF", {}, ("TIFF", "1", 1, 1, "", False)),
        (photo(), "WEBP", {}, ("WEBP", "RGB", 8, 1, "", False)),
        (photo("RGBA", colour=(9, 9, 9, 90)), "AVIF", {}, ("AVIF", "RGBA", 0, 1, "", True)),
        (photo(), "BMP", {}, ("BMP", "RGB", 8, 1, "", False)),
        (photo(), "GIF", {}, ("GIF", "P", 8, 1, "", False)),
        (photo(), "GIF", {"save_all": True, "append_images": [photo(colour=0)]}, ("GIF", "P", 8, 2, "", False)),
        (photo(), "PNG", {"save_all": True, "append_images": [photo(colour=0)]}, ("PNG", "RGB", 8, 2, "", False)),
        (photo(), "TIFF", {"save_all": True, "append_images": [photo(), photo()]}, ("TIFF", "RGB", 8, 3, "", False)),
        (photo(), "MPO", {"save_all": True, "append_images": [photo()]}, ("JPEG", "RGB", 8, 1, "", False)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_file_says(image: Image.Image, kind: str, options: dict[str, Any], said: tuple[Any, ...]) -> None:
    assert header(encoded(image, kind, **options)) == Header(6, 4, *said)


def test_a_picture_that_lies_on_its_side_is_told_as_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert header(encoded(photo(), "JPEG", exif=exif))[:2] == (6, 4)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_no_pixel_is_decoded(kind: str) -> None:
    whole = encoded(Image.effect_noise((512, 512), 90), kind)
    cut = whole if kind == "TIFF" else whole[: len(whole) // 2]
    assert header(cut)[:2] == (512, 512)


def test_what_is_no_picture_is_refused() -> None:
    for data, problem in ((b"", "empty"), (b"x" * 100, "not an image"), (encoded(photo()), "over the limit")):
        with pytest.raises(BadPicture, match=problem):
            header(data, max_pixels=20)
