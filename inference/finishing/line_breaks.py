"""Where lines of a text may end, in any script, and a text in as few and as even lines as fit."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
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
_TRIES = 12
_A_PARTED_WORD = 0.4  # as bad as lines that differ by so much of the longest


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
    """At most `limit` lines of at most `room` pixels, None where there are none such; line breaks of the text stay."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        greedy = _greedy(paragraph, breaks(paragraph), room, limit - len(lines), width_of)
        if greedy is None:
            return None
        lines += greedy
    return lines


def evened(text: str, room: float, width_of: WidthOf) -> list[str]:
    """The lines that `wrapped` makes without a limit, as even as can be without another line."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        found = breaks(paragraph)
        greedy = _greedy(paragraph, found, room, len(paragraph) + 1, width_of)
        assert greedy is not None, "it was wrapped so before"
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
    """The same count of lines in less room, where they are most even and part the fewest words."""
    if len(lines) < 2:
        return lines
    best, least = lines, _uneven(lines, width_of)
    shortest = 0.9 * width_of(text) / len(lines)
    for step in range(_TRIES):
        narrower = shortest + (room - shortest) * step / _TRIES
        tried = _greedy(text, found, narrower, len(lines), width_of) if narrower < room else None
        if tried is not None and len(tried) == len(lines) and (cost := _uneven(tried, width_of)) < least:
            best, least = tried, cost
    for step in range(1, _TRIES + 1) if parted_words(best) else ():
        whole = _of_whole_words(text, found, shortest + (room - shortest) * step / _TRIES, len(lines), width_of)
        if whole is not None and (cost := _uneven(whole, width_of)) < least:
            best, least = whole, cost
    return best


def _of_whole_words(text: str, found: list[Break], room: float, count: int, width_of: WidthOf) -> list[str] | None:
    """So many lines that part the fewest words, and of such the most even; None where it takes more."""
    starts = [0, *(each.start for each in found)]
    reached: dict[int, tuple[float, float, list[str]]] = {0: (0.0, 0.0, [])}
    for _ in range(count):
        further: dict[int, tuple[float, float, list[str]]] = {}
        for first, (parted, uneven, lines) in reached.items():
            for end in range(first, len(found)):
                line = _line(text, starts[first], found[end])
                if (width := width_of(line)) > room:
                    break
                cost = parted + parted_words([*lines[-1:], line]), uneven + (room - width) ** 2
                if end + 1 not in further or cost < further[end + 1][:2]:
                    further[end + 1] = (*cost, [*lines, line])
        reached = further
    return reached[len(found)][2] if len(found) in reached else None


def _uneven(lines: list[str], width_of: WidthOf) -> float:
    """How much lines differ, as a share of the longest, and how many words they part."""
    widths = [width_of(line) for line in lines]
    return (max(widths) - min(widths)) / max(*widths, 1e-6) + _A_PARTED_WORD * parted_words(lines)


def parted_words(lines: list[str]) -> float:
    """About how many words of Japanese or Chinese lines are parted; 0 for other scripts."""
    return sum(_parts_a_word(line[-1:], below[:1]) for line, below in pairwise(lines))


def _parts_a_word(before: str, mark: str) -> float:
    """How likely a Japanese or Chinese line ends inside of a word, from 0 to 1: a guess by the kinds of its signs."""
    one, other = _kind(before), _kind(mark)
    if other == "hiragana":  # the ending of a word, or its particle
        return 1.0 if one in ("hiragana", "katakana", "kanji") else 0.0
    return {"katakana": 1.0, "kanji": 0.5}.get(other, 0.0) if one == other else 0.0


def _kind(mark: str) -> str:
    for name, first, last in (("hiragana", "ぁ", "ゖ"), ("katakana", "ァ", "ヿ"), ("kanji", "一", "\u9fff")):
        if first <= mark <= last and mark != "・":
            return name
    return ""
