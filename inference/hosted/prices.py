"""What the API bills, beside what its published prices led to expect."""

from __future__ import annotations

from catalogs.errors import SpendError
from catalogs.money import Micro, shown

ODD_ANSWERS = 10
FAR_OFF = 2
# The answers are floats of credits: the last digit of a millionth is not theirs.
_DUST = 2
_GO_ON = "run again with --accept-price if that is right"


class PriceWatch:
    """Prices of one run in this process.

    Args:
        accept: go on whatever is billed.
    """

    def __init__(self, accept: bool) -> None:
        self._accept, self._odd = accept, 0
        self._billed, self._expected = 1, 1

    def expected(self, high: Micro) -> Micro:
        """The highest price of a picture, in the light of what others of this run were billed at."""
        return max(high, -(-high * self._billed // self._expected))

    def learn(self, billed: Micro, published: Micro) -> None:
        """Take note of a picture that was billed at more than its published highest price."""
        if published and billed * self._expected > published * self._billed:
            self._billed, self._expected = billed, published

    def answered(self, low: Micro, high: Micro, cost: Micro, odd: str = "") -> SpendError | None:
        """Take note of what a picture was billed at; why nothing more is to be bought, or None.

        Args:
            odd: what the API said of its price, where that is none; `cost` is what counts instead.
        """
        self.learn(cost, high)
        if odd and not self._accept:
            problem = f"{odd} is no price of a picture, which counts as {shown(cost)} USD"
            return SpendError("bfl", "price", problem, _GO_ON)
        if low - _DUST <= cost <= high + _DUST:
            return None
        self._odd += 1
        if self._accept or (self._odd < ODD_ANSWERS and cost < FAR_OFF * high):
            return None
        published = shown(low) if low == high else f"{shown(low)} to {shown(high)}"
        times = f", and {self._odd} pictures were not billed at their published price" if self._odd > 1 else ""
        problem = f"{shown(cost)} USD were billed for a picture of {published}{times}"
        return SpendError("bfl", "price", problem, _GO_ON)
