"""The test that stops a shot: its error rates, and a record read in whatever order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.lines import BAD, EXAMPLES, GOOD, Lines, resume, resumed, sprt
from catalogs.assets.orders import Order
from catalogs.assets.starts import new_start, ordered_at
from catalogs.columns import Row
from catalogs.storage.store import Store

MOMENT = datetime(2026, 11, 23, tzinfo=UTC)


def stops_after(share: float, pictures: int, chance: random.Random) -> int | None:
    """How many pictures of a line it takes to stop it, None where so many do not."""
    drawn = [("p", chance.random() < share) for _ in range(pictures)]
    whole = sprt(drawn)
    if whole is None:
        return None
    low, high = 1, pictures
    while low < high:  # a line that is stopped stays stopped
        middle = (low + high) // 2
        low, high = (low, middle) if sprt(drawn[:middle]) else (middle + 1, high)
    return low


@pytest.mark.parametrize(
    ("share", "pictures", "stopped", "mean"),
    [(0.1, 1000, (0, 0), None), (GOOD, 1000, (0, 0.08), None), (BAD, 400, (0.99, 1), 45), (0.9, 60, (0.99, 1), 15)],
)
def test_error_rates(share: float, pictures: int, stopped: tuple[float, float], mean: float | None) -> None:
    chance, lines = random.Random(7), 300
    found = [after for _ in range(lines) if (after := stops_after(share, pictures, chance))]
    assert stopped[0] <= len(found) / lines <= stopped[1]
    if mean:
        assert 9 < sum(found) / len(found) < mean


def test_it_says_why() -> None:
    stop = sprt([("good", False), *[(f"p{number}", True) for number in range(12)]])
    assert stop
    assert (stop.rejected, stop.judged, len(stop.examples)) == (11, 12, EXAMPLES)
    assert stop.examples[0] == "p10"
    assert "checks reject 11 of the last 12 pictures, for example of p10, p9" in str(stop)


def row(number: int, verdict: str | None, line: str | None = "a1") -> Row:
    told: dict[str, Any] = {"line": line, "verdict": verdict, "look": f"p{number}"}
    return Row(**told, render_fingerprint=f"{number:064x}")  # type: ignore[typeddict-item]


def order(place: int) -> Order:
    moment = MOMENT + timedelta(seconds=place)
    return (moment, f"run{place}", 3, moment, "a", f"catalog/run{place}/x.parquet")


def lines_of(rows: list[tuple[int, Row]]) -> Lines:
    lines = Lines()
    for place, one in rows:
        lines.add(one, order(place))
    return lines


def test_each_picture_counts_once_in_the_order_of_history() -> None:
    rows = [(number, row(number, "rejected" if number % 4 else "accepted")) for number in range(40)]
    again = [(place + 100, one) for place, one in rows]  # said again for another channel, or by another start
    others = [(place, row(number, "accepted", "b2")) for place, (number, _) in enumerate(rows)]
    unjudged = [(place, row(100 + place, None)) for place in range(40)]
    told = str(lines_of(rows).stop_of("a1", None))
    for seed in range(5):
        shuffled = rows + again + others + unjudged
        random.Random(seed).shuffle(shuffled)
        lines = lines_of(shuffled)
        assert str(lines.stop_of("a1", None)) == told
        assert lines.stop_of("b2", None) is None
        assert lines.stop_of("none", None) is None


def test_pictures_that_no_row_tells_of_yet_count_once() -> None:
    lines = lines_of([(number, row(number, "rejected")) for number in range(8)])
    own = {f"{number:064x}": (f"p{number}", True) for number in range(9)}
    assert lines.stop_of("a1", None) is None
    assert lines.stop_of("a1", None, own) is None, "eight of the nine were told of before"
    assert lines.stop_of("a1", None, own | {f"{9:064x}": ("p9", True)})


def test_what_was_judged_before_a_line_was_resumed_counts_no_more(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    assert resumed(store, "spring") == {}
    start = new_start(store, MOMENT + timedelta(days=900))
    resume(store, "spring", ["hero"], start)
    resume(store, "springs", ["hero", "scene"], new_start(store, MOMENT))
    store.write("lines/spring/hero/notes.txt", b"somebody's own")
    assert resumed(store, "spring") == {"hero": ordered_at(start)}
    lines = lines_of([(number, row(number, "rejected")) for number in range(20)])
    assert lines.stop_of("a1", MOMENT + timedelta(seconds=5))
    assert lines.stop_of("a1", ordered_at(start)) is None
