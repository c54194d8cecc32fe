"""What stands between a run in this process and paying: its budget, the prices billed, answers that tell nothing."""

from __future__ import annotations

import logging
import threading

from catalogs.errors import SpendError
from catalogs.journal.book import Book
from catalogs.journal.purse import Budget, Purse
from catalogs.journal.spend import Journal
from catalogs.journal.sums import last_prices
from catalogs.money import Micro
from inference.hosted.prices import PriceWatch
from inference.hosted.settings import HostedSettings

SILENT_SUBMITS = 8
"""So many submits in a row that may each have been billed, and whose answers do not say so, are no accident."""


_log = logging.getLogger(__name__)


class Till:
    """The money of one run in this process, shared by its shards.

    Attributes:
        closed: why nothing more is bought here, None while something is.
    """

    def __init__(self, journal: Journal, settings: HostedSettings) -> None:
        campaign = journal.campaign if settings.budget_scope == "campaign" else None
        budget = Budget(settings.max_cost, campaign)
        self.purse = Purse(Book(journal.store), journal.campaign, journal.run_id, budget)
        self._prices = PriceWatch(settings.accept_price)
        if settings.accept_price:  # earlier runs were billed at them
            self._prices.learn(*last_prices(journal.store, journal.campaign))
        self.closed: SpendError | None = None
        self._base_url, self._silent = settings.base_url, 0
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def say_once(self, line: str) -> None:
        """Warn of a wait, of one kind once."""
        kind = line.partition(" for ")[2].partition(",")[0]
        if kind not in self._said:
            self._said.add(kind)
            _log.warning(line)

    def expected(self, high: Micro) -> Micro:
        """The highest price of a picture, in the light of what others were billed at."""
        with self._lock:
            return self._prices.expected(high)

    def was_answered(self, low: Micro, high: Micro, cost: Micro, odd_cost: str = "") -> None:
        """A submit whose task was made, and what it was billed at; a price that is not as published closes the till.

        Args:
            odd_cost: what was said of the price, where that is none.
        """
        with self._lock:
            self._silent = 0
            problem = self._prices.answered(low, high, cost, odd_cost)
            self.closed = self.closed or problem

    def was_not_answered(self, detail: str) -> None:
        """A submit of unknown fate; the last of several in a row closes the till."""
        with self._lock:
            self._silent += 1
            if self._silent >= SILENT_SUBMITS:
                problem = f"the last {self._silent} submits may each have been billed, and nobody said so ({detail})"
                error = SpendError("bfl", "answers", problem, f"find out what answers for {self._base_url}")
                self.closed = self.closed or error
