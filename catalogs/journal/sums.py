"""What the spend journal comes to: sums for a limit, from one listing, and what each attempt cost, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from catalogs.journal.records import COLLECTABLE, SPEND, Ending, Intent, Name, Names, attempts, read_intent
from catalogs.money import Micro
from catalogs.storage.store import Store

READERS = 16
LAST_PRICES = 16
_NEVER = datetime.fromtimestamp(0, UTC)
# The submit of a process that was killed has arrived by then, or never will.
_ON_ITS_WAY = timedelta(seconds=5)
FREE = (Ending.VOID,)


@dataclass
class Spent:
    """Money of an output over all its runs.

    Attributes:
        tasks: of the tasks the API has taken, whatever came of them.
        possible: of submits that nobody knows the fate of, at their highest price.
        claimed: render fingerprints that a next run collects or refuses, and does not pay for again.
        tasked: those of them that it collects.
        uncollected: those of the campaign whose pictures may still be had, and were perhaps not stored.
    """

    tasks: Micro = 0
    possible: Micro = 0
    claimed: set[str] = field(default_factory=set)
    tasked: set[str] = field(default_factory=set)
    uncollected: set[str] = field(default_factory=set)

    @property
    def total(self) -> Micro:
        return self.tasks + self.possible


def read_spent(store: Store, campaign: str, everybody: bool = False) -> Spent:
    """Sum the journal of an output, from one listing and the few intents left open.

    Args:
        campaign: whose money is summed, and whose pictures are still to be collected. What is claimed is so by
            whomever.
        everybody: the money of all campaigns is summed.

    Raises:
        SpendError: an intent is of a newer format, or none: what was spent cannot be known.
    """
    found = attempts(store.list(SPEND))
    tasks, possible = _by_campaign(store, found.values())
    mine = {*tasks, *possible} if everybody else {campaign}
    spent = Spent(sum(tasks[name] for name in mine), sum(possible[name] for name in mine))
    latest: dict[str, int] = {}
    for fingerprint, number in found:
        latest[fingerprint] = max(number, latest.get(fingerprint, -1))
    for fingerprint, number in latest.items():
        _claim(spent, fingerprint, found[fingerprint, number], campaign)
    return spent


def _claim(spent: Spent, fingerprint: str, names: Names, campaign: str) -> None:
    ending = names.ending
    if ending in (None, Ending.UNANSWERED) or (ending == Ending.EXPIRED and names.task):
        spent.claimed.add(fingerprint)
    if names.task and ending is None:
        spent.tasked.add(fingerprint)
    if names.task and ending in COLLECTABLE and campaign == names.task.campaign:
        spent.uncollected.add(fingerprint)


def spent_by_campaign(store: Store) -> dict[str, Micro]:
    """Money of an output by campaign, submits of unknown fate at their highest price.

    Raises:
        SpendError: as `read_spent`.
    """
    tasks, possible = _by_campaign(store, attempts(store.list(SPEND)).values())
    return dict(tasks + possible)


def _by_campaign(store: Store, found: Iterable[Names]) -> tuple[Counter[str], Counter[str]]:
    """Money of tasks, and of submits of unknown fate at their highest price."""
    tasks, possible, open_intents = Counter[str](), Counter[str](), []
    for names in found:
        if names.task:
            tasks[names.task.campaign] += names.task.cost
        elif names.intent and names.ending not in FREE:
            open_intents.append(names.intent)
    for intent in _read_all(store, open_intents):
        possible[intent.campaign] += intent.cost_high
    return tasks, possible


def last_prices(store: Store, campaign: str) -> tuple[Micro, Micro]:
    """Of the last tasks of a campaign the one that cost most beside its published highest price: both; 0 without one.

    Raises:
        SpendError: as `read_spent`.
    """
    found = [names for names in attempts(store.list(SPEND)).values() if names.task and names.task.campaign == campaign]
    newest = sorted(found, key=lambda names: names.task.modified if names.task else _NEVER)[-LAST_PRICES:]
    begun = [(names.intent, names.task.cost) for names in newest if names.intent and names.task]
    intents = _read_all(store, [name for name, _ in begun])
    prices = [(cost, i.published_high) for (_, cost), i in zip(begun, intents, strict=True) if i.published_high]
    return max(prices, key=lambda price: price[0] / price[1], default=(0, 0))


def tasked_renders(store: Store) -> frozenset[str]:
    """Render fingerprints that any task of an output was paid for, whatever came of it."""
    return frozenset(fingerprint for (fingerprint, _), names in attempts(store.list(SPEND)).items() if names.task)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one attempt cost.

    Attributes:
        at: when it was begun; it was billed, if at all, by `until`. The store's clock.
        paid: of a task the API has taken.
        possible: the most that a submit of unknown fate may have cost.
        ending: "" where a picture came, or may come yet.
    """

    fingerprint: str
    number: int
    intent: Intent
    at: datetime
    until: datetime
    paid: Micro
    possible: Micro
    ending: str


def entries(store: Store, since: datetime | None = None) -> Iterator[Entry]:
    """What every attempt of an output cost, in the order they were begun.

    Args:
        since: only those begun after it, by the store's clock.

    Raises:
        SpendError: a record is newer, or none.
    """
    found = [
        (begun, names)
        for names in attempts(store.list(SPEND)).values()
        if (begun := names.intent or names.task) and (since is None or begun.modified >= since)
    ]
    found.sort(key=lambda item: (item[0].modified, item[0].key))
    intents = _read_all(store, [name for name, _ in found])
    for (name, names), intent in zip(found, intents, strict=True):
        is_free = names.task is not None or names.ending in FREE
        yield Entry(
            fingerprint=name.fingerprint,
            number=name.number,
            intent=intent,
            at=name.modified,
            until=_billed_by(name, names),
            paid=names.task.cost if names.task else 0,
            possible=0 if is_free else intent.cost_high,
            ending=names.ending or "",
        )


def _billed_by(begun: Name, names: Names) -> datetime:
    known = names.task or next((end for end in names.ends if end.rest in (Ending.VOID, Ending.UNANSWERED)), None)
    return known.modified if known else begun.modified + _ON_ITS_WAY


def _read_all(store: Store, names: Sequence[Name]) -> Iterator[Intent]:
    with ThreadPoolExecutor(READERS, thread_name_prefix="spend") as pool:
        yield from pool.map(lambda name: _intent(store, name), names)


def _intent(store: Store, name: Name) -> Intent:
    """An intent, or what the key of a task says of one that is gone: money that was paid counts all the same."""
    if name.kind == "intent":
        return read_intent(store, name)
    return Intent(name.campaign, "", 0, name.cost, run_id="", at="", host="", pid=0, nonce="")
