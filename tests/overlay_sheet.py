"""Overlays to be looked at: texts of several scripts, prices and logos on light, dark and busy grounds, on one sheet.

python -m tests.overlay_sheet SHEET.png
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.drawn_overlay import Drawn, DrawnBadge, DrawnFile, DrawnLogo, DrawnText, written
from catalogs.campaigns.overlay_places import align_of, level_of, room_of, side_of
from catalogs.campaigns.overlays import OverlayElement
from inference.finishing.overlay import Painted, paint

FONT = Path(__file__).parents[1] / "inference/proofs/fonts/proof.ttf"
LOGO_SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 80"><g fill="#C2410C">
<circle cx="40" cy="40" r="32"/><path d="M90 12h26l28 56h-26zM150 12h26l28 56h-26z"/></g>
<circle cx="40" cy="40" r="16" fill="#FFFFFF"/></svg>"""


def logo_png() -> bytes:
    """A round mark with transparency."""
    logo = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(logo)
    canvas.ellipse((40, 40, 560, 560), fill=(12, 74, 110, 255))
    canvas.polygon([(300, 120), (450, 430), (150, 430)], fill=(255, 255, 255, 255))
    buffer = io.BytesIO()
    logo.save(buffer, "PNG")
    return buffer.getvalue()


class Files:
    """Fonts and logos in memory, by content."""

    def __init__(self, *content: bytes) -> None:
        self._content = {hashlib.sha256(data).hexdigest(): data for data in content}

    def __call__(self, file: DrawnFile) -> bytes:
        return self._content[file.sha256]

    @staticmethod
    def named(data: bytes) -> DrawnFile:
        return DrawnFile("/in/memory", hashlib.sha256(data).hexdigest())


def drawn(channel: Channel, language: str = "", font: bytes = b"", **said: Any) -> Drawn:
    """An element as a plan carries it, from what a campaign says of it."""
    data = said.pop("logo", None)
    element = OverlayElement(**said, **({"logo": "x"} if data else {}))
    room = room_of(element, channel)
    if data:
        return DrawnLogo(Files.named(data), side_of(element), level_of(element), room)
    badge = element.badge and DrawnBadge(**element.badge.model_dump())
    sizes = (element.size, element.least_size)
    places = (align_of(element), level_of(element), room)
    file = Files.named(font or FONT.read_bytes())
    return DrawnText(
        str(element.text), language, file, *sizes, element.colour, element.lines, *places, badge, element.scrim
    )  # fmt: skip


def painted(picture: Image.Image, *elements: Drawn, files: Files) -> Painted:
    """Elements on a picture."""
    overlay = written(elements)
    assert overlay is not None
    return paint(picture, overlay, files)


def light(size: tuple[int, int]) -> Image.Image:
    return _graded(size, (246, 244, 240), (214, 208, 200))


def dark(size: tuple[int, int]) -> Image.Image:
    return _graded(size, (38, 44, 56), (10, 12, 18))


def busy(size: tuple[int, int]) -> Image.Image:
    """Blots of every brightness, as leaves in the sun are."""
    noise = np.random.default_rng(7).integers(0, 256, (size[1] // 24, size[0] // 24, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(3))


def _graded(size: tuple[int, int], above: tuple[int, int, int], below: tuple[int, int, int]) -> Image.Image:
    share = np.linspace(0, 1, size[1])[:, None, None]
    rows = np.array(above) * (1 - share) + np.array(below) * share
    return Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).round().astype(np.uint8))


TEXTS = {
    "en": ("Stoneware that keeps its warmth", "€ 49.90", "© 2026 Tilia Ceramics GmbH. AVAWT To Ty."),
    "de": ("Steinzeug\u00admanufaktur mit Wärmespeicherung", "49,90 €", "Alle Preise inkl. MwSt., zzgl. Versand."),
    "ar": ("خزف يحتفظ بدفء قهوتك طوال الصباح", "٤٩٫٩٠ €", "جميع الحقوق محفوظة © 2026 Tilia"),
    "ja": ("朝のコーヒーを、ずっとあたたかく。「冬の新作」登場", "¥7,980", "※価格は税込みです。送料は別途かかります。"),
}
GROUNDS: tuple[Callable[[tuple[int, int]], Image.Image], ...] = (light, dark, busy)


def sheet() -> Image.Image:
    """Languages across, grounds down; the last row is a story with its safe zone."""
    files = Files(FONT.read_bytes(), LOGO_SVG, logo_png())
    square = Channel(name="square", width=560, height=560)
    story = Channel(name="story", width=560, height=996, safe_zone=(9.8, 0, 13.3, 0))
    whole = Image.new("RGB", (4 * 580, 3 * 580 + 1016), "#808080")
    for column, (language, texts) in enumerate(TEXTS.items()):
        for row, ground in enumerate(GROUNDS):
            picture = ground((560, 560))
            told = painted(picture, *_square(square, language, texts, column), files=files)
            print(language, ground.__name__, told)
            whole.paste(picture, (column * 580 + 10, row * 580 + 10))
        picture = (dark, light, busy, light)[column]((560, 996))
        print(language, "story", painted(picture, *_story(story, language, texts), files=files))
        whole.paste(picture, (column * 580 + 10, 3 * 580 + 10))
    return whole


def _square(channel: Channel, language: str, texts: tuple[str, str, str], column: int) -> list[Drawn]:
    badge = {"colour": "#C2410C", "radius": 50}
    return [
        drawn(channel, logo=(LOGO_SVG, logo_png())[column % 2], anchor="top-left", width=18),
        drawn(channel, language, text=texts[0], size=9, lines=3, box=(4, 34, 70, 40), anchor="left"),
        drawn(channel, language, text=texts[1], size=7, lines=1, anchor="top-right", badge=badge, colour="#FFFFFF"),
        drawn(channel, language, text=texts[2], size=3, lines=2, anchor="bottom-left", margin=3),
    ]


def _story(channel: Channel, language: str, texts: tuple[str, str, str]) -> list[Drawn]:
    badge = {"colour": "#FACC15", "opacity": 92, "radius": 20}
    return [
        drawn(channel, logo=LOGO_SVG, anchor="top", width=40, margin=0),
        drawn(channel, language, text=texts[0], size=12, min_size=5, lines=4, anchor="centre", width=84),
        drawn(channel, language, text=texts[1], size=11, lines=1, anchor="bottom-right", badge=badge, colour="#111111"),
        drawn(channel, language, text=texts[2], size=3, lines=2, anchor="bottom-left", margin=0, width=50),
    ]


if __name__ == "__main__":
    sheet().save(sys.argv[1])
