"""The law of money: what a server billed is what the journal says was paid, and what it says may have been billed.

1. Every submit that was billed is in the journal, by its task and with exactly its price, or as one of unknown fate.
2. Nothing stands there as paid that was not billed.
3. No picture was delivered of a task that no record names.
4. No picture was billed twice unless the journal says why.
5. Where there is a limit, and prices are as published, what was billed keeps to it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from catalogs.journal.records import SPEND, Ending, PaidTask, attempts, read_task
from catalogs.journal.sums import Entry, entries, read_spent, spent_by_campaign
from catalogs.journal.view import Costs
from catalogs.money import Micro, shown
from catalogs.storage.store import Store
from inference.models.table import MODELS
from tests.bfl_server import HostedApi
from tests.ledger.running import LedgerApi

WHY_AGAIN = frozenset(Ending) - {Ending.VOID}
"""Endings of an attempt, billed or possibly so, that another may follow."""


class Asked(NamedTuple):
    """What tells one picture from another for both sides; `prompt` is a sha256."""

    path: str
    prompt: str
    seed: object
    width: object
    height: object


@dataclass(frozen=True)
class Line:
    """A submit that was billed, as the server has it.

    Attributes:
        name: how it is called where it breaks the law.
        answered: whether the answer that names the task was sent, all of it, to a client that was there.
        fetched: whether anybody has all bytes of its picture.
    """

    name: str
    task: str
    asked: Asked
    billed: Micro
    answered: bool = True
    fetched: bool = False

    def __str__(self) -> str:
        return f"{self.name} (task {self.task}, {shown(self.billed)} USD, {self.asked.path} seed {self.asked.seed})"


@dataclass(frozen=True)
class Record:
    """An attempt, as the journal has it."""

    root: str
    entry: Entry
    task: PaidTask | None

    @property
    def asked(self) -> Asked:
        intent = self.entry.intent
        purpose = intent.purpose
        path = MODELS[intent.model].repository
        return Asked(path, purpose.prompt_sha256, intent.seed, purpose.width, purpose.height)

    def __str__(self) -> str:
        entry = self.entry
        money = f"paid {shown(entry.paid)}, possibly {shown(entry.possible)} USD, {entry.ending or 'no end'}"
        task = f", task {self.task.id}" if self.task else ""
        return f"{SPEND}/{entry.fingerprint[:12]}/{entry.number:04} (seed {entry.intent.seed}, {money}{task})"


def check_law(
    api: LedgerApi | HostedApi,
    *stores: Store,
    since: int = 0,
    killed: bool = False,
    as_published: bool = True,
    limit: Micro | None = None,
) -> None:
    """Hold the journals of all outputs that spent from an account against it.

    Args:
        since: so many lines of the server's are of an earlier time.
        killed: processes were killed, and may have died of an answer that was on its way.
        as_published: what was billed for one picture is at most what the journal expected.
        limit: of everything billed.

    Raises:
        AssertionError: with every line and record at fault.
    """
    lines, records = billed_lines(api)[since:], [record for store in stores for record in journal_of(store)]
    found = [*breaches(lines, records, killed, as_published, limit), *(each for s in stores for each in odd_sums(s))]
    if found:
        table = "\n".join(["billed:", *map(str, lines), "journal:", *map(str, records)])
        raise AssertionError("the law of money is broken:\n- " + "\n- ".join(found) + f"\n{table}")


def breaches(
    lines: Sequence[Line], records: Sequence[Record], killed: bool, as_published: bool, limit: Micro | None
) -> list[str]:
    """What breaks the law, one thing an item."""
    return [
        *_billed_and_not_written(lines, records, killed, as_published),
        *_written_and_not_billed(lines, records),
        *_delivered_to_nobody(lines, records),
        *_billed_twice(records),
        *_over(lines, limit),
    ]


def _billed_and_not_written(
    lines: Sequence[Line], records: Sequence[Record], killed: bool, as_published: bool
) -> Iterator[str]:
    tasks = {record.task.id: record for record in records if record.task}
    unknown: dict[Asked, list[Line]] = defaultdict(list)
    possible: dict[Asked, list[Record]] = defaultdict(list)
    for record in records:
        if record.entry.possible:
            possible[record.asked].append(record)
    for line in lines:
        if record := tasks.get(line.task):
            if record.entry.paid != line.billed:
                yield f"not at its price: {line} is {record}"
            if record.asked != line.asked:
                yield f"not what was asked: {line} is {record}"
        else:
            unknown[line.asked].append(line)
            if line.answered and not killed:
                yield f"answered, and its task not written down: {line}"
    for asked, mine in unknown.items():
        covers = possible.get(asked, [])
        if len(covers) < len(mine):
            yield f"billed and not written: {_all(mine)}; of unknown fate: {_all(covers) or 'nothing'}"
        elif as_published and sum(line.billed for line in mine) > sum(each.entry.possible for each in covers):
            yield f"billed for more than may have been: {_all(mine)}; of unknown fate: {_all(covers)}"


def _written_and_not_billed(lines: Sequence[Line], records: Sequence[Record]) -> Iterator[str]:
    known, seen = {line.task for line in lines}, dict[str, Record]()
    for record in records:
        if record.task is None:
            continue
        if record.task.id not in known:
            yield f"paid and not billed: {record}"
        if other := seen.get(record.task.id):
            yield f"one task, written twice: {other} and {record}"
        seen[record.task.id] = record


def _delivered_to_nobody(lines: Sequence[Line], records: Sequence[Record]) -> Iterator[str]:
    named = {record.task.id for record in records if record.task}
    return (f"delivered, and no record names it: {line}" for line in lines if line.fetched and line.task not in named)


def _billed_twice(records: Sequence[Record]) -> Iterator[str]:
    pictures: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
    for record in records:
        if record.entry.paid or record.entry.possible:
            pictures[record.root, record.entry.fingerprint, record.entry.intent.seed].append(record)
    for each in pictures.values():
        *earlier, last = sorted(each, key=lambda record: record.entry.number)
        for record in earlier:
            if record.entry.ending not in WHY_AGAIN:
                yield f"billed twice, nobody says why: {record} and {last}"


def _over(lines: Sequence[Line], limit: Micro | None) -> Iterator[str]:
    billed = sum(line.billed for line in lines)
    if limit is not None and billed > limit:
        yield f"over the limit: {shown(billed)} USD billed of {shown(limit)}"


def odd_sums(store: Store) -> Iterator[str]:
    """Sums of a journal that say another thing than its entries."""
    found = list(entries(store))
    paid, possible = sum(entry.paid for entry in found), sum(entry.possible for entry in found)
    spent = read_spent(store, "", everybody=True)
    costs = Costs.of(found, ["run_id", "brand_id", "shot", "model", "day"])
    for name, sums in {
        "read_spent": (spent.tasks, spent.possible),
        "Costs": (costs.paid, costs.possible),
        "spent_by_campaign": (sum(spent_by_campaign(store).values()) - possible, possible),
        **{f"Costs by {column}": (sum(sums.values()) - possible, possible) for column, sums in costs.by.items()},
    }.items():
        if sums != (paid, possible):
            yield f"{store.root}: {name} is {sums}, the entries come to {(paid, possible)}"


def journal_of(store: Store) -> list[Record]:
    """Every attempt of an output, in the order they were begun."""
    found = attempts(store.list(SPEND))

    def task(entry: Entry) -> PaidTask | None:
        name = found[entry.fingerprint, entry.number].task
        return read_task(store, name) if name else None

    return [Record(store.root, entry, task(entry)) for entry in entries(store)]


def billed_lines(api: LedgerApi | HostedApi) -> list[Line]:
    """What an account billed, in order."""
    if isinstance(api, LedgerApi):
        return [_line(each) for each in api.submits() if each["billed"]]
    return [_line_of_task(number, task) for number, task in enumerate(api.tasks(), 1)]


def _line(submit: dict[str, Any]) -> Line:
    return Line(
        name=f"submit {submit['n']}, answered {submit['answered']}",
        task=submit["task"],
        asked=Asked(submit["path"], submit["prompt"], submit["seed"], submit["width"], submit["height"]),
        billed=submit["billed"],
        answered=submit["answered"] == 200,
        fetched=bool(submit["delivered"]),
    )


def _line_of_task(number: int, task: dict[str, Any]) -> Line:
    body = task["body"]
    prompt = hashlib.sha256(body["prompt"].encode()).hexdigest()
    return Line(
        name=f"task {number}",
        task=task["id"],
        asked=Asked(task["path"], prompt, body["seed"], body["width"], body["height"]),
        billed=round(task["cost"] * 10_000),
        answered=not task.get("lost"),
        fetched=bool(task.get("fetched")),
    )


def _all(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
