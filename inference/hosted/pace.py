"""When to look at a task."""

from __future__ import annotations

import random
from collections import deque

ALIKE = 0.03


class Pace:
    """When to look at a task: seldom before the usual time of its model, closely around it, then ever less.

    Args:
        first: seconds before the first look while nothing is known yet.
    """

    def __init__(self, first: float) -> None:
        self._first = first
        self._took: deque[float] = deque(maxlen=48)

    def took(self, seconds: float, before: float | None = None) -> None:
        """A task was done when it was looked at after `seconds`, and was not `before`; None: at the first look."""
        self._took.append(seconds * 0.99 if before is None else (seconds + before) / 2)

    def delay(self, elapsed: float) -> float:
        """Seconds to wait before the next look at a task submitted `elapsed` seconds ago."""
        early = self._early()
        if elapsed < early:
            return early - elapsed
        usual = max(early, 0.2)
        # Most are done just now: half the step at first.
        share = 0.015 if elapsed < 1.05 * usual else 0.03
        step = min(2.0, max(0.03, usual * share))
        return min(5.0, step if elapsed < 2 * usual else elapsed * 0.1) * random.uniform(0.9, 1.1)

    def _early(self) -> float:
        """When a quick task is done; where all take nearly the same, when most are."""
        if not self._took:
            return self._first
        took = sorted(self._took)
        quick, usual = took[len(took) // 10], took[len(took) // 2]
        return usual if usual - quick < ALIKE * usual else quick
