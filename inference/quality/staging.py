"""How a picture is set: what the pictures of one shot and brand should have in common, as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.quality.colours import lab
from inference.quality.subject import Subject

STAGING = ("scale", "ground", "cast_a", "cast_b", "light_x", "light_y")
_LEAST_PIXELS = 64

Floats = NDArray[np.float32]


def measure_staging(picture: Image.Image, subject: Subject) -> dict[str, float]:
    """Scale, ground, cast and light of an RGB picture.

    Returns:
        scale: the larger of subject's width / picture's width and subject's height / picture's height.
        ground: median CIELAB L* of the ground, 0 to 100; `cast_a` and `cast_b` its a* and b*.
        light_x, light_y: how much lighter the subject is at its right than at its left, and below than above, in L*
            from the middle to a side of its box, by a plane fitted to it. What is too small for that has none.
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
        numbers["light_x"], numbers["light_y"] = _shading(seen[..., 0], subject.mask)
    return numbers


def _shading(lightness: Floats, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The slopes of a plane through the lightness of a subject, L* for half its box."""
    y, x = np.nonzero(mask)
    across, down = _from_middle(x), _from_middle(y)
    terms = np.stack([np.ones_like(across), across, down], axis=1)
    found = np.linalg.solve(terms.T @ terms + 1e-6 * np.eye(3), terms.T @ lightness[mask].astype(np.float64))
    return float(found[1]), float(found[2])


def _from_middle(places: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
    """Places on [-1, 1] from the first to the last."""
    low, high = float(places.min()), float(places.max())
    return (places - (low + high) / 2) / max((high - low) / 2, 1.0)
