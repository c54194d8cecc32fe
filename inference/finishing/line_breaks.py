"""Where lines of a text may end, in any script, and a text in as few and as even lines as fit."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

WidthOf = Callable[[str], float]

# Kinsoku shori, the rules of Japanese and Chinese: no line begins with these, and none ends with those.
NO_START = frozenset(
    "、。，．・：；？！‥…ー〜～％‰℃゛゜ヽヾゝゞ々〻）］｝〉》」』】〕〗〙’”»›"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"
    ",.:;?!%)]}°′″¢"
)
NO_END = frozenset("（［｛〈《「『【〔〖〘‘“«‹￥＄￡＃($£¥€#[{")
_UNITS_APART = frozenset("…‥―")  # stand in pairs
_SOFT_HYPHEN, _ZERO_WIDTH = "\u00ad", "\u200b"
_JOINERS = frozenset("\u2060\ufeff\u200d\u200c")
_HYPHENS = frozenset("-‐–—/")
_HANGUL = "\uac00", "\ud7a3"
_TRIES = 8


class Break(NamedTuple):
    """Where a line may end.

    Attributes:
        end: of the line.
        start: of the next one.
        mark: that is written at the end of the line.
    """

    end: int
    start: int
    mark: str = ""


def breaks(text: str) -> list[Break]:
    """Every place where a line of a paragraph may end, in order, its own end last."""
    found = []
    for i in range(1, len(text)):
        before, mark = text[i - 1], text[i]
        if mark == " ":
            if before != " ":
                found.append(Break(i, i + 1 + _spaces(text, i + 1)))
        elif mark in (_SOFT_HYPHEN, _ZERO_WIDTH):
            found.append(Break(i, i + 1, "-" if mark == _SOFT_HYPHEN else ""))
        elif before not in (" ", _SOFT_HYPHEN, _ZERO_WIDTH) and _may_part(text, i):
            found.append(Break(i, i))
    return [*found, Break(len(text), len(text))]


def _spaces(text: str, start: int) -> int:
    return len(text) - start - len(text[start:].lstrip(" "))


def _may_part(text: str, i: int) -> bool:
    """Whether a line may end between two characters that no space parts."""
    before, mark = text[i - 1], text[i]
    if before in _JOINERS or mark in _JOINERS or unicodedata.category(mark) in ("Mn", "Mc", "Me"):
        return False
    if mark in NO_START or before in NO_END or (before == mark and mark in _UNITS_APART):
        return False
    if before in _HYPHENS:
        return i > 1 and text[i - 2].isalpha() and mark.isalpha()
    if before.isdigit() and _stands_alone(mark):  # a number and its unit
        return False
    return _stands_alone(before) or _stands_alone(mark)


def _stands_alone(mark: str) -> bool:
    """Whether it is an ideograph, kana or another wide sign; Korean is parted at its spaces."""
    return unicodedata.east_asian_width(mark) in "WF" and not _HANGUL[0] <= mark <= _HANGUL[1]


def wrapped(text: str, room: float, limit: int, width_of: WidthOf) -> list[str] | None:
    """At most `limit` lines of at most `room` pixels, None where there are none such; line breaks of the text stay.

    Lines of a paragraph are as even as can be without another line.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        found = breaks(paragraph)
        greedy = _greedy(paragraph, found, room, limit - len(lines), width_of)
        if greedy is None:
            return None
        lines += _evened(paragraph, found, greedy, room, width_of)
    return lines


def _greedy(text: str, found: list[Break], room: float, limit: int, width_of: WidthOf) -> list[str] | None:
    lines: list[str] = []
    start = first = 0
    while start < len(text) or not lines:
        if len(lines) >= limit:
            return None
        fits = bisect_right(
            range(first, len(found)), False, key=lambda i: width_of(_line(text, start, found[i])) > room
        )  # how many of the next breaks are not too far
        if not fits:
            return None
        chosen = found[first + fits - 1]
        lines.append(_line(text, start, chosen))
        start, first = chosen.start, first + fits
    return lines


def _line(text: str, start: int, end: Break) -> str:
    line = text[start : end.end].replace(_SOFT_HYPHEN, "").replace(_ZERO_WIDTH, "")
    return line.strip(" ") + end.mark


def _evened(text: str, found: list[Break], lines: list[str], room: float, width_of: WidthOf) -> list[str]:
    """The same count of lines in the least room, by bisection."""
    if len(lines) < 2:
        return lines
    least = width_of(text) / len(lines)
    best, low, high = lines, least * 0.9, room
    for _ in range(_TRIES):
        middle = (low + high) / 2
        tried = _greedy(text, found, middle, len(lines), width_of)
        if tried is None:
            low = middle
        else:
            best, high = tried, middle
    return best
