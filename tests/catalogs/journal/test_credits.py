"""What readings of an account tell of submits of unknown fate, and where they tell nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogs.journal.credits import CREDITS, Reading, note_credits, read_credits, settle
from catalogs.journal.records import Intent
from catalogs.journal.sums import Entry
from catalogs.storage.store import Store

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
INTENT = Intent("spring", "bfl/klein-4b", 7, 14, "r", "", "h", 1, "n")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def entry(begun: float, until: float, paid: int = 0, possible: int = 0) -> Entry:
    return Entry("f", 0, INTENT, at(begun), at(until), paid, possible, "")


def reading(asked: float, written: float, left: int, account: str = "a") -> Reading:
    return Reading(account, at(asked), at(written), left)


UNKNOWN, PAID = entry(2, 3, possible=14), entry(4, 5, paid=10)

# Entries and readings -> what was billed of 14 that may have been, None where it cannot be told; "-" for no answer.
CASES: list[tuple[list[Entry], list[Reading], int | str | None]] = [
    ([UNKNOWN], [reading(0, 1, 100), reading(8, 9, 86)], 14),
    ([UNKNOWN], [reading(0, 1, 100), reading(8, 9, 100)], 0),
    ([UNKNOWN, PAID], [reading(0, 1, 100), reading(8, 9, 76)], 14),
    ([UNKNOWN, PAID], [reading(0, 1, 100), reading(8, 9, 90)], 0),
    ([UNKNOWN, entry(6, 7, possible=14)], [reading(0, 1, 100), reading(8, 9, 86)], 14),
    ([UNKNOWN], [reading(0, 1, 100), reading(8, 9, 50)], None),
    ([UNKNOWN], [reading(0, 1, 100), reading(8, 9, 200)], None),
    ([UNKNOWN], [reading(0, 1, 100), reading(8, 9, 86, "b")], "-"),
    ([UNKNOWN], [reading(0, 1, 100)], "-"),
    ([UNKNOWN], [reading(8, 9, 86)], "-"),
    ([UNKNOWN], [], "-"),
    ([PAID], [reading(0, 1, 100), reading(8, 9, 90)], "-"),
    # Written while one was on its way.
    ([UNKNOWN], [reading(0, 1, 100), reading(2.4, 2.5, 100)], "-"),
    # Asked while one was on its way, which was billed after that, and written when it was settled.
    ([UNKNOWN, PAID], [reading(0, 1, 100), reading(4.5, 5.5, 86)], "-"),
    ([UNKNOWN, PAID], [reading(0, 1, 100), reading(4.5, 5.5, 86), reading(8, 9, 76)], 14),
    ([UNKNOWN, PAID], [reading(0, 1, 100), reading(5.1, 5.5, 76), reading(8, 9, 76)], 14),
]


@pytest.mark.parametrize(("entries", "readings", "billed"), CASES)
def test_what_readings_tell(entries: list[Entry], readings: list[Reading], billed: int | str | None) -> None:
    found = list(settle(entries, readings))
    assert [one.billed for one in found] == ([] if billed == "-" else [billed])
    assert all(one.possible == sum(e.possible for e in entries) for one in found)


def test_a_reading_says_when_it_was_asked(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    note_credits(store, "a", "r", 1_500_000, 2.5)
    store.write(f"{CREDITS}/0.b.json", b'{"account": "b", "left": 1}')  # of before
    store.write(f"{CREDITS}/1.c.json", b"[]")
    first, second = read_credits(store)
    assert (first.account, first.left, second.left) == ("a", 1_500_000, 1_000_000)
    assert first.at - first.asked >= timedelta(seconds=2.5)
    assert second.at - second.asked <= timedelta(seconds=1)
