"""That the law can be broken: journals as the code writes them, against ledgers that say another thing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from catalogs.journal.records import Ending, PaidTask, Purpose
from catalogs.journal.spend import Journal
from catalogs.money import Micro
from catalogs.storage.store import Store
from tests.ledger.customer import PRICE, Customer
from tests.ledger.law import Asked, Line, billed_lines, breaches, check_law, journal_of, odd_sums

MUG = hashlib.sha256(b"a mug").hexdigest()
ASKED = Asked("flux-2-klein-4b", MUG, 7, 256, 128)


@dataclass
class Forger:
    """Writes a journal and a ledger that fit, until he is told otherwise."""

    journal: Journal
    lines: list[Line] = field(default_factory=list)

    def bought(self, task: str = "t1", number: int = 0, seed: int = 7, ending: Ending | None = None) -> None:
        """Paid for and fetched."""
        self.begun(number, seed)
        self.journal.submitted("ab" * 32, number, PaidTask(task, "https://api.bfl.ai/x", PRICE))
        if ending:
            self.end(ending, number)
        self.line(task, seed=seed, fetched=ending is None)

    def lost(self, number: int = 0, ending: Ending | None = Ending.UNANSWERED) -> None:
        """Billed, and its answer never read."""
        self.begun(number)
        if ending:
            self.end(ending, number)
        self.line(f"lost{number}", answered=False)

    def begun(self, number: int = 0, seed: int = 7) -> None:
        purpose = Purpose("acme", "hero", 256, 128, MUG)
        assert self.journal.begin("ab" * 32, number, "bfl/klein-4b", seed, PRICE, "", purpose)

    def end(self, ending: Ending, number: int = 0) -> None:
        self.journal.end("ab" * 32, number, ending)

    def line(self, task: str, seed: int = 7, answered: bool = True, fetched: bool = False) -> None:
        name, asked = f"submit {len(self.lines) + 1}", ASKED._replace(seed=seed)
        self.lines.append(Line(name, task, asked, PRICE, answered, fetched))

    def but(self, changes: dict[str, Any]) -> None:
        """The last line is another."""
        self.lines[-1] = replace(self.lines[-1], **changes)

    def without(self) -> None:
        """The last line never was."""
        self.lines.pop()

    def walk(self, steps: Steps) -> None:
        for name, *arguments in steps:
            getattr(self, name)(*arguments)

    def breaches(self, killed: bool = False, as_published: bool = True, limit: Micro | None = None) -> list[str]:
        records = journal_of(self.journal.store)
        return [*breaches(self.lines, records, killed, as_published, limit), *odd_sums(self.journal.store)]


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    return Forger(Journal(Store.at(str(tmp_path)), "spring", "run1"))


# Steps of a forger: the name of a method, and its arguments.
Steps = list[tuple[Any, ...]]
AGAIN = [ending for ending in Ending if ending not in (Ending.VOID, Ending.UNANSWERED)]
GOOD: dict[str, Steps] = {
    "nothing": [],
    "one picture": [("bought",)],
    "one not fetched": [("bought",), ("but", {"fetched": False})],
    "a lost answer": [("lost",)],
    "an intent whose submit never arrived": [("begun",)],
    "a lost one bought again": [("lost",), ("bought", "t1", 1)],
    "an intent given up, never billed": [("begun",), ("end", Ending.RESUBMITTED)],
    "another seed": [("bought", "t1", 0, 7, Ending.CONTENT_MODERATED), ("bought", "t2", 1, 8)],
    "void, then bought": [("begun",), ("end", Ending.VOID), ("bought", "t1", 1)],
    **{f"again after {ending}": [("bought", "t1", 0, 7, ending), ("bought", "t2", 1)] for ending in AGAIN},
}


@pytest.mark.parametrize("name", GOOD)
def test_what_keeps_the_law(forger: Forger, name: str) -> None:
    forger.walk(GOOD[name])
    assert forger.breaches() == []
    assert forger.breaches(limit=2 * PRICE) == []


BAD: dict[str, tuple[Steps, list[str]]] = {
    "no record": ([("line", "t9", 7, False)], ["billed and not written"]),
    "answered, and no record": ([("line", "t9")], ["answered, and its task", "billed and not written"]),
    "said to be void": ([("lost", 0, Ending.VOID)], ["billed and not written"]),
    "answered, and of unknown fate": ([("lost",), ("but", {"answered": True})], ["answered, and its task"]),
    "two lost, one written": ([("lost",), ("line", "x", 7, False)], ["billed and not written"]),
    "lost for more": ([("lost",), ("but", {"billed": PRICE + 1})], ["billed for more"]),
    "of another seed": ([("begun",), ("line", "x", 8, False)], ["billed and not written"]),
    "of another size": ([("bought",), ("but", {"asked": ASKED._replace(width=64)})], ["not what was asked"]),
    "too dear": ([("bought",), ("but", {"billed": PRICE + 1})], ["not at its price"]),
    "too cheap": ([("bought",), ("but", {"billed": PRICE - 1})], ["not at its price"]),
    "paid, never billed": ([("bought",), ("without",)], ["paid and not billed"]),
    "one task twice": (
        [("bought", "t1", 0, 7, Ending.ERROR), ("bought", "t1", 1), ("without",)],
        ["one task, written twice"],
    ),
    "delivered of a lost one": ([("lost",), ("but", {"fetched": True})], ["delivered, and no record"]),
    "bought twice": ([("bought",), ("bought", "t2", 1)], ["billed twice"]),
    "bought, then lost": ([("bought",), ("lost", 1)], ["billed twice"]),
    "lost with no end, then bought": ([("lost", 0, None), ("bought", "t2", 1)], ["billed twice"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_breaks_the_law_is_told_with_its_lines(forger: Forger, name: str) -> None:
    steps, said = BAD[name]
    forger.walk(steps)
    found = forger.breaches()
    assert len(found) == len(said), found
    for each, start in zip(found, said, strict=True):
        assert each.startswith(start)
        assert "submit " in each or "spend/abab" in each


def test_a_kill_may_lose_an_answer_and_nothing_else(forger: Forger) -> None:
    forger.begun()
    forger.line("t9")
    assert len(forger.breaches()) == 1
    assert forger.breaches(killed=True) == []


def test_a_risen_price_may_bill_a_lost_one_for_more(forger: Forger) -> None:
    forger.lost()
    forger.but({"billed": 3 * PRICE})
    assert forger.breaches(as_published=False) == []
    assert forger.breaches(as_published=False, limit=3 * PRICE) == []
    assert forger.breaches(as_published=False, limit=3 * PRICE - 1) == ["over the limit: 0.042 USD billed of 0.041999"]


def test_the_law_reads_the_server_itself(customer: Customer, tmp_path: Path) -> None:
    forger = Forger(Journal(Store.at(str(tmp_path)), "spring", "run1"))
    check_law(customer.api, forger.journal.store)
    task = customer.task()
    with pytest.raises(AssertionError, match=r"billed and not written: submit 1.*of unknown fate: nothing"):
        check_law(customer.api, forger.journal.store)
    check_law(customer.api, forger.journal.store, since=1)
    forger.begun()
    forger.journal.submitted("ab" * 32, 0, PaidTask(task["id"], task["polling_url"], PRICE))
    check_law(customer.api, forger.journal.store)
    customer.get(customer.link(task))
    (line,) = billed_lines(customer.api)
    assert (line.fetched, line.asked) == (True, ASKED)
    check_law(customer.api, forger.journal.store, limit=PRICE)
    with pytest.raises(AssertionError, match="over the limit"):
        check_law(customer.api, forger.journal.store, limit=PRICE - 1)
    customer.api.rules(p_bill_then_cut=1.0)
    with pytest.raises(httpx.HTTPError, match=r"closed|reset|disconnect"):
        customer.submit(seed=8)
    with pytest.raises(AssertionError, match="billed and not written: submit 2, answered cut"):
        check_law(customer.api, forger.journal.store)
