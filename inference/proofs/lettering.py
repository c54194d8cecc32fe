"""Text of any script on a proof: one font for all of it, lines that fit, and what the font lacks said by its code."""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, features

Font = ImageFont.FreeTypeFont

FONTS = Path(__file__).with_name("fonts")
BOX = "\u25af"
SHAPED = bool(features.check("raqm"))
"""Whether letters are joined and ordered by Pillow's raqm; without it, as on a machine that lacks libfribidi, Arabic
stands in single letters and Indic scripts in the order of their code points."""

_JOINERS = "\u200c\u200d"
_WIDE = frozenset("WF")
_RIGHT_TO_LEFT = frozenset(("R", "AL"))
_STRONG = _RIGHT_TO_LEFT | {"L"}


@cache
def font(points: float) -> Font:
    """The face of proofs, carried in the package, so that a proof looks the same on every machine."""
    return _font(max(6.0, round(points * 4) / 4))


@cache
def _font(points: float) -> Font:
    # By its path: of an open file Pillow keeps a copy a size.
    return ImageFont.truetype(str(FONTS / "proof.ttf"), points)


@cache
def _covered() -> tuple[list[int], list[int]]:
    """First and last code points of the ranges that the font has."""
    ranges: list[list[int]] = json.loads((FONTS / "proof.json").read_text("utf-8"))
    return [first for first, _ in ranges], [last for _, last in ranges]


def is_covered(mark: str) -> bool:
    """Whether the font has a character."""
    firsts, lasts = _covered()
    place = bisect_right(firsts, ord(mark)) - 1
    return place >= 0 and ord(mark) <= lasts[place]


def legible(text: str) -> str:
    """One line that the font can write: a character it lacks is a box with its code point, controls are spaces."""
    composed = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    return " ".join("".join(map(_legible, composed)).split())


@cache
def _legible(mark: str) -> str:
    if mark in _JOINERS:
        return mark
    category = unicodedata.category(mark)
    if category == "Cf" or "\ufe00" <= mark <= "\ufe0f":  # says how its neighbours look, and is not seen itself
        return ""
    if not mark.isprintable():
        return " "
    return mark if is_covered(mark) else f"{BOX}{ord(mark):04X}"


def is_right_to_left(text: str) -> bool:
    """Whether a text is read from the right, by the first letter that says."""
    ways = map(unicodedata.bidirectional, text)
    return next((way for way in ways if way in _STRONG), "L") in _RIGHT_TO_LEFT


def write(
    canvas: Image.Image,
    corner: tuple[int, int],
    text: str,
    size: float,
    colour: tuple[int, int, int],
    room: int,
    whole: str = "",
) -> None:
    """One line with its top left at `corner`, ellipsised to `room` pixels; one read from the right ends there.

    Args:
        whole: the text that this is a line of, which says how it is read; the line itself where "".
    """
    face = font(size)
    line = "".join(wrapped(text, face, room, 1))
    from_right = is_right_to_left(whole or line)
    if from_right:
        corner = (corner[0] + max(0, round(room - face.getlength(line))), corner[1])
    seen, way = (line, "rtl" if from_right else "ltr") if SHAPED else (in_order(line, from_right), None)
    ImageDraw.Draw(canvas).text(corner, seen, fill=colour, font=face, direction=way)


def in_order(line: str, from_right: bool) -> str:
    """A line in the order it is seen from the left, for a Pillow that writes letters as they come."""
    if not any(unicodedata.bidirectional(mark) in _RIGHT_TO_LEFT for mark in line):
        return line
    runs = ["".join(run) for _, run in groupby(line, _Way())]
    return "".join(_placed(run, from_right) for run in (reversed(runs) if from_right else runs))


def _placed(run: str, from_right: bool) -> str:
    """A run as it is seen; the spaces after one that is read the other way stand where the line goes on."""
    turned = _reversed(run)
    if turned == from_right:
        return run[::-1] if turned else run
    letters = run.rstrip()
    spaces = run[len(letters) :]
    letters = letters[::-1] if turned else letters
    return spaces + letters if from_right else letters + spaces


class _Way:
    """Whether a character is read from the right; one that does not say goes with what stands before it."""

    def __init__(self) -> None:
        self._last: Any = None

    def __call__(self, mark: str) -> bool:
        way = unicodedata.bidirectional(mark)
        if way in _STRONG or way in ("EN", "AN"):
            self._last = way in _RIGHT_TO_LEFT
        return bool(self._last)


def _reversed(run: str) -> bool:
    return any(unicodedata.bidirectional(mark) in _RIGHT_TO_LEFT for mark in run)


def wrapped(text: str, face: Font, room: float, limit: int) -> list[str]:
    """At most `limit` lines of at most `room` pixels; what is left out ends in an ellipsis."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < limit:
        if face.getlength(rest) <= room:
            return [*lines, rest]
        last = len(lines) == limit - 1
        cut = _break(rest, _fitting(rest, face, room - (face.getlength("…") if last else 0)))
        lines.append(rest[:cut].rstrip(" ,;·") + "…" if last else rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _break(text: str, cut: int) -> int:
    """Where a line of at most `cut` characters ends: at a space, or between two letters that stand alone."""
    if not 0 < cut < len(text):
        return max(cut, 1)
    space = text.rfind(" ", 0, cut + 1)
    # Between ideographs a line may end anywhere; and no mark is parted from its letter.
    if space > 0 and unicodedata.east_asian_width(text[cut - 1]) not in _WIDE:
        return space
    while cut > 1 and _belongs(text[cut - 1], text[cut]):
        cut -= 1
    return cut


def _belongs(before: str, mark: str) -> bool:
    is_joined = before in _JOINERS or unicodedata.combining(before) == 9  # a virama
    return is_joined or mark in _JOINERS or unicodedata.category(mark) in ("Mn", "Mc", "Me")


def _fitting(text: str, face: Font, room: float) -> int:
    """How many leading characters fit, by bisection."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if face.getlength(text[:middle]) <= room else (low, middle - 1)
    return low
