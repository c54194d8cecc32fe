"""sRGB to CIELAB: differences that the eye sees, in numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# IEC 61966-2-1, linear sRGB to CIE XYZ, rows divided by the white point D65.
_TO_XYZ = np.array(
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ],
    np.float32,
)
_VALUES = np.arange(256, dtype=np.float64) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def lab(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """CIELAB (D65, 2 degrees) of sRGB values in [0, 255], of any shape (..., 3); L* is in [0, 100].

    Values between whole numbers are rounded to them.
    """
    linear = _LINEAR[np.clip(np.rint(values), 0, 255).astype(np.uint8)]
    xyz = linear @ _TO_XYZ.T
    cube = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * np.float32((29 / 6) ** 2 / 3) + np.float32(4 / 29))
    x, y, z = cube[..., 0], cube[..., 1], cube[..., 2]
    found: NDArray[np.float32] = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)
    return found
