"""Copies of a picture are told from other pictures, on the sample's photos: some differ in their colour alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from catalogs.sample.sample import write_sample
from inference.credentials.likeness import (
    NEAR,
    Sureness,
    decoded,
    difference,
    difference_hash,
    distance,
    sureness,
)
from inference.finishing.pixels import thumbnail


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image.Image]:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    found = {}
    for path in sorted((folder / "photos").iterdir()):
        with Image.open(path) as image:
            found[path.name] = image.convert("RGB").resize((480, 480), Image.Resampling.LANCZOS)
    return found


def saved(image: Image.Image, format: str, **options: Any) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    again = decoded(buffer.getvalue())
    assert again is not None
    return again


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 90": lambda image: saved(image, "JPEG", quality=90),
    "JPEG 40": lambda image: saved(image, "JPEG", quality=40),
    "WebP": lambda image: saved(image, "WEBP", quality=75),
    "half": lambda image: saved(image.resize((240, 240)), "JPEG", quality=80),
    "a third": lambda image: saved(image.resize((160, 160)), "WEBP", quality=60),
}


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_likely(photos: dict[str, Image.Image], copy: str) -> None:
    for name, image in photos.items():
        small, made = decoded(thumbnail(image)), COPIES[copy](image)
        assert small is not None
        assert distance(difference_hash(small), difference_hash(made)) <= NEAR, name
        assert sureness(image, made) is Sureness.LIKELY, (name, difference(image, made))


def test_other_photos_are_not(photos: dict[str, Image.Image]) -> None:
    for (one, first), (two, second) in combinations(photos.items(), 2):
        assert sureness(first, second) is None, (one, two, difference(first, second))


def test_the_same_pixels_are_certain_in_any_lossless_format(photos: dict[str, Image.Image]) -> None:
    image = photos["lamp-mustard.jpg"]
    assert sureness(image, saved(image, "PNG")) is Sureness.CERTAIN
    assert sureness(image, saved(image, "WEBP", lossless=True)) is Sureness.CERTAIN


def test_a_small_thing_on_white_is_no_other(photos: dict[str, Image.Image]) -> None:
    def packshot(colour: str) -> Image.Image:
        image = Image.new("RGB", (480, 480), "white")
        ImageDraw.Draw(image).ellipse((200, 200, 280, 280), fill=colour)
        return image

    assert sureness(packshot("#9CAF88"), packshot("#C97B5A")) is not Sureness.CERTAIN
    assert sureness(packshot("#9CAF88"), packshot("#33415C")) is None
    assert sureness(packshot("#9CAF88"), Image.new("RGB", (480, 480), "white")) is None


def test_another_shape_is_another_picture(photos: dict[str, Image.Image]) -> None:
    image = photos["lamp-mustard.jpg"]
    assert sureness(image, image.resize((480, 400))) is None


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_has_no_likeness(data: bytes, tmp_path: Path) -> None:
    assert decoded(data) is None
