"""A render's pixels as the lossless file that is kept of it, and back; the small pictures of galleries."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

from catalogs.campaigns.channels import FORMATS
from catalogs.errors import StorageError
from inference.engine import Pixels
from inference.finishing.encode import FAST_PNG, one_line

THUMBNAIL_SIDE = 320


def pixel_sha256(pixels: Pixels) -> str:
    """SHA-256 of "WIDTHxHEIGHTx3" and the raw uint8 pixels of shape (height, width, 3)."""
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{width}x{height}x{channels}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def encode_master(pixels: Pixels) -> bytes:
    """Lossless PNG of uint8 pixels of shape (height, width, 3), for speed before size."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **FAST_PNG)
    return buffer.getvalue()


def decode_master(data: bytes) -> Pixels:
    """The pixels of a stored master, uint8 of shape (height, width, 3).

    Raises:
        StorageError: the bytes are no whole picture.
    """
    return np.array(_decoded(data, "a stored master"))


def thumbnail(image: Pixels | Image.Image) -> bytes:
    """A small WebP of at most 320 px, about 10 kB or less, for galleries."""
    small = as_image(image)
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, FORMATS["webp"].pillow, quality=70, method=4)
    return buffer.getvalue()


def thumbnail_of(data: bytes) -> bytes:
    """The thumbnail of a delivered file.

    Raises:
        StorageError: the bytes are no whole picture.
    """
    return thumbnail(_decoded(data, "a delivered file"))


def _decoded(data: bytes, what: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise StorageError(f"{what} cannot be decoded: {one_line(error)}") from error


def as_image(pixels: Pixels | Image.Image) -> Image.Image:
    """A picture of our own in RGB."""
    if isinstance(pixels, Image.Image):
        return pixels.convert("RGB") if pixels.mode != "RGB" else pixels.copy()
    return Image.fromarray(pixels)
