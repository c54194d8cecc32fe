"""Limits against servers that are simulated exactly: what a queue, a batch and a refusal mean for an answer's time."""

from __future__ import annotations

import pytest

from inference.servers.limit import LEAST, MOST, Limit


def asked(limit: Limit, capacity: int, answers: int) -> Limit:
    """Answers of a server that makes `capacity` pictures side by side in a second each, asked as often as may be."""
    limit.took(1.0)  # the first finds nobody before it
    for _ in range(answers):
        limit.took(max(1.0, int(limit.value) / capacity))
    return limit


@pytest.mark.parametrize("capacity", [1, 2, 4, 8])
def test_it_keeps_every_place_of_a_server_busy_and_few_waiting(capacity: int) -> None:
    limit = asked(Limit(), capacity, 3_000)
    assert capacity < limit.value <= min(MOST, 5 * capacity)


def test_it_halves_once_for_refusals_that_come_together() -> None:
    limit = asked(Limit(), 4, 500)
    before = limit.value
    for _ in range(int(before)):
        limit.refused()
    assert limit.value == pytest.approx(before / 2)


def test_it_never_asks_nothing() -> None:
    limit = Limit()
    for _ in range(200):
        limit.refused()
    assert limit.value == LEAST
    assert limit.has_room(0)


def test_it_recovers() -> None:
    limit = Limit()
    for _ in range(200):
        limit.refused()
    assert asked(limit, 4, 300).value > 4
