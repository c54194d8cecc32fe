"""The pictures that are delivered."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image

FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


@lru_cache(maxsize=64)
def picture(body: str, width: int, height: int, kind: str) -> bytes:
    """A plain picture with one differing pixel.

    Args:
        body: hash in hex that the colour and the place of the pixel follow from.
        width, height: px.
        kind: an `output_format`.
    """
    drawn = bytes.fromhex(body)
    red, green, blue = drawn[:3]
    image = Image.new("RGB", (width, height), (red, green, blue))
    place = int.from_bytes(drawn[4:8], "big") % width, int.from_bytes(drawn[8:12], "big") % height
    image.putpixel(place, (255 - red, 255 - green, 255 - blue))
    out = io.BytesIO()
    image.save(out, FORMATS[kind], **({"compress_level": 1} if kind == "png" else {"quality": 90}))
    return out.getvalue()
