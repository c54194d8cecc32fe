"""A box with a label of many shapes, laid into pictures by any affine map, for tests of what is on a product."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

SIZE = (240, 300)


def printed(seed: int = 0, runs: bool = False) -> Image.Image:
    """A box and its label.

    Args:
        seed: another is another print.
        runs: the same shapes, each a little beside its place.
    """
    rng, run = np.random.default_rng(seed), np.random.default_rng(99)
    label = Image.new("RGB", SIZE, (150, 60, 70))
    draw = ImageDraw.Draw(label)
    for _ in range(70):
        left, top = rng.uniform(10, 200), rng.uniform(10, 260)
        wide, high = rng.uniform(6, 34, 2)
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        by, down = run.uniform(-12, 12, 2) if runs else (0, 0)
        draw.rectangle((left + by, top + down, left + by + wide, top + down + high), fill=colour)
    return label


def packshot(label: Image.Image, side: int = 640) -> Image.Image:
    """It alone on white."""
    picture = Image.new("RGB", (side, side), "white")
    size = (side * 6 // 16, side * 15 // 32)
    picture.paste(label.resize(size, Image.Resampling.LANCZOS), ((side - size[0]) // 2, (side - size[1]) // 2))
    return picture


def scene(label: Image.Image, degrees: float, seed: int = 0) -> Image.Image:
    """It, leaning, among other things."""
    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(40, 220, (9, 9, 3), dtype=np.uint8)).resize(
        (800, 640), Image.Resampling.BICUBIC
    )
    leaning = label.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    outline = Image.new("L", SIZE, 255).rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    ground.paste(leaning.point(lambda value: value * 0.9 + 6), (430, 180), outline)
    values = np.asarray(ground, np.float64) + rng.normal(0, 2, (640, 800, 3))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
