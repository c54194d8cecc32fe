"""The book of a budget: what is spent of it and what runs at work have set aside, agreed on by all of them.

    budget/book/00000042.json     the state after so many changes, created exclusively: who comes second looks again

A process holds money before it submits, writes down in the book what of it was spent, and gives back the rest. The
journal stays the truth: where nobody is at work the book begins with its sum, and what a dead holder had spent is
read there too, as each intent names its hold. Ends of holds are moments of the store's clock.

Exact wherever `Store.create` is exclusive. On OpenStack Swift two changes that overlap for long may both be believed:
each may then pass the limit by the hold it took, which is a shard's pictures at most.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from catalogs.errors import NewerFormat, SpendError, StorageError
from catalogs.journal.lease import boot_name, is_dead, moment_of
from catalogs.journal.sums import entries, spent_by_campaign
from catalogs.money import Micro
from catalogs.storage.clock import StoreClock
from catalogs.storage.store import Store

FOLDER = "budget"
BOOK = f"{FOLDER}/book"
BOOK_FORMAT = 1
HOLD_SECONDS = 600.0
_KEY = re.compile(rf"{BOOK}/(\d{{8}})\.json")
_TRIES = 200
# Pages that nobody reads any more; a change that was begun before they went is not believed.
_KEPT, _KEPT_FOR = 16, timedelta(hours=1)
# What a writer's clock and the store's stamps may differ by, where intents of a hold are looked for.
_MARGIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that a process has set aside.

    Attributes:
        amount: all that it took, what is spent of it by now included.
        since: when it was taken; `until` when it ends unless it is renewed. The store's clock.
    """

    id: str
    campaign: str
    run_id: str
    host: str
    boot: str
    pid: int
    amount: Micro
    since: datetime
    until: datetime

    def is_over(self, now: datetime) -> bool:
        """Ended, or its process is known to be dead."""
        return self.until <= now or is_dead(self.boot, self.pid)

    def __str__(self) -> str:
        return f"run {self.run_id} on {self.host} (process {self.pid})"


@dataclass(frozen=True)
class Page:
    """A state of the book.

    Attributes:
        spent: by campaign, what no live hold has still to write down.
        holds: by id.
    """

    spent: Mapping[str, Micro] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)

    def spent_by(self, campaign: str | None) -> Micro:
        """By one campaign, or by all."""
        return sum(amount for name, amount in self.spent.items() if campaign in (None, name))

    def holds_of(self, campaign: str | None) -> list[Hold]:
        return [hold for hold in self.holds.values() if campaign in (None, hold.campaign)]

    def held_by(self, campaign: str | None) -> Micro:
        return sum(hold.amount for hold in self.holds_of(campaign))

    def adding(self, campaign: str, amount: Micro) -> Page:
        return replace(self, spent={**self.spent, campaign: self.spent.get(campaign, 0) + amount})

    def holding(self, hold: Hold) -> Page:
        return replace(self, holds={**self.holds, hold.id: hold})

    def without(self, hold_id: str) -> Page:
        return replace(self, holds={key: hold for key, hold in self.holds.items() if key != hold_id})


