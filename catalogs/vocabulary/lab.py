"""sRGB and CIELAB (D65), for arrays and for single hex values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_FROM_XYZ = np.linalg.inv(_TO_XYZ)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_EDGE = 6 / 29


def lab_of(rgb: npt.NDArray[np.uint8]) -> Floats:
    """CIELAB of 8-bit sRGB, any shape that ends in 3."""
    value = rgb.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > _EDGE**3, np.cbrt(ratio), ratio / (3 * _EDGE**2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def rgb_of(lab: Floats) -> npt.NDArray[np.uint8]:
    """8-bit sRGB of CIELAB, any shape that ends in 3; what no screen shows is clipped."""
    y = (lab[..., 0] + 16) / 116
    root = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio = np.where(root > _EDGE, root**3, 3 * _EDGE**2 * (root - 4 / 29))
    linear = np.clip(ratio * _WHITE @ _FROM_XYZ.T, 0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), dtype=np.uint8)


def hex_to_lab(value: str) -> Floats:
    """CIELAB of "#RRGGBB", shape (3,)."""
    return lab_of(np.frombuffer(bytes.fromhex(value[1:]), dtype=np.uint8))


def lab_to_hex(lab: Floats) -> str:
    """ "#RRGGBB" of CIELAB, shape (3,)."""
    return "#" + rgb_of(lab).tobytes().hex().upper()
