"""How long to stay away from a server that is in trouble."""

from __future__ import annotations

import random

FIRST, MOST = 1.0, 30.0


def backoff(tries: int, asked: float | None = None) -> float:
    """Seconds before try number `tries` + 1, with jitter; at least what the server asked for."""
    delay = min(MOST, FIRST * 2.0 ** min(tries, 30)) * random.uniform(0.5, 1.0)
    return max(delay, min(asked or 0.0, MOST))
