"""SIGKILL in the midst of rounds of takes that are paid for: each take of each render is asked for and paid once."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogs.journal.sums import read_spent
from inference.remote import backoff
from tasks.stopping import stopping
from tests.bfl_server import KEY
from tests.flows.commands import Command
from tests.flows.projects import Project, hosted
from tests.flows.test_takes import attempts_of
from tests.ledger.running import LedgerApi

PRODUCTS = 8
REJECTED = 5  # of the first takes
ATTEMPTS = 3
PRICE = 14_000
SLOTS = 2
SECONDS = 1.0


@pytest.fixture
def api(ledger_server: LedgerApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerApi]:
    monkeypatch.setenv("BFL_API_KEY", KEY)
    monkeypatch.setattr(backoff, "FIRST", 0.05)
    ledger_server.forget()
    stopping.clear()
    yield ledger_server
    ledger_server.forget()


def project_of(api: LedgerApi, folder: Path, limit: float) -> Project:
    """Pictures of one colour with one other pixel: how far apart these are is drawn from the seed."""
    quality = {
        "review": {"contrast": False, "coherence": False, "banding": False},
        "reject": {"contrast": limit},
        "max_attempts": ATTEMPTS,
        "stop_line": False,
    }
    return hosted(api, folder, PRODUCTS, quality=quality, hosted={"in_flight": SLOTS})


def limit_of(api: LedgerApi, folder: Path) -> float:
    """One that so many first takes miss."""
    project = project_of(api, folder, 200)
    project.render()
    first = sorted(dict(takes[0]["quality"])["contrast"] for takes in attempts_of(project).values())
    api.forget()
    return float(first[REJECTED - 1] + first[REJECTED]) / 2


def in_the_midst(api: LedgerApi, project: Project, before: int, wanted: int) -> bool:
    """Whether one of a round is there, one not asked for, and two are made that the journal knows of, for some time."""
    submits = api.submits()
    of_round = submits[before:]
    under_way = [each for each in of_round if not each["delivered"]]
    return (
        wanted > len(of_round) > len(under_way) == SLOTS
        and all(time.time() - each["time"] < SECONDS / 2 for each in under_way)
        and read_spent(project.store, "spring").tasks == len(submits) * PRICE
    )


def kill(command: Command, api: LedgerApi, before: int, wanted: int) -> int:
    """Start, kill in the midst of the round that begins after so many submits and asks for so many; submits by then."""
    process = command.start()
    until = time.monotonic() + 90
    while not in_the_midst(api, command.project, before, wanted):
        assert process.poll() is None, command.err.read_text()[-3000:]
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return len(api.submits())


def check(project: Project, attempts: dict[str, dict[int, dict[str, Any]]]) -> None:
    """Nothing was made again that passed, and what passed stands."""
    standing = {row["take_of"] or row["render_fingerprint"]: row for row in project.view().values()}
    assert len(standing) == len(attempts) == PRODUCTS
    for render, takes in attempts.items():
        *earlier, last = (row["verdict"] for _, row in sorted(takes.items()))
        assert sorted(takes) == list(range(len(takes)))
        assert set(earlier) <= {"rejected"}
        assert last == "accepted" or len(takes) == ATTEMPTS
        if last == "accepted":
            assert (standing[render]["verdict"], standing[render]["take"]) == ("accepted", max(takes))
        assert project.store.exists(standing[render]["asset_key"])


@pytest.mark.timeout(300)
def test_kills_in_two_rounds_buy_nothing_twice(api: LedgerApi, tmp_path: Path, prefect_server: dict[str, str]) -> None:
    limit = limit_of(api, tmp_path / "probe")
    project = project_of(api, tmp_path / "project", limit)
    command = Command(project, prefect_server)
    api.rules(seconds=SECONDS)

    kill(command, api, before=0, wanted=PRODUCTS)
    bought = kill(command, api, before=PRODUCTS, wanted=REJECTED)
    api.rules(seconds=0.05)
    summary = command.finished(command.start(), [0, 1])
    attempts = attempts_of(project)
    check(project, attempts)
    assert [row["take"] for row in project.view().values() if row["verdict"] == "accepted"].count(0) == 3
    assert any(takes[max(takes)]["verdict"] == "accepted" for takes in attempts.values() if len(takes) > 1)

    submits, made = api.submits(), Counter(row["seed"] for takes in attempts.values() for row in takes.values())
    assert Counter(each["seed"] for each in submits) == made, "each take of each render is asked for"
    assert set(made.values()) == {1}
    assert {(each["outcome"], each["billed"]) for each in submits} == {("made", PRICE)}
    spent = read_spent(project.store, "spring")
    assert (spent.tasks, spent.possible) == (api.billed(), 0)
    assert summary["costs"]["paid"] * 1e6 == pytest.approx((len(submits) - bought) * PRICE)

    assert command.finished(command.start(), [0, 1])["work"]["rendered"] == 0
    assert len(api.submits()) == len(submits)
