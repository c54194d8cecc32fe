"""The studio that sample products stand in: a white sweep, soft light from the upper left, shadows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from catalogs.sample.shapes import Point, ellipse

Field = npt.NDArray[np.float32]
SIDE = 1200
OVERSAMPLING = 2


class Studio:
    """A white sweep under one softbox from the upper left; shapes are painted back to front."""

    def __init__(self, window: tuple[float, float, float] = (0.0, 0.0, 1.0), side: int = SIDE) -> None:
        self.left, self.top, self.span = window
        self.side = side
        glow = 1 - 0.10 * np.clip(np.hypot(self.x - 0.46, (self.y - 0.42) * 0.9) - 0.25, 0, 1)
        floor = 1 - 0.035 / (1 + np.exp(-(self.y - 0.70) * 24))
        self.light = np.stack([glow * floor * level for level in (250, 249, 247)], -1).astype(np.float32)

    @cached_property
    def x(self) -> Field:
        line = self.left + (np.arange(self.side, dtype=np.float32) + 0.5) / self.side * self.span
        return np.broadcast_to(line, (self.side, self.side))

    @cached_property
    def y(self) -> Field:
        line = self.top + (np.arange(self.side, dtype=np.float32) + 0.5) / self.side * self.span
        return np.broadcast_to(line[:, None], (self.side, self.side))

    def mask(self, *outlines: Sequence[Point], holes: Iterable[Sequence[Point]] = ()) -> Image.Image:
        """Coverage of the outlines less the holes, smooth at the edge."""
        big = Image.new("L", (self.side * OVERSAMPLING, self.side * OVERSAMPLING))
        draw = ImageDraw.Draw(big)
        for level, shapes in ((255, outlines), (0, holes)):
            for shape in shapes:
                draw.polygon([self._place(point) for point in shape], fill=level)
        return big.reduce(OVERSAMPLING)

    def paint(self, mask: Image.Image, colour: str, shade: Field | float = 1.0, alpha: float = 1.0) -> None:
        """Cover the mask with a colour, its light multiplied by `shade`; over 1 it goes to white."""
        box = mask.getbbox()
        if box is None:
            return
        cut = np.s_[box[1] : box[3], box[0] : box[2]]
        base = np.array(rgb(colour), dtype=np.float32)
        field = np.asarray(np.broadcast_to(np.float32(shade), (self.side, self.side))[cut], dtype=np.float32)
        lit = base * np.minimum(field, 1)[..., None] + (255 - base) * np.clip(field - 1, 0, 1)[..., None]
        cover = np.asarray(mask, dtype=np.float32)[cut][..., None] / 255 * alpha
        self.light[cut] += (lit - self.light[cut]) * cover

    def shade(self, mask: Image.Image, blur: float, strength: float) -> None:
        """Darken softly: a shadow on whatever is painted so far."""
        # A blur of tens of pixels looks the same at a quarter of the size.
        small = mask.reduce(4).filter(ImageFilter.GaussianBlur(blur / self.span * self.side / 4))
        self.paint(small.resize(mask.size, Image.Resampling.BICUBIC), "#3A3730", alpha=strength)

    def stand(self, left: float, right: float, ground: float) -> None:
        """The shadow of something that stands from `left` to `right` at height `ground`."""
        middle, half = (left + right) / 2, (right - left) / 2
        self.shade(self.mask(ellipse(middle + half * 0.45, ground, half * 1.35, 0.030)), 0.040, 0.30)
        self.shade(self.mask(ellipse(middle + half * 0.06, ground + 0.002, half * 1.02, 0.014)), 0.011, 0.52)

    def picture(self) -> Image.Image:
        return Image.fromarray(np.clip(self.light + 0.5, 0, 255).astype(np.uint8))

    def _place(self, point: Point) -> Point:
        scale = self.side * OVERSAMPLING / self.span
        return (point[0] - self.left) * scale, (point[1] - self.top) * scale


def rgb(colour: str) -> tuple[int, int, int]:
    """`#RRGGBB` as three levels."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def barrel(studio: Studio, left: float, right: float, gloss: float = 0.35) -> Field:
    """Light on an upright cylinder between `left` and `right`."""
    across: Field = (studio.x - (left + right) / 2) / ((right - left) / 2)
    body = 1.02 - 0.34 * np.clip(across + 0.25, 0, 2) ** 1.6 - 0.16 * np.clip(-across - 0.35, 0, 1) ** 1.3
    soft = gloss * np.exp(-(((across + 0.48) / 0.16) ** 2)) + 0.10 * np.exp(-(((across - 0.86) / 0.07) ** 2))
    return np.asarray(body + soft, dtype=np.float32)
