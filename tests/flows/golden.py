"""One campaign through every built-in channel, signed, cropped to its subject, made white, with texts in three scripts.

python -m tests.flows.golden FOLDER    renders it there, and writes FOLDER/sheet.jpg of what has a text
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from catalogs.campaigns.channels import Channel, builtin_channels
from catalogs.columns import Row
from inference.credentials.development import write_development_chain
from tests.drawn_packshots import drawn_packshot
from tests.flows.projects import Project
from tests.flows.stored_pictures import store_pictures
from tests.overlay_sheet import FONT, LOGO_SVG

COPY = {
    "headline": {
        "en": "Carries all you need",
        "ar": "تحمل كل ما تحتاجه كل يوم",
        "ja": "毎日を、ぜんぶ運べる「青いかばん」。",
    },
    "price": {"en": "€ 49.90", "ar": "٤٩٫٩٠ €", "ja": "¥7,980"},
}
LANGUAGES = list(COPY["headline"])
OVERLAY: list[dict[str, Any]] = [
    {"text": "{{ copy.headline }}", "anchor": "bottom", "size": 6, "lines": 2, "margin": 3},
    {
        "text": "{{ copy.price }}",
        "anchor": "top-right",
        "size": 6,
        "lines": 1,
        "colour": "#FFFFFF",
        "badge": {"colour": "#B91C1C", "radius": 50},
    },
    {"logo": "brand", "anchor": "top-left", "width": 20},
]
ROOM = (0.45, 0.6)
"""Fill of channels with texts and no rule of their own."""

BEST = frozenset({"youtube-thumbnail", "open-graph", "email-hero", "shopify-webp", "shopify-avif"})
FORMATS = ("png", "webp", "avif")
SHOT = {"hero": {"references": ["product.hero"], "prompt": {"scene": "{{ product.title }} alone on white"}}}
BAG = (60, 90, 150)
SIDE = 320


@dataclass(frozen=True)
class Golden:
    """A file of the campaign.

    Attributes:
        name: of its channel, without a language.
        base: the built-in channel whose rules hold for it.
    """

    path: Path
    name: str
    base: Channel
    language: str
    row: Row

    @property
    def format(self) -> str:
        return self.name.removeprefix("shopify-") if self.name != self.base.name else self.base.format

    @property
    def white(self) -> bool:
        return self.base.ground == "white"

    def __str__(self) -> str:
        return " ".join(filter(None, (self.name, self.language)))


def channels() -> list[dict[str, Any]]:
    """Every built-in channel, and Shopify's in the other formats, with the steps that are asked of them."""
    bases = {name: name for name in builtin_channels()} | {f"shopify-{kind}": "shopify" for kind in FORMATS}
    return [_asked(name, builtin_channels()[base]) for name, base in bases.items()]


def _asked(name: str, base: Channel) -> dict[str, Any]:
    asked: dict[str, Any] = {"base": base.name, "name": name, "crop": "subject"}
    if name != base.name:
        asked["format"] = name.rpartition("-")[2]
    if base.ground == "white":
        asked["background"] = {"make": "white"}
    if name in BEST:
        asked["encode"] = "best"
    if base.text:
        asked |= {"copy": "all", "overlay": OVERLAY, "fill": list(base.fill or ROOM)}
    return asked


def project_of(folder: Path) -> Project:
    """The campaign, which finds drawn packshots where its masters would be."""
    project = Project.of(folder, 1, model="tiny", credentials=True, copy=COPY, shots=SHOT, channels=channels())
    (folder / "brand.ttf").write_bytes(FONT.read_bytes())
    (folder / "brand.svg").write_bytes(LOGO_SVG)
    for brand in project.brands:
        brand.update(font_uri="brand.ttf", logo_uri="brand.svg")
    project.products[0]["title"] = "Blue bag"
    drawn_packshot(colour=BAG, shadow=0).picture.save(folder / "photo.png")
    project.write()
    store_pictures(project, lambda row, seed: _drawn(row["master_width"], row["master_height"], seed))
    return project


def _drawn(width: int, height: int, seed: int) -> Image.Image:
    tall = min(height * 0.62, width * 0.9)
    left, top = round(width / 2 - tall / 3), round(height * 0.52 - tall / 2)
    box = (left, top, width - left, round(top + tall))
    return drawn_packshot((width, height), box, colour=BAG, seed=seed).picture


def delivered(project: Project) -> list[Golden]:
    """Render the campaign; its files."""
    reports = project.render()
    assert sum(report.rendered for report in reports) == 0, "its pictures were there"
    rows = [row for row in project.view().values() if not row["master"]]
    assert {(row["status"], row["detail"]) for row in rows} == {("delivered", None)}, [row["detail"] for row in rows]
    return [_golden(project.folder / "output" / row["asset_key"], row) for row in rows]


def _golden(path: Path, row: Row) -> Golden:
    name, _, language = row["channel"].rpartition("-")
    if language not in LANGUAGES:
        name, language = row["channel"], ""
    base = builtin_channels().get(name) or builtin_channels()["shopify"]
    return Golden(path, name, base, language, row)


def sheet(files: Sequence[Golden]) -> Image.Image:
    """Pictures side by side, nine across."""
    whole = Image.new("RGB", (9 * SIDE, -(-len(files) // 9) * SIDE), "#808080")
    for number, each in enumerate(files):
        with Image.open(each.path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((SIDE - 12, SIDE - 12))
        whole.paste(small, (number % 9 * SIDE + 6, number // 9 * SIDE + 6))
    return whole


def main(folder: Path) -> None:
    write_development_chain(folder / "credentials")
    files = delivered(project_of(folder))
    sheet([each for each in files if each.language]).save(folder / "sheet.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
