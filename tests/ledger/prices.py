"""What a request asks for and what it costs, as the price list has it."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from PIL import Image

MEGAPIXEL = 2**20
MOST_PIXELS = 4 * MEGAPIXEL

# Path -> micro-USD of the first output MP, of each further one, and of each reference MP.
PRICES = {
    "flux-2-klein-4b": (14_000, 1_000, 1_000),
    "flux-2-klein-9b": (15_000, 2_000, 2_000),
    "flux-2-klein-9b-preview": (15_000, 2_000, 2_000),
    "flux-2-pro": (30_000, 15_000, 15_000),
    "flux-2-pro-preview": (30_000, 15_000, 15_000),
    "flux-2-flex": (50_000, 50_000, 50_000),
    "flux-2-max": (70_000, 30_000, 30_000),
}


@dataclass(frozen=True)
class Order:
    """One picture: its sides in px, its price in micro-USD, and the pixels that the price was made of."""

    width: int
    height: int
    price: int
    input_pixels: int

    @property
    def output_mp(self) -> float:
        return round(self.width * self.height / MEGAPIXEL, 2)

    @property
    def input_mp(self) -> float:
        return round(self.input_pixels / MEGAPIXEL, 2)


def order(path: str, body: Mapping[str, Any], factor: float = 1.0) -> Order:
    """What a valid body asks for; `factor` is that of the rule `price_factor`."""
    sizes = [size for name in image_fields(path) if (size := _input_size(body.get(name)))]
    width, height = _output_size(body.get("width"), body.get("height"), sizes)
    pixels = sum(min(MOST_PIXELS, wide * high) for wide, high in sizes)
    first, further, reference = PRICES[path]
    beyond = max(Fraction(0), Fraction(width * height, MEGAPIXEL) - 1)
    exact = first + beyond * further + Fraction(pixels, MEGAPIXEL) * reference
    return Order(width, height, round(exact * Fraction(factor)), pixels)


def image_fields(path: str) -> list[str]:
    """Where a body may have references."""
    return ["input_image", *(f"input_image_{number}" for number in range(2, 5 if "klein" in path else 9))]


def _input_size(given: str | None) -> tuple[int, int] | None:
    """Sides of a reference; a URL is not followed, and counts as one MP."""
    if not given:
        return None
    return (1024, 1024) if given.startswith(("http://", "https://")) else image_size(given)


@lru_cache(maxsize=32)
def image_size(text: str) -> tuple[int, int]:
    """Sides of an image in base64, bare or as a data URI.

    Raises:
        ValueError: it is none.
    """
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (binascii.Error, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"no image: {type(error).__name__}") from None


def _output_size(width: int | None, height: int | None, inputs: list[tuple[int, int]]) -> tuple[int, int]:
    """Sides of the picture: multiples of 16, at most 4 MP; those of the first reference where none are asked."""
    usual = inputs[0] if inputs else (1024, 1024)
    wide, high = width or usual[0], height or usual[1]
    if wide * high > MOST_PIXELS:
        scale = math.sqrt(MOST_PIXELS / (wide * high))
        wide, high = int(wide * scale), int(high * scale)
    return max(16, wide // 16 * 16), max(16, high // 16 * 16)
