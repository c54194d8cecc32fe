from __future__ import annotations

import pytest

from tests.benchmarks.hosted import SECONDS, SLOTS, measure


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_slots_are_kept_busy() -> None:
    overall, _ = measure(240, unanswered=4)
    plain, _ = measure(240, unanswered=SLOTS)
    assert overall >= 0.95 * plain
    assert overall <= SLOTS / SECONDS  # or tasks were not what they say
