"""When to look at a task, and how long to stay away after trouble."""

from __future__ import annotations

import random
from collections import deque

BACKOFF_FIRST, BACKOFF_MOST = 1.0, 30.0


class Pace:
    """When to look at a task: seldom before the usual time of its model, closely around it, then ever less.

    Args:
        first: seconds before the first look while nothing is known yet.
    """

    def __init__(self, first: float) -> None:
        self._first = first
        self._took: deque[float] = deque(maxlen=48)

    def took(self, seconds: float) -> None:
        self._took.append(seconds)

    def delay(self, elapsed: float) -> float:
        """Seconds to wait before the next look at a task submitted `elapsed` seconds ago."""
        early = sorted(self._took)[len(self._took) // 10] * 0.96 if self._took else self._first
        if elapsed < early:
            return early - elapsed
        usual = max(early, 0.2)
        step = min(2.0, max(0.05, usual * 0.03))
        return min(5.0, step if elapsed < 2 * usual else elapsed * 0.1) * random.uniform(0.9, 1.1)


def backoff(tries: int, asked: float | None = None) -> float:
    """Seconds before try number `tries` + 1, with jitter; at least what the server asked for."""
    delay = min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(tries, 30)) * random.uniform(0.5, 1.0)
    return max(delay, min(asked or 0.0, BACKOFF_MOST))
