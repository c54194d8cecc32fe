"""Pictures with letters on them, and what reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from inference.quality.reader import Reader, can_read
from tests.overlay_sheet import FONT
from tests.servers import missing


def lettered(*lines: str, size: tuple[int, int] = (640, 640), points: float = 60) -> Image.Image:
    """Dark letters on a light and even ground."""
    picture = Image.new("RGB", size, (232, 226, 214))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((40, 120 + number * 1.6 * points), line, (30, 30, 40), ImageFont.truetype(str(FONT), points))
    return picture


def own_reader(folder: Path) -> Iterator[Reader]:
    """A reader that no other test shares."""
    if not can_read():
        missing("nothing here reads letters: pip install 'packshot[lettering]'")
    made = Reader(folder)
    yield made
    made.close()
