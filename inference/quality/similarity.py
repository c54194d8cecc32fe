"""How much of a picture's structure another one keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.engine import Pixels

_BLOCK = 4  # px; windows are of two by two blocks
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_STRUCTURE = 4.0**2  # variance of a window that shows more than grain
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Floats = NDArray[np.float64]


def structural_similarity(one: Pixels, other: Pixels) -> float:
    """Mean SSIM of the luma of two pictures, uint8 of one shape (height, width, 3): 1 where they are the same.

    Only windows count in which one of the two has structure: the empty ground of a packshot, which every encoder keeps,
    would hide what became of the product.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    2004, with its constants, over even windows of 8 x 8 pixels at every fourth.
    """
    a, b = _luma(one), _luma(other)
    count = (2 * _BLOCK) ** 2
    mean_a, mean_b = _windows(a) / count, _windows(b) / count
    var_a, var_b = _windows(a * a) / count - mean_a**2, _windows(b * b) / count - mean_b**2
    covariance = _windows(a * b) / count - mean_a * mean_b
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (var_a + var_b + _C2)
    counts = np.maximum(var_a, var_b) >= _STRUCTURE
    return float((light * structure)[counts].mean()) if counts.any() else 1.0


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    """Of whole windows; the last few pixels on two sides are left out."""
    height, width = (max(side // _BLOCK, 2) * _BLOCK for side in pixels.shape[:2])
    return pixels[:height, :width] @ _LUMA


def _windows(values: NDArray[np.float32]) -> Floats:
    """Sums over every window."""
    rows, columns = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    blocks = values.reshape(rows, _BLOCK, columns, _BLOCK).sum(axis=(1, 3), dtype=np.float64)
    sums: Floats = blocks[:-1, :-1] + blocks[1:, :-1] + blocks[:-1, 1:] + blocks[1:, 1:]
    return sums