class Book:
    """The book of one output; safe to share between threads and processes."""

    def __init__(self, store: Store) -> None:
        self._store, self.clock = store, StoreClock(store, FOLDER)
        self._is_checked = False

    def change(self, make: Callable[[Page, datetime], Page]) -> Page:
        """Turn the book's page; `make` is called again where another process was quicker.

        Args:
            make: the next page from the last one, whose holds all live, and the time; may raise.

        Raises:
            SpendError: the book is of a newer format, or was damaged.
            StorageError: the store failed, or others were quicker for too long.
        """
        for _ in range(_TRIES):
            number, page = _last(self._store)
            now = self.clock.now()
            made = make(self._settled(page, now), now)
            written = self._store.commit(_key(number + 1), _encode(made)) != "exists-other"
            if written and self._stands(number):
                self._is_checked = True
                self._forget(number, now)
                return made
        raise StorageError(f"{self._store.uri(BOOK)}: others wrote in it all the time")

    def new_hold(self, campaign: str, run_id: str, amount: Micro, now: datetime) -> Hold:
        return Hold(
            id=secrets.token_hex(8),
            campaign=campaign,
            run_id=run_id,
            host=socket.gethostname(),
            boot=boot_name(),
            pid=os.getpid(),
            amount=amount,
            since=now,
            until=now + timedelta(seconds=HOLD_SECONDS),
        )

    def _settled(self, page: Page | None, now: datetime) -> Page:
        """A page without dead holds, what they spent written down.

        The first that this process turns begins with the journal's sum where nobody else is at work.
        """
        over = [hold for hold in page.holds.values() if hold.is_over(now)] if page else []
        if page is None or (len(over) == len(page.holds) and (over or not self._is_checked)):
            return Page(spent_by_campaign(self._store))
        for hold in over:
            page = page.without(hold.id).adding(hold.campaign, self._spent_of(hold))
        return page

    def _spent_of(self, hold: Hold) -> Micro:
        since = hold.since - _MARGIN
        mine = (entry for entry in entries(self._store, since) if entry.intent.hold == hold.id)
        return sum(entry.paid + entry.possible for entry in mine)

    def _stands(self, number: int) -> bool:
        """Whether a page was written on the last one: those before it were not thrown away meanwhile."""
        return not number or self._store.exists(_key(number))

    def _forget(self, number: int, now: datetime) -> None:
        if number % _KEPT:
            return
        old = [
            key
            for key, entry in self._store.list(BOOK).items()
            if (match := _KEY.fullmatch(key)) and int(match[1]) < number - _KEPT and entry.modified < now - _KEPT_FOR
        ]
        self._store.delete(old)


def live_holds(store: Store) -> list[Hold]:
    """What runs at work have set aside, oldest first; turns no page, and so goes by this machine's clock.

    Raises:
        SpendError: as `Book.change`.
    """
    _, page = _last(store)
    now = datetime.now(UTC)
    return sorted((h for h in page.holds.values() if not h.is_over(now)), key=lambda h: h.since) if page else []


def _last(store: Store) -> tuple[int, Page | None]:
    numbers = [int(match[1]) for match in map(_KEY.fullmatch, store.list(BOOK)) if match]
    if not numbers:
        return 0, None
    return max(numbers), _decode(store, _key(max(numbers)))


def _key(number: int) -> str:
    return f"{BOOK}/{number:08}.json"


def _encode(page: Page) -> bytes:
    holds = [{**asdict(h), "since": h.since.isoformat(), "until": h.until.isoformat()} for h in page.holds.values()]
    # The nonce makes "the same bytes are there" mean that they are ours and only the answer was lost.
    content = {
        "format": BOOK_FORMAT,
        "spent_micro_usd": dict(page.spent),
        "holds": holds,
        "nonce": secrets.token_hex(8),
    }
    return json.dumps(content).encode()


def _decode(store: Store, key: str) -> Page:
    try:
        found: dict[str, Any] = json.loads(store.read(key))
        if (version := found["format"]) > BOOK_FORMAT:
            problem = f"{NewerFormat('budget', version, BOOK_FORMAT)}: what is left cannot be known"
            raise SpendError(store.uri(key), "", problem, "upgrade packshot")
        holds = [_hold(one) for one in found["holds"]]
        spent = {str(name): int(amount) for name, amount in found["spent_micro_usd"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        problem = "is no page of a budget's book that can be read"
        fix = f"delete {store.uri(BOOK)} while no run is at work: the journal tells what was spent"
        raise SpendError(store.uri(key), "", problem, fix) from None
    return Page(spent, {hold.id: hold for hold in holds})


def _hold(said: Mapping[str, Any]) -> Hold:
    return Hold(**{**said, "since": moment_of(said["since"]), "until": moment_of(said["until"])})
