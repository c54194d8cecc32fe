"""The one font of proofs, cut from Noto and merged: `python -m tests.proof_font` writes it anew.

It fetches the sources from the npm registry (`npm pack`, each in the version below), keeps of each what
inference/proofs/fonts/README.md says, merges them into one TrueType file, so that one call of Pillow shapes
a text of any script, and writes the file, the code points it has and its licences. Needs npm and fonttools.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fontTools import merge, subset
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from fontTools.ttLib.scaleUpem import scale_upem

FOLDER = Path(__file__).parents[1] / "inference" / "proofs" / "fonts"
NAME = "Packshot Proof"
BOX = 0x25AF  # what stands for a character that the font has not
EM = 1000
LINE = 1069, -293, 0  # ascent, descent and gap of Noto Sans
ALL = range(0x20, 0x110000)


def of_codec(codec: str, leads: Iterable[int], trails: Iterable[int]) -> frozenset[int]:
    """The characters of some rows of a two-byte character set."""
    trails = list(trails)
    found = (bytes((lead, trail)).decode(codec, "ignore") for lead in leads for trail in trails)
    return frozenset(ord(text) for text in found if len(text) == 1)


_HIGH = range(0xA1, 0xFF)
# The first levels of the national standards, ordered by how often a character is used when they were made.
SIMPLIFIED = of_codec("gb2312", range(0xB0, 0xD8), _HIGH)
JAPANESE = of_codec("euc_jp", range(0xB0, 0xD0), _HIGH)
TRADITIONAL = of_codec("big5", range(0xA4, 0xC7), [*range(0x40, 0x7F), *_HIGH])
HANGUL = of_codec("euc_kr", range(0xB0, 0xC9), _HIGH)
KANA = frozenset([*range(0x3000, 0x3040), *range(0x3041, 0x3100), *range(0x31F0, 0x3200), *range(0xFF01, 0xFFEF)])
JAMO = frozenset(range(0x3131, 0x318F))


@dataclass(frozen=True)
class Source:
    """A family of Noto and what is kept of it; what an earlier one has is not taken again.

    Attributes:
        layout: whether its rules of shaping are kept.
    """

    family: str
    version: str
    keep: Iterable[int] = ALL
    layout: bool = True


SOURCES = (
    Source("noto-sans", "0.4.2"),
    Source("noto-sans-arabic", "0.4.3"),
    Source("noto-sans-hebrew", "0.4.1"),
    Source("noto-sans-devanagari", "0.4.1"),
    Source("noto-sans-thai", "0.4.2"),
    Source("noto-sans-georgian", "0.4.3"),
    Source("noto-sans-armenian", "0.4.2"),
    Source("noto-sans-bengali", "0.4.4"),
    Source("noto-sans-tamil", "0.4.3"),
    Source("noto-sans-sc", "0.4.3", SIMPLIFIED, layout=False),
    Source("noto-sans-jp", "0.4.3", JAPANESE | KANA, layout=False),
    Source("noto-sans-tc", "0.4.3", TRADITIONAL, layout=False),
    Source("noto-sans-kr", "0.4.3", HANGUL | JAMO, layout=False),
    Source("noto-sans-math", "0.4.2", range(0x2100, 0x2300), layout=False),
    Source("noto-sans-symbols", "0.4.1", range(0x2000, 0x2C00), layout=False),
    Source("noto-sans-symbols-2", "0.4.1", range(0x2000, 0x2C00), layout=False),
    Source("noto-emoji", "0.4.7", range(0x2190, 0x1FB00), layout=False),
)
_TAKEN_ONLY_BY = {"noto-sans": range(0x0600, 0x0E80)}  # its few marks of other scripts would hide theirs


def main(kept: str = "") -> None:
    """Write the font.

    Args:
        kept: a folder of packages fetched before; what it lacks is put there.
    """
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(kept or name)
        fetched = [(source, *fetch(source, folder)) for source in SOURCES]
        parts, licences, taken = [], [], set[int]()
        for source, file, licence in fetched:
            path = folder / f"{source.family}.ttf"
            taken |= cut(source, file, taken, path)
            parts.append(str(path))
            licences.append((source.family, licence))
        write(merge.Merger(merge.Options(drop_tables=["vmtx", "vhea", "BASE", "STAT", "meta"])).merge(parts))
        (FOLDER / "OFL.txt").write_text("\n".join(licence_text(licences)) + "\n")


def fetch(source: Source, folder: Path) -> tuple[Path, str]:
    """The regular face of a family, and its licence."""
    asked = f"@expo-google-fonts/{source.family}@{source.version}"
    archive_path = folder / f"expo-google-fonts-{source.family}-{source.version}.tgz"
    if not archive_path.exists():
        subprocess.run(["npm", "pack", "--silent", asked], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    target = folder / source.family
    with tarfile.open(archive_path) as archive:
        archive.extractall(target, filter="data")
    [file] = (target / "package" / "400Regular").glob("*.ttf")
    return file, (target / "package" / "LICENSE_FONT").read_text()


def cut(source: Source, file: Path, taken: set[int], path: Path) -> set[int]:
    """Write what is kept of a face; the code points it then has."""
    font = TTFont(file)
    hidden = _TAKEN_ONLY_BY.get(source.family, ())
    wanted = {code for code in font.getBestCmap() if code in source.keep and code not in taken and code not in hidden}
    options = subset.Options(
        hinting=False, notdef_outline=True, glyph_names=False, name_IDs=[], legacy_kern=False, drop_tables=["MATH"]
    )
    if not source.layout:
        options.layout_features = []
    # Some shapes of a script are told by characters that another face has: they stay, and the first face's count.
    shaping = {0x20, 0x25CC, 0x200C, 0x200D} if source.layout else set()
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=wanted | shaping)
    cutter.subset(font)
    if font["head"].unitsPerEm != EM:
        scale_upem(font, EM)
    for table in ("vmtx", "vhea", "VORG"):
        if table in font:
            del font[table]
    font.save(path)
    return wanted | shaping


def write(font: TTFont) -> None:
    """Write the merged font, named and with the box, and which code points it has."""
    add_box(font)
    # The lines of a proof are as high as those of Latin text, whatever marks a script stacks.
    font["hhea"].ascent, font["hhea"].descent, font["hhea"].lineGap = LINE
    metrics = font["OS/2"]
    metrics.sTypoAscender, metrics.sTypoDescender, metrics.sTypoLineGap = LINE  # FreeType reads one pair or the other
    names = font["name"]
    names.names = []
    for number, text in ((0, "Noto is a trademark of Google LLC; see OFL.txt"), (1, NAME), (2, "Regular"), (4, NAME)):
        names.setName(text, number, 3, 1, 0x409)
    names.setName(NAME.replace(" ", ""), 6, 3, 1, 0x409)
    font["head"].created = font["head"].modified = 0
    font.recalcTimestamp = False
    font.save(FOLDER / "proof.ttf")
    ranges = list(ranges_of(sorted(font.getBestCmap())))
    (FOLDER / "proof.json").write_text(json.dumps(ranges, separators=(",", ":")) + "\n")


def add_box(font: TTFont) -> None:
    pen = TTGlyphPen(None)
    for left, bottom, right, top, way in ((60, -100, 560, 760, 1), (120, -40, 500, 700, -1)):
        corners = [(left, bottom), (left, top), (right, top), (right, bottom)][::way]
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
    name = "packshot.box"
    font.setGlyphOrder([*font.getGlyphOrder(), name])
    font["glyf"].setGlyphOrder(font.getGlyphOrder())
    font["glyf"][name] = pen.glyph()
    font["hmtx"][name] = (620, 60)
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap[BOX] = name


def ranges_of(codes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Sorted numbers as (first, last) of those that follow each other."""
    first = last = -2
    for code in codes:
        if code == last + 1:
            last = code
            continue
        if last >= 0:
            yield first, last
        first = last = code
    if last >= 0:
        yield first, last


def licence_text(licences: list[tuple[str, str]]) -> Iterator[str]:
    """The licence once, and before it whose copyright each part is."""
    yield f"proof.ttf, called {NAME}, is a modified version of these fonts:\n"
    for family, text in licences:
        yield f"{family}: {text.splitlines()[0]}"
    yield "\n" + licences[0][1].split("\n", 1)[1].strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
