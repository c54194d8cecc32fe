"""Which take stands, by the verdicts of a record, in whatever order it is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from catalogs.assets.orders import Order
from catalogs.assets.takes import Takes
from catalogs.columns import Row

MOMENT = datetime(2026, 11, 23, tzinfo=UTC)


def render(take: int) -> str:
    return f"{take:064x}"


def order(place: int) -> Order:
    moment = MOMENT + timedelta(seconds=place)
    return (moment, f"run{place}", 3, moment, "a", f"catalog/run{place}/x.parquet")


def row(take: int, verdict: str | None, score: float | None = 0.4, **more: Any) -> Row:
    told: dict[str, Any] = {
        "shot": "hero",
        "take": take,
        "take_of": render(0) if take else None,
        "render_fingerprint": render(take),
        "verdict": verdict,
        "score": score,
        "judged_by": None,
        "status": "delivered",
        "final": True,
    }
    return Row(**(told | more))  # type: ignore[typeddict-item]


def takes_of(rows: list[tuple[int, Row]]) -> Takes:
    takes = Takes()
    for place, one in rows:
        takes.add(one, order(place))
    return takes


REJECTED, GOOD, REVIEW = "rejected", "accepted", "needs_review"
PERSON = {"judged_by": "person"}
FAILED = {"status": "failed", "final": True}


@pytest.mark.parametrize(
    ("rows", "attempts", "stands"),
    [
        ([], 3, 0),
        ([row(0, GOOD)], 3, 0),
        ([row(0, REVIEW)], 3, 0),
        ([row(0, REJECTED)], 3, 1),
        ([row(0, REJECTED)], 1, 0),
        ([row(0, REJECTED), row(1, REJECTED)], 3, 2),
        ([row(0, REJECTED), row(1, REVIEW)], 3, 1),
        ([row(0, REJECTED), row(1, REVIEW)], 1, 1),
        ([row(0, REJECTED), row(1, REVIEW), row(2, GOOD)], 3, 2),
        # All rejected: the highest score, of equal ones the earliest.
        ([row(0, REJECTED, 0.2), row(1, REJECTED, 0.3), row(2, REJECTED, 0.1)], 3, 1),
        ([row(0, REJECTED, 0.2), row(1, REJECTED, 0.2), row(2, REJECTED, 0.1)], 3, 0),
        ([row(0, REJECTED, None), row(1, REJECTED, None)], 2, 0),
        # One more attempt is allowed now.
        ([row(0, REJECTED, 0.2), row(1, REJECTED, 0.3)], 3, 2),
        # A take that failed for good is used up; one that may be tried again is tried again.
        ([row(0, REJECTED), row(1, None, **FAILED)], 3, 2),
        ([row(0, REJECTED), row(1, None, **FAILED), row(2, None, **FAILED)], 3, 0),
        ([row(0, REJECTED), row(1, None, status="failed", final=False)], 3, 1),
        ([row(0, None, **FAILED)], 3, 0),
        # What a person says counts over checks; a person's rejection allows as many attempts more.
        ([row(0, REJECTED, **PERSON)], 1, 1),
        ([row(0, GOOD), row(1, GOOD, 0.9)], 1, 1),
        ([row(0, REJECTED, **PERSON), row(1, REJECTED)], 2, 2),
        ([row(0, REJECTED, **PERSON), row(1, REJECTED, 0.1), row(2, REJECTED, 0.2)], 2, 2),
        ([row(0, REJECTED, **PERSON), row(1, GOOD)], 1, 1),
        ([row(0, GOOD, **PERSON)], 3, 0),
        ([row(0, GOOD, 0.2, **PERSON), row(1, GOOD, 0.9)], 3, 0),
        # A file that could not be finished has a picture, and that was judged.
        ([row(0, REJECTED, status="failed", final=False)], 3, 1),
    ],
)
def test_the_take_that_stands(rows: list[Row], attempts: int, stands: int) -> None:
    for shuffled in permutations(list(enumerate(rows))):
        assert takes_of(list(shuffled)).standing(render(0), attempts) == stands


def test_the_last_word_on_a_take_counts() -> None:
    rows = [(1, row(0, REJECTED)), (2, row(0, GOOD))]
    for shuffled in permutations(rows):
        takes = takes_of(list(shuffled))
        assert takes.standing(render(0), 3) == 0
        assert takes.expected("hero", 3) == 1, "one picture was judged, and passes"


def test_takes_to_be_expected() -> None:
    assert Takes().expected("hero", 3) == 1
    half = takes_of([(0, row(0, REJECTED))])
    assert half.expected("hero", 1) == 1
    assert half.expected("hero", 3) == pytest.approx(1 + 0.5 + 0.25)
    assert half.expected("scene", 3) == 1, "of another shot nothing is known"
    bad = takes_of([(place, row(place, REJECTED)) for place in range(99)])
    assert bad.expected("hero", 3) == pytest.approx(3, rel=0.02)
