"""Pictures of a product before a studio's ground, drawn with what is known of them, for tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_FINER = 4  # drawn so many times larger, so that outlines are soft as in photos


@dataclass(frozen=True)
class Drawn:
    """A picture and what it shows.

    Attributes:
        box: of the product without its shadow: left, top, right, bottom, the last two outside.
        product: bool of shape (height, width), True where a pixel is product only.
        hole: the same for the hole in it, through which the ground is seen.
    """

    picture: Image.Image
    box: tuple[int, int, int, int]
    product: NDArray[np.bool_]
    hole: NDArray[np.bool_]


def drawn_packshot(
    size: tuple[int, int] = (640, 640),
    box: tuple[int, int, int, int] = (200, 160, 440, 520),
    ground: tuple[int, int, int] = (240, 238, 233),
    colour: tuple[int, int, int] = (60, 90, 150),
    falloff: float = 0.04,
    shadow: float = 0.35,
    grain: float = 1.0,
    seed: int = 0,
) -> Drawn:
    """A bag with a handle, on a ground that darkens by `falloff` towards the corners."""
    width, height = size
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    light = 1 - falloff * (((x / width - 0.5) ** 2 + (y / height - 0.55) ** 2) / 0.5)
    bag, hole = _bag(size, box)
    left, _, right, bottom = box
    cast = np.exp(-(((x - (left + right) / 2) / (0.52 * (right - left))) ** 4 + ((y - bottom) / 14.0) ** 2))
    behind = np.array(ground, np.float64) * (light * (1 - shadow * cast))[..., None]
    body = np.array(colour, np.float64) * (1.15 - 0.3 * (x - left) / max(right - left, 1))[..., None]
    body = body * (1 + 0.12 * np.sin(y / 9.0))[..., None]
    values = behind + (body - behind) * bag[..., None] + rng.normal(0, grain, (height, width, 3))
    picture = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return Drawn(picture, box, bag > 0.99, hole)


def drawn_scene(size: tuple[int, int], box: tuple[int, int, int, int], seed: int = 0) -> Image.Image:
    """The bag of `drawn_packshot` before things of many colours, in a little other light.

    Args:
        box: 2:3, where the bag stands.
    """
    drawn, (left, top) = drawn_packshot(shadow=0), box[:2]
    to = (box[2] - left, box[3] - top)
    bag = drawn.picture.resize(to, Image.Resampling.LANCZOS, box=drawn.box)
    shape = Image.fromarray(drawn.product).convert("L").resize(to, Image.Resampling.BILINEAR, box=drawn.box)
    rng = np.random.default_rng(seed)
    things = Image.fromarray(rng.integers(60, 220, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    things.paste(bag.point(lambda value: value * 1.06 + 4), (left, top), shape)
    values = np.asarray(things, np.float64) + rng.normal(0, 3, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _bag(size: tuple[int, int], box: tuple[int, int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Coverage by the bag in [0, 1], and its handle's hole."""
    left, top, right, bottom = (side * _FINER for side in box)
    fine = Image.new("L", (size[0] * _FINER, size[1] * _FINER))
    draw = ImageDraw.Draw(fine)
    handle = top + (bottom - top) * 2 // 5
    draw.ellipse((left + (right - left) // 5, top, right - (right - left) // 5, handle * 2 - top), fill=255)
    band = min((right - left) // 10, (handle - top) // 2)
    hole = (left + (right - left) * 3 // 10, top + band, right - (right - left) * 3 // 10, handle)
    draw.ellipse(hole, fill=0)
    draw.rounded_rectangle((left, handle, right - 1, bottom - 1), radius=(right - left) // 12, fill=255)
    inside = Image.new("L", fine.size)
    ImageDraw.Draw(inside).ellipse(hole, fill=255)
    covered = np.asarray(fine.resize(size, Image.Resampling.BOX), np.float64) / 255
    return covered, (np.asarray(inside.resize(size, Image.Resampling.BOX)) > 250) & (covered == 0)
