"""Fonts and logos: what they are told to have, and what is refused in one line."""

from __future__ import annotations

import io
import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from PIL import Image

from catalogs.references.book import ReferenceBook
from catalogs.references.fonts import BadFont, read_font
from catalogs.references.overlay_files import OverlayFiles, logo_of
from catalogs.references.pictures import BadPicture
from catalogs.references.places import Places
from catalogs.references.problems import InvalidReference, MissingReference
from catalogs.references.svg import drawn_svg, svg_size
from tests.overlay_sheet import FONT, LOGO_SVG, logo_png

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 40 20">'


def small_font(text: str) -> bytes:
    """A font of squares for a few characters."""
    names = [".notdef", *(f"g{i}" for i in range(len(text)))]
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (500, 700), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(mark): names[i + 1] for i, mark in enumerate(text)})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupPost()
    buffer = io.BytesIO()
    builder.save(buffer)
    return buffer.getvalue()


def test_a_font_has_what_its_own_table_says() -> None:
    data = FONT.read_bytes()
    expected = set(TTFont(io.BytesIO(data)).getBestCmap())
    assert set(np.flatnonzero(read_font(data).codes).tolist()) == expected


def test_what_a_font_lacks_is_named_once_and_parts_count() -> None:
    font = read_font(small_font("abe\u0301c"))
    assert font.family == "Squares Regular"
    assert font.lacking("a b\u00a0c\u200d\u00ad") == []
    assert font.lacking("é") == []  # of e and its accent
    assert font.lacking("xaxü") == ["x", "ü"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a font"),
        (b"wOF2" + bytes(100), "is a WOFF"),
        (logo_png(), "not a font"),
        (FONT.read_bytes()[:3000], "cut short or damaged"),
        (b"\x00\x01\x00\x00" + bytes(200), "no table of characters"),
    ],
)
def test_what_is_no_font_is_said(data: bytes, words: str) -> None:
    with pytest.raises(BadFont, match=words):
        read_font(data)


def test_damaged_fonts_end_in_no_other_error() -> None:
    draw, whole = random.Random(5), small_font("abc")
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 12)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        with suppress(BadFont):
            read_font(bytes(data[: draw.choice([len(data), draw.randrange(len(data))])]))


def test_a_drawing_becomes_pixels_with_transparency() -> None:
    logo = logo_of(LOGO_SVG, "logo.svg", 480)
    assert logo.mode == "RGBA"
    assert abs(logo.width / logo.height - 196 / 64) < 0.15  # without its empty edges
    assert logo.getpixel((logo.width // 8, 10))[3] > 0  # type: ignore[index]


USES = "".join(f'<g id="a{i}">' + f'<use xlink:href="#a{i - 1}"/>' * 8 + "</g>" for i in range(1, 30))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<image href="https://example.com/x.png"/>', "holds a picture"),
        ('<image href="file:///etc/passwd"/>', "holds a picture"),
        ('<use href="https://example.com/x.svg#a"/>', "links to something outside"),
        ('<a xlink:href="https://example.com"/>', "links to something outside"),
        ('<path d="M0 0h9v9z" fill="url(https://example.com/x)"/>', "links to something outside"),
        ("<style>@import 'x.css';</style>", "links to something outside"),
        ("<style>path {fill: url(http://x/y)}</style>", "links to something outside"),
        ("<script>alert(1)</script>", "runs a script"),
        ('<g onclick="alert(1)"/>', "runs a script"),
        ("<foreignObject/>", "something else than a drawing"),
        ("<text>Tilia</text>", "holds text"),
        ("<animate/>", "is animated"),
        ("<g>" * 40 + "</g>" * 40, "or groups over 32 deep"),
        ("<g/>" * 20_001, "over 20,000 elements"),
        (f"<g id='a0'/>{USES}", "copies of its parts"),
        ("<g>", "damaged"),
    ],
)
def test_a_drawing_that_asks_for_more_than_shapes_is_refused(body: str, words: str) -> None:
    with pytest.raises(BadPicture, match=words) as caught:
        drawn_svg(f"{HEAD}{body}</svg>".encode(), 64)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("drawing", "words"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', "says no size"),
        ('<svg viewBox="0 0 1 100000"/>', "longer than 20:1"),
        ('<svg width="1e9" height="1e9"/>', "says no size"),
        ('<svg width="-5" height="5" viewBox="0 0 x y"/>', "says no size"),
        ('<!DOCTYPE svg [<!ENTITY a "b">]><svg viewBox="0 0 9 9">&a;</svg>', "declares entities"),
        ('<?xml-stylesheet href="x.css"?><svg viewBox="0 0 9 9"/>', "links to a style sheet"),
        ('<?xml version="1.0" encoding="nonsense"?><svg viewBox="0 0 9 9"/>', "damaged|cannot be read"),
        ("<html><svg/></html>", "is not an SVG"),
        ("<svg>" + "x" * 2_000_001, "over the limit"),
    ],
)
def test_a_drawing_without_measure_is_refused(drawing: str, words: str) -> None:
    with pytest.raises(BadPicture, match=words):
        svg_size(drawing.encode())


def test_a_drawing_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that breaks resvg takes its own process with it, and no other."""
    process = Path(__file__).parent / "broken_process.py"
    monkeypatch.setattr("catalogs.references.svg._PROCESS", process)
    with pytest.raises(BadPicture, match="too much time or memory"):
        drawn_svg(LOGO_SVG, 64)


def test_empty_and_huge_logos_are_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save(buffer, "PNG")
    with pytest.raises(InvalidReference, match="fully transparent"):
        logo_of(buffer.getvalue(), "logo.png", 64)
    with pytest.raises(InvalidReference, match="25 million"):
        logo_of(huge_png(6000, 6000), "logo.png", 64)


def huge_png(width: int, height: int) -> bytes:
    """A header that promises a large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_files_come_from_where_they_may(tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    folder.mkdir()
    (folder / "logo.svg").write_bytes(LOGO_SVG)
    (tmp_path / "font.ttf").write_bytes(FONT.read_bytes())
    places = Places.of([str(folder)], "campaign.yaml")
    files = OverlayFiles(ReferenceBook(tmp_path / "cache", places=places), places)
    base = str(folder / "campaign.yaml")
    assert files.logo(base, "logo.svg").uri == str(folder / "logo.svg")
    with pytest.raises(InvalidReference, match="lies outside"):
        files.font(base, "../font.ttf")
    with pytest.raises(MissingReference, match="no such file"):
        files.font(base, "gone.ttf")
    with pytest.raises(InvalidReference, match="fonts are not fetched from web servers; download it"):
        files.font(base, "https://example.com/font.ttf")
