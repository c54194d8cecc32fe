"""Putting a photo on a studio backdrop: what the proof engine draws with. Colours are sRGB levels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from inference.proofs.lettering import font

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (32, 33, 38)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b in a."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def backdrop(size: tuple[int, int], tint: Colour) -> Image.Image:
    """A tinted paper sweep under a soft light."""
    bright = Image.new("RGB", size, mix(tint, WHITE, 0.25))
    return Image.composite(bright, Image.new("RGB", size, mix(tint, INK, 0.06)), _light(size))


@lru_cache(maxsize=16)
def _light(size: tuple[int, int]) -> Image.Image:
    """A glow above the middle that falls off to the corners, as a mask."""
    grid = (np.arange(256) + 0.5) / 256
    distance = np.hypot((grid - 0.5) * 1.1, (grid - 0.4)[:, None])
    field = (np.clip(1 - distance * 1.15, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(field).resize(size, Image.Resampling.BICUBIC)


def stands_on_white(image: Image.Image, least: int = 205) -> bool:
    """Whether a photo has a white or light, even ground, judged by its edge: of this level at least, on average."""
    edge = _edge(image)
    return bool(edge.min(axis=1).mean() > least and edge.std(axis=0).max() < 24)


def _edge(image: Image.Image) -> npt.NDArray[np.uint8]:
    small = np.asarray(image.resize((48, 48), Image.Resampling.BOX))
    return np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])


def place(canvas: Image.Image, box: Box, image: Image.Image) -> None:
    """A photo as it is in the middle of the box."""
    photo = contained(image, size_of(box))
    canvas.paste(photo, centred(photo.size, box))


def place_card(canvas: Image.Image, box: Box, image: Image.Image) -> None:
    """A photo with a ground of its own: a rounded card with a soft shadow."""
    photo = contained(image, size_of(box))
    corner = centred(photo.size, box)
    radius = max(2, min(photo.size) // 40)
    shadow(canvas, corner, photo.size, radius)
    ImageDraw.Draw(photo).rounded_rectangle(
        (0, 0, photo.width - 1, photo.height - 1), radius, outline=WHITE, width=max(1, radius // 2)
    )
    canvas.paste(photo, corner, rounded(photo.size, radius))


def shadow(canvas: Image.Image, corner: tuple[int, int], size: tuple[int, int], radius: int) -> None:
    """The soft shadow of a card of this size that will lie at `corner`."""
    # Blurred at an eighth of the size: nobody sees the difference, and it costs nothing.
    spread = radius * 2
    small = ((size[0] + 2 * spread) // 8 + 1, (size[1] + 2 * spread) // 8 + 1)
    inner = min(spread // 8 + 1, min(small) // 2 - 1)
    if inner < 1:
        return
    mask = Image.new("L", small)
    ImageDraw.Draw(mask).rectangle((inner, inner, small[0] - inner - 1, small[1] - inner - 1), fill=90)
    mask = mask.filter(ImageFilter.GaussianBlur(max(1, spread / 16)))
    mask = mask.resize((size[0] + 2 * spread, size[1] + 2 * spread), Image.Resampling.BICUBIC)
    canvas.paste(INK, (corner[0] - spread, corner[1] - spread // 2), mask)


@lru_cache(maxsize=64)
def rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """A mask with round corners; a disc where `radius` is half the side."""
    mask = Image.new("L", (size[0] * 2, size[1] * 2))
    box = (0, 0, size[0] * 2 - 1, size[1] * 2 - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius * 2, fill=255)
    return mask.reduce(2)


def stamp(canvas: Image.Image, box: Box, word: str) -> None:
    """A word across the box from corner to corner: dark with a light rim, so it shows on any picture."""
    rim, core = _stamp_masks(size_of(box), word)
    canvas.paste(WHITE, box[:2], rim)
    canvas.paste(INK, box[:2], core)


def unstamped(image: Image.Image, word: str) -> Image.Image:
    """A picture before `stamp` went over the whole of it, to two levels: the last layer is taken off first."""
    rim, core = _stamp_masks(image.size, word)
    levels: npt.NDArray[np.floating[Any]] = np.asarray(image).astype(np.float32)
    for colour, mask in ((INK, core), (WHITE, rim)):
        share = np.asarray(mask).astype(np.float32)[..., None] / 255
        levels = (levels - share * np.array(colour, np.float32)) / (1 - share)
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


@lru_cache(maxsize=16)
def _stamp_masks(size: tuple[int, int], word: str) -> tuple[Image.Image, Image.Image]:
    width, height = size
    angle = min(math.degrees(math.atan2(height, width)), 52)
    turn = math.radians(angle)
    room = min(width / math.cos(turn), height / math.sin(turn)) * 0.8
    # A narrow band takes larger letters than a stage whose picture should stay in sight.
    limit = 0.27 if max(size) < 3 * min(size) else 0.5
    points = max(8.0, min(room / font(100).getlength(word) * 100, min(width, height) * limit))
    rim, fill = max(1, round(points * 0.035)), max(0, round(points * 0.022))
    canvas = (round(font(points).getlength(word) + points), round(points * 1.6) + 8)
    core = _word(canvas, word, points, fill)
    halo = ImageChops.subtract(_word(canvas, word, points, fill + rim), core)
    return _turned(halo, angle, size, 0.30), _turned(core, angle, size, 0.30)


def _word(size: tuple[int, int], word: str, points: float, weight: int) -> Image.Image:
    mask = Image.new("L", size)
    centre = (size[0] // 2, size[1] // 2)
    ImageDraw.Draw(mask).text(centre, word, 255, font(points), anchor="mm", stroke_width=weight)
    return mask


def _turned(mask: Image.Image, angle: float, size: tuple[int, int], strength: float) -> Image.Image:
    turned = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    whole = Image.new("L", size)
    whole.paste(turned, centred(turned.size, (0, 0, *size)))
    return whole.point([round(level * strength) for level in range(256)])


def size_of(box: Box) -> tuple[int, int]:
    """Width and height."""
    return box[2] - box[0], box[3] - box[1]


def inset(box: Box, share: float) -> Box:
    """The box less `share` of its short side all around."""
    by = round(min(size_of(box)) * share)
    return box[0] + by, box[1] + by, box[2] - by, box[3] - by


def centred(size: tuple[int, int], box: Box) -> tuple[int, int]:
    """Top left corner of something of this size in the middle of the box."""
    return (box[0] + box[2] - size[0]) // 2, (box[1] + box[3] - size[1]) // 2


def contained(image: Image.Image, room: tuple[int, int]) -> Image.Image:
    """The whole picture, as large as the room allows."""
    scale = min(room[0] / image.width, room[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def flattened(image: Image.Image) -> Image.Image:
    """RGB, with transparent parts on white as on a page."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        page: Any = Image.new("RGBA", layer.size, WHITE)
        return Image.alpha_composite(page, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
