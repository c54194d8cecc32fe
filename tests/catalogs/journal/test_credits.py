"""What readings of an account tell of submits of unknown fate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogs.journal.credits import Reading, Settled, note_credits, read_credits, settle
from catalogs.journal.records import Intent
from catalogs.journal.sums import Entry
from catalogs.storage.store import Store

PRICE = 14_000


def at(second: float) -> datetime:
    return datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=second)


def read(since: float, until: float, left: int, account: str = "a") -> Reading:
    return Reading(account, at(since), at(until), left)


def tried(begun: float, over: float, paid: int = 0, possible: int = PRICE) -> Entry:
    intent = Intent("spring", "bfl/klein-4b", 1, PRICE, "run", "", "", 0, "")
    return Entry("ab" * 32, 0, intent, at(begun), at(over), paid, possible, "")


LOST, PAID = tried(3, 4), tried(3, 4, PRICE, 0)


@pytest.mark.parametrize(
    ("entries", "readings", "told"),
    [
        ([LOST], [read(1, 2, 100_000), read(5, 6, 86_000)], [(PRICE, PRICE)]),
        ([LOST], [read(1, 2, 100_000), read(5, 6, 100_000)], [(PRICE, 0)]),
        ([LOST, PAID], [read(1, 2, 100_000), read(5, 6, 72_000)], [(PRICE, PRICE)]),
        ([LOST, PAID], [read(1, 2, 100_000), read(5, 6, 86_000)], [(PRICE, 0)]),
        ([PAID], [read(1, 2, 100_000), read(5, 6, 86_000)], []),
        ([], [read(1, 2, 100_000), read(5, 6, 86_000)], []),
        ([LOST], [read(1, 2, 100_000)], []),
        ([LOST], [], []),
        # others spent, or it was filled up
        ([LOST], [read(1, 2, 100_000), read(5, 6, 85_999)], [(PRICE, None)]),
        ([LOST], [read(1, 2, 100_000), read(5, 6, 100_001)], [(PRICE, None)]),
        # another account altogether
        ([LOST], [read(1, 2, 100_000), read(5, 6, 86_000, "b")], []),
        # asked before an attempt of another run and written down after it: which of the two came first?
        ([LOST], [read(1, 5, 100_000), read(5, 6, 86_000)], []),
        ([LOST], [read(1, 2, 100_000), read(2.5, 5, 100_000), read(6, 7, 86_000)], [(PRICE, PRICE)]),
        ([LOST], [read(1, 2, 100_000), read(3.5, 3.6, 86_000), read(6, 7, 86_000)], [(PRICE, PRICE)]),
        (
            [LOST, tried(8, 9)],
            [read(1, 2, 50_000), read(5, 6, 36_000), read(10, 11, 36_000)],
            [(PRICE, PRICE), (PRICE, 0)],
        ),
    ],
)
def test_what_was_billed_between_two_readings(
    entries: list[Entry], readings: list[Reading], told: list[tuple[int, int | None]]
) -> None:
    found: list[Settled] = list(settle(entries, readings))
    assert [(gap.possible, gap.billed) for gap in found] == told


def test_readings_are_read_back_in_order(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    for left in (30_000, 16_000):
        note_credits(store, "a", "run", datetime.now(UTC) - timedelta(seconds=1), left)
    store.write("budget/credits/20261101T000000.000000Z.a.json", b"{}")
    found = read_credits(store)
    assert [reading.left for reading in found] == [30_000, 16_000]
    assert all(reading.since < reading.at for reading in found)
