"""What the check of lettering finds of misspelt words, and how often it cries wolf.

    PYTHONPATH=. python tests/benchmarks/lettering.py FOLDER [--font FILE]...     # of product photos, PRODUCT-*.jpg

On every photo texts are drawn, right and with one letter wrong: left out, doubled, exchanged for another, or swapped
with its neighbour. The limit is chosen on the products of one half, over all rows: the one that finds most with at most
2 % false alarms. The table is of the other half.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from catalogs.campaigns.quality import ReviewLimits
from inference.quality.lettering import read_back
from inference.quality.reader import SECOND_SIDE, reader
from tests.benchmarks.quality import SIDE, encoded, threshold
from tests.overlay_sheet import FONT

TEXTS = {
    "4 to 8 letters": ["NORD", "Aurora", "SALE", "Wildrose", "Größe", "Lumen", "Crème", "Harbour"],
    "9 to 16 letters": [
        "Summer Sale",
        "GUTEN MORGEN",
        "Fjord & Pine",
        "Made in Portugal",
        "Café Lumière",
        "Bright Harbour",
    ],
    "17 to 34 letters": [
        "Keeps its warmth for a day",
        "Bleibt lange warm und leicht",
        "THE LITTLE BAKERY ON THE HILL",
        "Fait main avec amour à Lyon",
    ],
}
LETTERS = "abcdefghijklmnoprstuvwyz"
Spoil = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True)
class Photo:
    """A product photo on a square, and which product it is of."""

    product: str
    picture: Image.Image

    @property
    def half(self) -> int:
        return hashlib.sha256(self.product.encode()).digest()[0] % 2


def photos_of(folder: Path) -> list[Photo]:
    found = []
    for path in sorted(folder.rglob("*.jpg")):
        square = Image.new("RGB", (SIDE, SIDE), "white")
        with Image.open(path) as image:
            picture = image.convert("RGB")
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
        found.append(Photo(path.stem.split("-")[0], square))
    return found


def misspelt(text: str, rng: np.random.Generator) -> str:
    """With one letter wrong."""
    while True:
        place = int(rng.choice([at for at, letter in enumerate(text) if letter.isalpha()]))
        letter, before, after = text[place], text[:place], text[place + 1 :]
        other = str(rng.choice(list(LETTERS)))
        other = other.upper() if letter.isupper() else other
        swapped = after[:1] + letter + after[1:] if after[:1].isalpha() else other + after
        wrong = str(rng.choice([before + after, before + letter * 2 + after, before + other + after, before + swapped]))
        if read_back([text], [wrong]) < 1:
            return wrong


def absent(text: str, rng: np.random.Generator) -> str:
    return ""


def lettered(photo: Photo, text: str, fonts: list[Path | None], rng: np.random.Generator) -> Image.Image:
    """The photo with a text on it: its font, size, colour, lines, place and slant as they come."""
    picture = photo.picture.copy()
    if not text:
        return encoded(picture)
    lines = broken(text, rng)
    usable = [font for font in fonts if font or text.isascii()]
    font = font_of(usable[rng.integers(len(usable))], SIDE * rng.uniform(0.035, 0.09))
    while (longest := max(font.getlength(line) for line in lines)) > SIDE * 0.85:
        font = font.font_variant(size=font.size * 0.9)
    high = round(font.size * 1.25)
    patch = Image.new("L", (round(longest) + high, high * len(lines) + high // 2))
    for number, line in enumerate(lines):
        ImageDraw.Draw(patch).text((high // 2, high // 4 + number * high), line, fill=255, font=font)
    patch = patch.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, expand=True)
    left = int(rng.uniform(0, max(1, SIDE - patch.width)))
    top = int(rng.uniform(0, max(1, SIDE - patch.height)))
    ground = np.asarray(picture.crop((left, top, left + patch.width, top + patch.height)).convert("L"))
    dark = rng.uniform(0, 60, 3) if np.median(ground) > 110 else rng.uniform(200, 255, 3)
    if ground.std() > 25 or 70 < np.median(ground) < 180:  # a label: nobody asks for letters on no contrast
        plate = (245, 240, 230) if dark.max() < 100 else (30, 35, 45)
        picture.paste(plate, (left, top, left + patch.width, top + patch.height))
    picture.paste(tuple(map(int, dark)), (left, top), patch)
    return encoded(picture)


def broken(text: str, rng: np.random.Generator) -> list[str]:
    words = text.split()
    if len(words) < 2 or rng.random() < 0.5:
        return [text]
    at = max(1, len(words) // 2)
    return [" ".join(words[:at]), " ".join(words[at:])]


def font_of(path: Path | None, size: float) -> ImageFont.FreeTypeFont:
    if path is None:
        font = ImageFont.load_default(size)  # Pillow's own, of ASCII
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font
    return ImageFont.truetype(str(path), size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--font", type=Path, action="append", default=[])
    parser.add_argument("--every", type=int, default=1, help="takes each so many photos")
    parser.add_argument("--verbose", action="store_true")
    asked = parser.parse_args()
    photos, fonts = photos_of(asked.folder)[:: asked.every], [FONT, None, *asked.font]
    rows: list[tuple[str, list[str], Spoil]] = [
        (f"one of {name} wrong", texts, misspelt) for name, texts in TEXTS.items()
    ]
    rows.append(("not there", [text for texts in TEXTS.values() for text in texts], absent))
    numbers: dict[tuple[str, int, bool], list[float]] = {}
    spent, count = 0.0, 0
    for name, texts, spoil in rows:
        for number, photo in enumerate(photos):
            for bad in (True, False):
                rng = np.random.default_rng([number, len(name), bad])
                text = texts[rng.integers(len(texts))]
                drawn = spoil(text, rng) if bad else text
                picture = lettered(photo, drawn, fonts, rng)
                started = time.perf_counter()
                lines = reader().read(picture).lines
                share = read_back([text], lines)
                if share < 1:  # as tasks/quality.py does
                    lines = [*lines, "|", *(again := reader().read(picture, SECOND_SIDE).lines)]
                    share = max(share, read_back([text], again))
                spent, count = spent + time.perf_counter() - started, count + 1
                numbers.setdefault((name, photo.half, bad), []).append(1 - share)
                if asked.verbose and (share < 1) != bad:
                    print(f"{'planted' if bad else 'clean'} {share:.3f}: {text!r} drawn {drawn!r} read {lines}")

    def of(half: int, bad: bool, name: str = "") -> np.ndarray:
        wanted = [found for (row, *key), found in numbers.items() if key == [half, bad] and name in row]
        return np.array([number for found in wanted for number in found])

    limit, default = threshold(of(0, True), of(0, False)), 1 - (ReviewLimits().lettering or 0)
    products = len({photo.product for photo in photos})
    print(f"{len(photos)} photos of {products} products, {len(fonts)} fonts, {spent / count * 1000:.0f} ms a picture")
    print(f"chosen on the other half: under {1 - limit:.4g}; `quality: on`: under {1 - default:g}\n")
    print("| letters | planted | found | clean | false alarms | `quality: on` | found | false alarms |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, *_ in rows:
        bad, good = of(1, True, name), of(1, False, name)
        told = [name, len(bad), (bad >= limit).sum(), len(good), (good >= limit).sum()]
        on = [f"{1 - default:g}", (bad > default).sum(), (good > default).sum()]
        print("| " + " | ".join(map(str, [*told, *on])) + " |")


if __name__ == "__main__":
    main()
