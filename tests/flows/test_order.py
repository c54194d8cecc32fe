"""What counts is what the start asked for that began last, whoever ends last and whatever the clocks say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.starts import ordered_at
from catalogs.journal.lease import hold
from catalogs.plans.file import PlanFile
from tasks.outcome import Outcome, newest_outcome, outcome_of
from tasks.prepare import Prepared, prepare
from tests.flows.projects import Project, make, plan_rows


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path, products=2)


def titled(project: Project, title: str, **options: Any) -> Prepared:
    """Plan with another title of the first product."""
    project.products[0]["title"] = title
    project.write()
    return prepare(project.path, options)


def outcome(prepared: Prepared) -> Outcome:
    return outcome_of(prepared.store, PlanFile(prepared.store, prepared.plan_key))


def is_current(project: Project, prepared: Prepared) -> bool:
    wanted = {row["fingerprint"] for row in plan_rows(prepared, lambda row: not row["master"])}
    return {row["fingerprint"] for row in project.view().values() if row["status"] == "delivered"} == wanted


def test_an_old_plan_that_is_rendered_again_counts_again(project: Project) -> None:
    old = titled(project, "First")
    make(old)
    new = titled(project, "Second")
    make(new)
    assert (outcome(old).superseded, outcome(old).complete) == (4, False)
    taken = prepare(project.path, {}, plan_file=old.store.uri(old.plan_key))
    assert taken.summary["work"] == {"commit": 4, "none": 4}
    assert sum(report.rendered for report in make(taken)) == 0
    assert is_current(project, old)
    assert outcome(taken).complete
    assert newest_outcome(project.path)["run_id"] == taken.run_id
    assert newest_outcome(project.path)["complete"]
    assert not outcome(new).complete


@pytest.mark.parametrize("ends_last", ["first", "second"])
def test_of_two_runs_at_once_the_later_start_wins(project: Project, ends_last: str) -> None:
    make(titled(project, "Before"))
    first = titled(project, "First")
    second = titled(project, "Second", force=True)
    for prepared in (second, first) if ends_last == "first" else (first, second):
        make(prepared)
    assert is_current(project, second)
    assert outcome(second).complete
    assert (outcome(first).superseded, outcome(first).complete) == (4, False)


def test_what_is_unchanged_beside_a_live_run_is_said_again(project: Project) -> None:
    """Otherwise the first run's late commit would stand above what was asked for after it."""
    make(titled(project, "Kept"))
    first = titled(project, "First")
    with hold(project.store, "spring", "proof", first.run_id):
        second = titled(project, "Kept", force=True)
        assert second.summary["actions"] == {"unchanged": 8}
        assert second.has_work
        assert sum(report.rendered for report in make(second)) == 0
        make(first)
    assert is_current(project, second)
    assert not titled(project, "Kept", force=True).has_work  # nobody is live any more


def test_a_shard_says_again_what_an_older_start_delivered_meanwhile(project: Project) -> None:
    first = titled(project, "Wanted")
    other = titled(project, "Other")
    third = titled(project, "Wanted")
    make(first)
    make(other)  # stands above the first
    reports = make(third)  # planned before either had delivered
    assert sum(report.rendered for report in reports) == 0
    assert is_current(project, third)
    assert outcome(third).complete


def test_a_shard_leaves_alone_what_a_later_start_asked_for(project: Project) -> None:
    first = titled(project, "First")
    second = titled(project, "Second")
    make(first)
    make(second)
    make(first)  # tried again, as Prefect does
    assert is_current(project, second)


class Clock(datetime):
    """The wall clock of a machine that is wrong."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    for module in ("catalogs.assets.starts", "catalogs.assets.commits", "tasks.prepare"):
        monkeypatch.setattr(f"{module}.datetime", Clock)

    def set_to(ahead: timedelta) -> None:
        monkeypatch.setattr(Clock, "ahead", ahead)

    return set_to


def test_a_run_with_a_clock_ahead_owns_nothing(project: Project, set_clock: Callable[[timedelta], None]) -> None:
    set_clock(timedelta(days=400))
    ahead = titled(project, "From next year")
    make(ahead)
    set_clock(timedelta())
    now = titled(project, "Of today")
    assert ordered_at(now.run_id) > ordered_at(ahead.run_id)
    assert newest_outcome(project.path)["run_id"] == now.run_id
    make(now)
    assert is_current(project, now)
    assert newest_outcome(project.path)["complete"]
    set_clock(-timedelta(days=400))
    behind = titled(project, "Of last year")
    make(behind)
    assert is_current(project, behind)
    assert newest_outcome(project.path)["run_id"] == behind.run_id


@pytest.mark.parametrize(("minutes", "said"), [(6, "ahead of"), (-6, "behind"), (4, ""), (-4, "")])
def test_a_clock_that_differs_from_the_stores_is_told(
    project: Project, set_clock: Callable[[timedelta], None], minutes: int, said: str
) -> None:
    set_clock(timedelta(minutes=minutes))
    warnings = prepare(project.path, {}).summary["warnings"]
    told = [line for line in warnings if line.startswith("the clock of this machine is 6 minutes")]
    assert len(told) == bool(said)
    assert all(said in line for line in told)


def test_what_a_run_commits_stands_at_its_start_and_not_at_its_end(project: Project) -> None:
    prepared = titled(project, "Mug")
    make(prepared)
    rows = project.view().values()
    assert {row["ordered_at"] for row in rows} == {ordered_at(prepared.run_id)}
    assert all(row["created_at"] > row["ordered_at"] for row in rows)
    assert all(row["created_at"] <= datetime.now(UTC) for row in rows)
