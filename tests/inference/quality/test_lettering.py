"""Letters compared, without anything that reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.quality.lettering import edits, plain, read_back


def slow_edits(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        before, row = row, [at]
        for place, its in enumerate(other, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != its)))
    return row[-1]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_edits_are_those_of_the_table(one: str, other: str) -> None:
    assert edits(one, other) == slow_edits(one, other)


@pytest.mark.parametrize(
    ("asked", "lines", "share"),
    [
        (["Summer Sale"], ["SUMMER SALE"], 1),
        (["Summer Sale"], ["summersale", "2 for 1"], 1),
        (["Summer Sale"], ["Sum", "mer Sale"], 1),
        (["Summer Sale"], ["Sale", "in every", "Summer"], 1),  # order of lines is free
        (["Summer Sale"], ["SUMER SALE"], 0.9),
        (["Sale"], ["Sales"], 0.75),  # a letter too much is one
        (["Sale"], ["on Sale now"], 1),
        (["Crème brûlée, 0,5 l"], ["CREME BRULEE", "0.5 L"], 1),
        (["Größe"], ["GROSSE"], 1),
        (["がんばる"], ["かんばる"], 0.75),  # what is an accent elsewhere is another letter here
        (["Nord", "Quay"], ["NORD"], 0),  # the worst counts
        (["Nord"], [], 0),
        (["Nord"], ["!?"], 0),
    ],
)
def test_share_that_is_read_back(asked: list[str], lines: list[str], share: float) -> None:
    assert read_back(asked, lines) == pytest.approx(share)


def test_a_page_of_print_is_compared_in_time() -> None:
    page = [" ".join(f"w{line}{word}" for word in range(30)) for line in range(100)]
    assert read_back(["the quick brown fox jumps over the lazy dog"], page) < 0.5


@given(st.text(max_size=30))
def test_plain_is_plain(text: str) -> None:
    assert plain(plain(text)) == plain(text)
