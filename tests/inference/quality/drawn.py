"""Packshots of which size, ground and fill are known, encoded by Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

WHITE, BLUE = (255, 255, 255), (40, 80, 160)


def packshot(
    width: int = 1000,
    height: int = 1000,
    fill: float = 0.88,
    ground: tuple[int, int, int] = WHITE,
    subject: tuple[int, int, int] = BLUE,
) -> Image.Image:
    """A rectangle in the middle of an even ground; its sides are `fill` of the picture's."""
    image = Image.new("RGB", (width, height), ground)
    image.paste(subject, box_of(width, height, fill))
    return image


def picture_of(mode: str, width: int, height: int, fill: float) -> Image.Image:
    """A packshot of any mode of Pillow's."""
    image = packshot(width, height, fill)
    return image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)


def box_of(width: int, height: int, fill: float) -> tuple[int, int, int, int]:
    wide, high = round(width * fill), round(height * fill)
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The bytes of a file; JPEG and WebP of a quality that keeps a white edge white."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 92} if kind in ("JPEG", "WEBP") else {}) | options)
    return buffer.getvalue()


def chunk(data: bytes, kind: bytes) -> bytes:
    """One chunk of a PNG."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def deep_png(image: Image.Image) -> bytes:
    """A PNG of 16 bits a colour, which Pillow reads and does not write."""
    values = np.asarray(image.convert("RGB")).astype(">u2") * 257
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = image.width.to_bytes(4, "big") + image.height.to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    parts = chunk(head, b"IHDR") + chunk(zlib.compress(lines), b"IDAT") + chunk(b"", b"IEND")
    return b"\x89PNG\r\n\x1a\n" + parts


def deep_tiff(image: Image.Image) -> bytes:
    """A little-endian TIFF of 16 bits a colour in one strip, which Pillow reads and does not write."""
    pixels = (np.asarray(image.convert("RGB")).astype("<u2") * 257).astype("<u2").tobytes()
    entries = 9
    after = 8 + 2 + entries * 12 + 4
    tags = [
        (256, 4, 1, image.width),
        (257, 4, 1, image.height),
        (258, 3, 3, after),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, after + 6),
        (277, 3, 1, 3),
        (278, 4, 1, image.height),
        (279, 4, 1, len(pixels)),
    ]
    directory = struct.pack("<H", entries) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0\0\0\0"
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<HHH", 16, 16, 16) + pixels
