"""What a picture's file is and shows, as far as channels have rules for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from catalogs.references.pictures import BadPicture, Header, header, to_rgb
from inference.engine import Pixels
from inference.quality.background import Ground, measure_ground, strips

LONGEST_SIDE = 65_535
"""Pixels of a side, as many as a JPEG can have: of a longer one a few rows would already fill the memory."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A picture measured once, for the rules of any number of channels.

    Attributes:
        size: bytes of the file.
        header: what the file says of its picture, with the width and height of the upright picture; those of an
            animation are as stored.
        ground: measured on upright sRGB pixels of 8 bits, transparency laid on white; None for an animation.
    """

    size: int
    header: Header
    ground: Ground | None


def facts_of(data: bytes) -> Facts:
    """Measure the bytes of a picture's file; all of a still one is read, to find what is cut short.

    Raises:
        BadPicture: no picture, damaged, of more pixels than are decoded, or of a side over `LONGEST_SIDE`.
    """
    found = header(data)
    if max(found.width, found.height) > LONGEST_SIDE:
        raise BadPicture(f"{found.width} x {found.height} pixels, a side over {LONGEST_SIDE:,}", "scale it down")
    if found.frames > 1:
        return Facts(len(data), found, None)
    picture = to_rgb(data)
    upright = found._replace(width=picture.width, height=picture.height)
    return Facts(len(data), upright, measure_ground(_pixels(picture)))


def _pixels(picture: Image.Image) -> Pixels:
    """A picture of mode RGB as uint8 of shape (height, width, 3), by strips: `np.asarray` copies all of it twice."""
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top, below in strips(picture.width, picture.height):
        pixels[top:below] = np.asarray(picture.crop((0, top, picture.width, below)))
    return pixels
