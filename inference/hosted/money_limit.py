"""The money of a run in one process: nothing is submitted that might pass the limit."""

from __future__ import annotations

from catalogs.errors import SpendError


class MoneyLimit:
    """Money of a run in this process.

    Args:
        limit: USD, None for no limit.
        spent: USD that the journal had when it began.
    """

    def __init__(self, limit: float | None, spent: float) -> None:
        self.limit, self.spent, self._reserved = limit, spent, 0.0

    def reserve(self, high: float) -> None:
        """Set the highest price of a picture aside.

        Raises:
            SpendError: it might pass the limit.
        """
        if self.limit is not None and self.spent + self._reserved + high > self.limit + 1e-9:
            problem = f"{self.spent:.2f} USD are spent, and one more picture might pass {self.limit:.2f}"
            raise SpendError("budget", "max_cost", problem, "raise it and run again")
        self._reserved += high

    def settle(self, high: float, cost: float) -> None:
        """Put what a picture cost in the place of what was set aside for it."""
        self._reserved -= high
        self.spent += cost
