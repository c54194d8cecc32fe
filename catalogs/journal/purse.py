"""The money of a run in one process: nothing is submitted that its budget does not hold, whoever else spends of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from catalogs.errors import SpendError, StorageError
from catalogs.journal.book import HOLD_SECONDS, Book, Hold, Page
from catalogs.money import Micro, shown


@dataclass(frozen=True)
class Budget:
    """A limit and what counts towards it.

    Attributes:
        limit: None without one.
        campaign: whose money alone counts; None for that of all campaigns of the output.
    """

    limit: Micro | None = None
    campaign: str | None = None


class Short(SpendError):
    """The budget does not hold another picture.

    Attributes:
        others: live runs that have set money aside, some of which they may give back.
    """

    others: tuple[str, ...] = ()


@dataclass
class Share:
    """A hold of this process and how far it is used.

    Attributes:
        left: what may still be reserved of it.
        pending: what is reserved, and not settled yet.
        spent: what is settled.
    """

    hold: Hold
    left: Micro = 0
    pending: Micro = 0
    spent: Micro = 0

    @property
    def used(self) -> Micro:
        return self.pending + self.spent


class Purse:
    """The money of one run in this process, shared by its threads.

    Args:
        campaign: whose run this is.
    """

    def __init__(self, book: Book, campaign: str, run_id: str, budget: Budget) -> None:
        self._book, self._campaign, self._run_id, self._budget = book, campaign, run_id, budget
        self._lock = threading.Lock()
        self._share: Share | None = None
        self._users = 0

    def enter(self) -> None:
        """Somebody begins to spend from it."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Somebody has ended to; the last one gives back what is left."""
        with self._lock:
            self._users -= 1
            share = self._share
            if self._users or share is None or share.pending:
                return
            self._share = None
            try:
                self._book.change(lambda page, _: _given_back(page, share))
            except (StorageError, SpendError):
                return  # it ends by itself, and the journal tells what was spent of it

    def reserve(self, high: Micro, more: Micro = 0) -> Share:
        """Set the highest price of a picture aside; returns what to settle it with.

        Args:
            more: what all pictures that are still to come here may cost; as much of it is held as there is.

        Raises:
            Short: the budget does not hold it.
            StorageError: the book could not be written.
        """
        with self._lock:
            share = self._share
            if share is None or share.left < high or self._is_old(share.hold):
                share = self._share = self._topped_up(share, high, more)
            share.left -= high
            share.pending += high
            return share

    def settle(self, share: Share, high: Micro, cost: Micro) -> None:
        """Put what a picture cost in the place of what was set aside for it."""
        with self._lock:
            share.pending -= high
            share.spent += cost
            share.left += high - cost

    def _is_old(self, hold: Hold) -> bool:
        return self._book.clock.now() > hold.until - timedelta(seconds=HOLD_SECONDS / 2)

    def _topped_up(self, share: Share | None, high: Micro, more: Micro) -> Share:
        """A share that has room for one more picture: the same with more money, or a new one."""
        taken: list[tuple[Hold, bool]] = []

        def take(page: Page, now: datetime) -> Page:
            # One that the book does not know any more was settled from the journal while this process slept.
            mine = share if share and share.hold.id in page.holds else None
            others = page.without(mine.hold.id) if mine else page
            used = mine.used if mine else 0
            hold = self._book.new_hold(self._campaign, self._run_id, used + self._room(others, used, high, more), now)
            if mine:  # intents name it: what a dead holder spent is all that was spent since it was first taken
                hold = replace(hold, id=mine.hold.id, since=mine.hold.since)
            taken[:] = [(hold, mine is not None)]
            return others.holding(hold)

        self._book.change(take)
        hold, is_mine = taken[0]
        # The same object: what is pending will be settled with it.
        wanted = share if share and is_mine else Share(hold)
        wanted.hold, wanted.left = hold, hold.amount - wanted.used
        return wanted

    def _room(self, page: Page, used: Micro, high: Micro, more: Micro) -> Micro:
        """What to hold beside what is used: as much as is wanted, and there."""
        wanted, limit = max(high, more), self._budget.limit
        if limit is None:
            return wanted
        spent, held = page.spent_by(self._budget.campaign) + used, page.held_by(self._budget.campaign)
        room = limit - spent - held
        if room < high:
            raise _short(spent, held, high, limit, page.holds_of(self._budget.campaign))
        return min(room, wanted)


def _given_back(page: Page, share: Share) -> Page:
    hold = share.hold
    return page.without(hold.id).adding(hold.campaign, share.spent) if hold.id in page.holds else page


def _short(spent: Micro, held: Micro, high: Micro, limit: Micro, holds: list[Hold]) -> Short:
    aside = f", {shown(held)} set aside by {', '.join(map(str, holds))}" if holds else ""
    problem = f"{shown(spent)} USD are spent{aside}, and one more picture may cost {shown(high)}: over {shown(limit)}"
    error = Short("budget", "max_cost", problem, "raise it and run again")
    error.others = tuple(map(str, holds))
    return error
