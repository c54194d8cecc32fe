"""sRGB to CIELAB: differences that the eye sees, in numbers."""

from __future__ import annotations

from typing import Any

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


def ciede2000(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Colour differences of CIELAB values of shapes (..., 3) that broadcast; about 1 is just seen side by side.

    Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005, all three factors 1. With their 34 pairs it
    agrees to four places.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(one, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(other, np.float64), -1, 0)
    grey = 0.5 * (1 - _seventh((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))
    a1, a2 = a1 * (1 + grey), a2 * (1 + grey)
    chroma1, chroma2 = np.hypot(a1, b1), np.hypot(a2, b2)
    hue1, hue2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    coloured = chroma1 * chroma2 != 0
    turn = np.where(coloured, (hue2 - hue1 + 180) % 360 - 180, 0)
    lightness, chroma = (l1 + l2) / 2, (chroma1 + chroma2) / 2
    hue = np.where(coloured, _mean_hue(hue1, hue2), hue1 + hue2)
    wave = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    by_lightness = (l2 - l1) / (1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2))
    by_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    by_hue = 2 * np.sqrt(chroma1 * chroma2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * wave)
    blue = np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))) * -2 * _seventh(chroma)
    found: NDArray[np.float64] = np.sqrt(by_lightness**2 + by_chroma**2 + by_hue**2 + blue * by_chroma * by_hue)
    return found


def _seventh(chroma: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    return found


def _mean_hue(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    total = one + other
    far = np.where(total < 360, total + 360, total - 360)
    found: NDArray[np.float64] = np.where(np.abs(one - other) <= 180, total, far) / 2
    return found


def _cos(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cos(np.radians(degrees))


def rgb_of(code: str) -> NDArray[np.uint8]:
    """ "#RRGGBB" as three values."""
    return np.frombuffer(bytes.fromhex(code.removeprefix("#")), np.uint8)
