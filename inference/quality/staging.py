"""How a picture is set: what the pictures of one shot and brand should have in common, as numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.quality.colours import lab
from inference.quality.subject import Subject

STAGING = ("scale", "ground", "cast_a", "cast_b", "light_x", "light_y")
_LEAST_PIXELS = 64
_LIGHT_UP_TO = 5.0  # L* a pixel of a small picture, see tests/benchmarks/README.md

Floats = NDArray[np.float32]


def measure_staging(picture: Image.Image, subject: Subject) -> dict[str, float]:
    """Scale, ground, cast and light of an RGB picture.

    Returns:
        scale: the larger of subject's width / picture's width and subject's height / picture's height.
        ground: median CIELAB L* of the ground, 0 to 100; `cast_a` and `cast_b` its a* and b*.
        light_x, light_y: how much lighter the subject becomes to its right, and downwards, in L* from the middle to a
            side of its box. Only what changes slowly counts, as of E. Land and J. McCann ("Lightness and Retinex
            Theory", 1971): light does, while paint, seams and outlines change at once. What is too small has none.
    """
    rows, columns = subject.mask.shape
    seen = lab(np.asarray(picture.resize((columns, rows), Image.Resampling.BOX), np.float32))
    box = subject.box
    numbers = {"scale": float(max(box.width / picture.width, box.height / picture.height))}
    outside = seen[~subject.mask]
    if len(outside) >= _LEAST_PIXELS:
        names = ("ground", "cast_a", "cast_b")
        numbers |= dict(zip(names, map(float, np.median(outside, axis=0)), strict=True))
    if int(subject.mask.sum()) >= _LEAST_PIXELS:
        numbers |= _shading(seen[..., 0], subject.mask)
    return numbers


def _shading(lightness: Floats, mask: NDArray[np.bool_]) -> dict[str, float]:
    """How a subject's lightness rises, L* for half its box, by the mean of its slopes that light can make."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    across = np.diff(lightness, axis=1)[mask[:, 1:] & mask[:, :-1]]
    down = np.diff(lightness, axis=0)[mask[1:] & mask[:-1]]
    numbers = {}
    for name, slopes, places in (("light_x", across, columns), ("light_y", down, rows)):
        smooth = slopes[np.abs(slopes) < _LIGHT_UP_TO]
        if smooth.size >= _LEAST_PIXELS:
            numbers[name] = float(smooth.mean(dtype=np.float64) * (places[-1] - places[0]) / 2)
    return numbers
