"""What must hold of a shop after every step, beside the law: nothing bought again without a word."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from catalogs.journal.book import BOOK, Book
from catalogs.journal.credits import read_credits, settle
from catalogs.journal.records import SPEND, Ending, attempts, read_record
from catalogs.journal.sums import entries, spent_by_campaign
from catalogs.money import Micro, shown
from inference.hosted.settings import HostedSettings
from tests.ledger.law import Line, Record, billed_lines, check_law, journal_of
from tests.ledger.shop import Run, Shop

MODERATED = (Ending.REQUEST_MODERATED, Ending.CONTENT_MODERATED)


def audit(shop: Shop) -> None:
    """Raises AssertionError: something is wrong with the money of a shop."""
    check_law(shop.api, shop.store, killed=shop.killed, as_published=shop.as_published)
    found = [*_bought_again(shop), *_settled_wrong(shop), *_held_for_nothing(shop), *_given_up(shop)]
    assert not found, "\n".join(found)


def _bought_again(shop: Shop) -> Iterator[str]:
    """Attempts that follow another one though nobody had said a word for it."""
    ended_by = _ended_by(shop)
    pictures: dict[str, list[Record]] = defaultdict(list)
    for record in journal_of(shop.store):
        pictures[record.entry.fingerprint].append(record)
    for each in pictures.values():
        each.sort(key=lambda record: record.entry.number)
        errors = 0
        for last, record in pairwise(each):
            errors += last.task is not None and last.entry.ending == Ending.ERROR
            run = shop.runs[record.entry.intent.run_id]
            seen_now = ended_by.get((last.entry.fingerprint, last.entry.number)) == run.run_id
            if not _may_follow(last, each[0].entry.intent.seed, run, errors, seen_now):
                yield f"{record} was begun by {run}, {errors} errors, after {last}"


def _may_follow(last: Record, seed: int, run: Run, errors: int, seen_now: bool) -> bool:
    settings = HostedSettings("", **{"in_flight": 1, **run.settings})
    ending = last.entry.ending
    if ending in ("", Ending.EXPIRED, Ending.GONE):
        return bool(ending) and settings.resubmit
    if ending == Ending.UNANSWERED:
        return settings.resubmit or settings.resend_unknown
    if ending == Ending.ERROR:
        return not seen_now and (settings.retry_failed or errors < settings.tries)
    if ending in MODERATED:
        reseeded = ending == Ending.CONTENT_MODERATED and settings.retry_moderated and last.entry.intent.seed == seed
        return reseeded or (settings.retry_failed and not seen_now)
    return True


def _ended_by(shop: Shop) -> dict[tuple[str, int], str]:
    found = attempts(shop.store.list(SPEND)).items()
    return {place: read_record(shop.store, names.end)["run_id"] for place, names in found if names.end}


def _settled_wrong(shop: Shop) -> Iterator[str]:
    """What the readings of the account say was billed of submits of unknown fate, and was not."""
    known = {record.task.id for record in journal_of(shop.store) if record.task}
    unknown = [(when, line) for when, line in _timed(shop) if line.task not in known]
    for gap in settle(entries(shop.store), read_credits(shop.store)):
        since, until = gap.since.timestamp() + shop.clock, gap.until.timestamp() + shop.clock
        if gap.billed is None or any(since < moment < until for moment in shop.tampered):
            continue
        billed = sum(line.billed for when, line in unknown if since < when < until)
        if billed != gap.billed:
            yield f"settled as {shown(gap.billed)} of {shown(gap.possible)} USD, and {shown(billed)} were billed: {gap}"


def _held_for_nothing(shop: Shop) -> Iterator[str]:
    """Money that a run of this process has not given back at its end."""
    for key in sorted(shop.store.list(BOOK))[-1:]:
        holds = json.loads(shop.store.read(key))["holds"]
        yield from (f"still held: {hold}" for hold in holds if hold["pid"] == os.getpid())


def last_of_each(shop: Shop) -> list[Record]:
    """The latest attempt at each picture."""
    return list({record.entry.fingerprint: record for record in journal_of(shop.store)}.values())


def _given_up(shop: Shop) -> Iterator[str]:
    """Tasks that count as gone though no time has passed and no link has said that it is over."""
    if shop.clock or shop.links_end:
        return
    for record in journal_of(shop.store):
        if record.entry.ending in (Ending.EXPIRED, Ending.GONE):
            yield f"given up within its time: {record}"


def _timed(shop: Shop) -> Iterator[tuple[float, Line]]:
    times = [submit["time"] for submit in shop.api.submits() if submit["billed"]]
    return zip(times, billed_lines(shop.api), strict=True)


def check_book(shop: Shop) -> None:
    """While nobody is at work, the book says what the journal does."""
    page = Book(shop.store).change(lambda page, now: page)
    assert not page.holds, page.holds
    spent = {name: amount for name, amount in page.spent.items() if amount}
    assert spent == spent_by_campaign(shop.store), page


@dataclass
class Limits:
    """What runs may bill, as it stands before they start."""

    shop: Shop
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        self.spent, self.billed = spent_by_campaign(self.shop.store), self.shop.api.billed()

    def check(self) -> None:
        """Raises AssertionError: more was billed than was left. Of prices as published."""
        new, left = self.shop.api.billed() - self.billed, list(map(self._left, self.runs))
        # Those of one campaign share what is left; each of them may go as far as its own limit.
        most = max(left) if len({run.campaign for run in self.runs}) == 1 else sum(left)
        assert new <= most, f"{shown(new)} USD billed by {self.runs}, {shown(int(most))} were left"

    def _left(self, run: Run) -> float:
        limit: Micro | None = run.settings.get("max_cost")
        if limit is None:
            return float("inf")
        everybody = run.settings.get("budget_scope") == "output"
        spent = sum(amount for name, amount in self.spent.items() if everybody or name == run.campaign)
        return max(0, limit - spent)
