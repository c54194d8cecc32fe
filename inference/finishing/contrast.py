"""How well a text stands out from what lies beneath it, as WCAG counts it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.quality.box import Box

LEAST = 4.5
"""WCAG 2.2, 1.4.3 (AA), for text of any size."""

_WORST = 5  # percentile of the tiles: a speck of light is no ground
_TILE = 1 / 3  # of the text's size
_AROUND = 0.15  # of the text's size: what an outline is seen against
_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)

Floats = NDArray[np.float32]


def luminance(colour: str) -> float:
    """Relative luminance of #RRGGBB, from 0 to 1."""
    return float(_LINEAR[[int(colour[i : i + 2], 16) for i in (1, 3, 5)]] @ _WEIGHTS)


def ratio(one: float, other: float) -> float:
    """Contrast of two luminances, from 1 to 21."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def luminances_beneath(picture: Image.Image, boxes: Iterable[Box], size: float) -> Floats:
    """Luminances of small tiles of an RGB picture where lines of a text will stand.

    Args:
        boxes: of the lines, in pixels.
        size: of the text, in pixels.
    """
    tiles = [_tiles(picture, box, size) for box in boxes]
    found = [each for each in tiles if each.size]
    return np.concatenate(found) if found else np.ones(1, np.float32)


def _tiles(picture: Image.Image, box: Box, size: float) -> Floats:
    around = _AROUND * size
    left, top = max(0, int(box.left - around)), max(0, int(box.top - around))
    right = min(picture.width, int(np.ceil(box.right + around)))
    bottom = min(picture.height, int(np.ceil(box.bottom + around)))
    if right <= left or bottom <= top:
        return np.zeros(0, np.float32)
    seen = _LINEAR[np.asarray(picture.crop((left, top, right, bottom)))] @ _WEIGHTS
    side = max(2.0, _TILE * size)
    count = (max(1, round((right - left) / side)), max(1, round((bottom - top) / side)))
    return np.asarray(Image.fromarray(seen).resize(count, Image.Resampling.BOX), np.float32).ravel()


def worst_ratio(colour: str, beneath: Floats) -> float:
    """Contrast of a colour with nearly the worst of the tiles beneath it."""
    own = luminance(colour)
    ratios = (np.maximum(beneath, own) + 0.05) / (np.minimum(beneath, own) + 0.05)
    return float(np.percentile(ratios, _WORST, method="lower"))
