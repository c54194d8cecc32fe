"""Photos of one colour, encoded and saved as references."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

from PIL import Image

from catalogs.requests import Reference

RED, WHITE = (200, 30, 40), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(mode: str = "RGB", size: tuple[int, int] = (6, 4), colour: Any = RED) -> Image.Image:
    return Image.new(mode, size, colour)


def saved(path: Path, data: bytes) -> Reference:
    path.write_bytes(data)
    return Reference(str(path), hashlib.sha256(data).hexdigest(), "hero", 0, 0)
