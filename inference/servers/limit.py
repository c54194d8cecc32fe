"""How many requests a server takes at once, found out by asking: what TCP does with packets."""

from __future__ import annotations

FIRST, LEAST, MOST = 2.0, 1.0, 64.0
SLOWER = 4.0
"""Times the quickest answer ever: so long an answer has waited behind others."""


class Limit:
    """Additive increase with every answer, multiplicative decrease on a refusal or a long wait.

    Jacobson, Congestion Avoidance and Control (1988), with delay as a sign of its own, as in TCP Vegas.
    """

    def __init__(self) -> None:
        self.value = FIRST
        self._quickest = float("inf")
        self._on_their_way = 0

    def has_room(self, in_flight: int) -> bool:
        return in_flight < int(self.value)

    def took(self, seconds: float) -> None:
        """An answer came after so many seconds, for a request of one unit of work."""
        self._quickest = min(self._quickest, seconds)
        if seconds > SLOWER * self._quickest:
            self._decrease(0.8)
        else:
            self._on_their_way -= 1
            self.value = min(MOST, self.value + 1 / self.value)

    def refused(self) -> None:
        """The server said that it has too much to do."""
        self._decrease(0.5)

    def _decrease(self, share: float) -> None:
        # What was on its way then says the same again: one decrease for all of it.
        self._on_their_way -= 1
        if self._on_their_way < 0:
            self._on_their_way = int(self.value) - 1
            self.value = max(LEAST, self.value * share)
