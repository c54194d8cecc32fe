"""Font files: checked, and which characters they have. The one seam for what FreeType raises."""

from __future__ import annotations

import io
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

MAX_BYTES = 64 * 2**20
_TRIED = 32  # pixels, at which a font is tried
_FACES = (b"\x00\x01\x00\x00", b"OTTO", b"true")
_COLLECTION = b"ttcf"
# Platform and encoding of tables of Unicode: all of it before its first plane.
_UNICODE = ((3, 10), (0, 6), (0, 4), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0))
_CODES = 0x110000
_GROUPS = 100_000
_FIX = "give a TrueType or OpenType file (.ttf, .otf)"

Codes = NDArray[np.bool_]


class BadFont(Exception):
    """Bytes that are no usable font: what is wrong, and what to do."""

    def __init__(self, problem: str, fix: str = _FIX) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; {fix}")


@dataclass(frozen=True)
class FontFile:
    """A font that can be written with.

    Attributes:
        family: as it calls itself, for people.
        codes: bool of shape (0x110000,), True for the code points it has a glyph for.
    """

    family: str
    codes: Codes = field(repr=False, compare=False)

    def lacking(self, text: str) -> list[str]:
        """The characters of a text that it cannot write, each once, in order."""
        return list(dict.fromkeys(mark for mark in text if not self._has(mark)))

    def _has(self, mark: str) -> bool:
        if self.codes[ord(mark)] or _is_not_drawn(mark):
            return True
        # Shaping puts a letter together from its parts.
        parts = unicodedata.normalize("NFD", mark)
        return len(parts) > 1 and all(self.codes[ord(part)] for part in parts)


def _is_not_drawn(mark: str) -> bool:
    """Spaces, and what only says how its neighbours look."""
    return unicodedata.category(mark) in ("Zs", "Zl", "Zp", "Cc", "Cf") or "\ufe00" <= mark <= "\ufe0f"


def read_font(data: bytes) -> FontFile:
    """Check the bytes of a font; of a collection the first.

    Raises:
        BadFont: no TrueType or OpenType font, damaged, or without a table of Unicode.
    """
    if len(data) > MAX_BYTES:
        raise BadFont(f"has {len(data) / 1e6:.0f} MB, over the limit of {MAX_BYTES / 1e6:.0f}", "give a smaller font")
    if data[:4] in (b"wOFF", b"wOF2"):
        raise BadFont("is a WOFF, a font for web pages", "give the TrueType or OpenType file it was made from")
    if data[:4] not in (*_FACES, _COLLECTION):
        raise BadFont("is not a font that can be read")
    try:
        codes = _codes(data)
        face = ImageFont.truetype(io.BytesIO(data), _TRIED, layout_engine=ImageFont.Layout.BASIC)
        face.getbbox("A")
        family = " ".join(filter(None, face.getname()))
    except BadFont:
        raise
    except (OSError, ValueError, IndexError, struct.error, SyntaxError, UnicodeError) as error:
        raise BadFont("the font is cut short or damaged", "save it again") from error
    if not codes.any():
        raise BadFont("has no characters of Unicode")
    return FontFile(family, codes)


def _codes(data: bytes) -> Codes:
    start = struct.unpack_from(">I", data, 12)[0] if data[:4] == _COLLECTION else 0
    codes = np.zeros(_CODES, bool)
    for first, last in _ranges(data, _cmap(data, start)):
        codes[first : last + 1] = True
    return codes


def _cmap(data: bytes, start: int) -> int:
    """Where the best table of Unicode lies."""
    (count,) = struct.unpack_from(">H", data, start + 4)
    tables = (struct.unpack_from(">4sIII", data, start + 12 + 16 * i) for i in range(count))
    offset: int | None = next((offset for tag, _, offset, _ in tables if tag == b"cmap"), None)
    if offset is None:
        raise BadFont("has no table of characters")
    (count,) = struct.unpack_from(">H", data, offset + 2)
    found: dict[tuple[int, int], int] = {}
    for i in range(count):
        platform, encoding, place = struct.unpack_from(">HHI", data, offset + 4 + 8 * i)
        if struct.unpack_from(">H", data, offset + place)[0] in (4, 6, 12):
            found.setdefault((platform, encoding), offset + place)
    best = next((found[key] for key in _UNICODE if key in found), None)
    if best is None:
        raise BadFont("has no table of Unicode characters")
    return best


def _ranges(data: bytes, place: int) -> Iterator[tuple[int, int]]:
    """First and last code points of what a table has glyphs for."""
    (kind,) = struct.unpack_from(">H", data, place)
    if kind == 12:
        (count,) = struct.unpack_from(">I", data, place + 12)
        if count > _GROUPS:
            raise ValueError("more groups than there can be")
        for i in range(count):
            first, last, glyph = struct.unpack_from(">III", data, place + 16 + 12 * i)
            if first <= last < _CODES:
                yield first + (glyph == 0), last
    elif kind == 6:
        first, count = struct.unpack_from(">HH", data, place + 6)
        glyphs = struct.unpack_from(f">{count}H", data, place + 10)
        yield from ((first + i, first + i) for i, glyph in enumerate(glyphs) if glyph)
    else:
        yield from _segments(data, place)


def _segments(data: bytes, place: int) -> Iterator[tuple[int, int]]:
    """Those of format 4: runs of codes, whose glyphs are counted on or looked up."""
    (doubled,) = struct.unpack_from(">H", data, place + 6)
    count = doubled // 2
    read = [struct.unpack_from(f">{count}H", data, place + 14 + at) for at in (0, doubled + 2)]
    deltas = struct.unpack_from(f">{count}h", data, place + 16 + 2 * doubled)
    rows = place + 16 + 3 * doubled
    offsets = struct.unpack_from(f">{count}H", data, rows)
    for i, (last, first, delta, offset) in enumerate(zip(*read, deltas, offsets, strict=True)):
        if first > last or first == 0xFFFF:
            continue
        if not offset:
            zero = -delta & 0xFFFF
            yield from ((a, b) for a, b in ((first, min(last, zero - 1)), (max(first, zero + 1), last)) if a <= b)
            continue
        looked_up = rows + 2 * i + offset
        glyphs = struct.unpack_from(f">{last - first + 1}H", data, looked_up)
        yield from ((first + k, first + k) for k, glyph in enumerate(glyphs) if glyph)
