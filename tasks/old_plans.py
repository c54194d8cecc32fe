"""Plans of earlier starts: which stay whatever their age, and what of the others can go.

    runs/<run_id>/plan.parquet, rejects.parquet, report/      what goes
    runs/<run_id>/summary.json, retiring.json                 what stays
    runs/<run_id>/signature.json                              written first: what tells the plan's campaign from others

The plan goes last: while it is there, what is left of its start is found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from catalogs.assets.starts import ordered_at
from catalogs.assets.superseded import Owner
from catalogs.errors import CampaignError
from catalogs.identity import run_key
from catalogs.inputs.reject_file import REJECTS_NAME
from catalogs.plans.file import PLAN_NAME, PlanFile, PlanHeader
from catalogs.storage.store import Entry, Store
from tasks.takeover import READERS, note_signature


@dataclass(frozen=True)
class Start:
    """A start whose plan is there and can be read.

    Attributes:
        moment: when it began, by its name or by the store, whichever is later.
        beside: keys of its rejects and its report.
        bytes: of these and of the plan.
    """

    run_id: str
    header: PlanHeader
    moment: datetime
    beside: tuple[str, ...]
    bytes: int

    @property
    def owner(self) -> Owner:
        return self.header.campaign, self.header.kind

    @property
    def plan(self) -> str:
        return run_key(self.run_id, PLAN_NAME)

    @property
    def has_report(self) -> bool:
        return any("/report/" in key for key in self.beside)


def planned_starts(store: Store) -> list[Start]:
    """The starts of an output that have a plan, the newest first; one that nobody can read is passed over."""
    files: dict[str, dict[str, Entry]] = {}
    for key, entry in store.list("runs").items():
        files.setdefault(key.split("/")[1], {})[key] = entry
    planned = [run_id for run_id in sorted(files, reverse=True) if run_key(run_id, PLAN_NAME) in files[run_id]]
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda run_id: _start(store, run_id, files[run_id]), planned)
        return [start for start in found if start is not None]


def _start(store: Store, run_id: str, files: dict[str, Entry]) -> Start | None:
    plan = run_key(run_id, PLAN_NAME)
    try:
        header = PlanFile(store, plan).header
        moment = max(ordered_at(run_id), files[plan].modified)
    except (CampaignError, ValueError):  # of another version, damaged, or no start of ours
        return None
    report = run_key(run_id, "report/")
    beside = tuple(key for key in files if key.startswith(report) or key == run_key(run_id, REJECTS_NAME))
    return Start(run_id, header, moment, beside, sum(files[key].size for key in (*beside, plan)))


def newest_starts(starts: Iterable[Start]) -> list[Start]:
    """Of each campaign and kind the newest plan, and the newest of the whole of it.

    Args:
        starts: the newest first.
    """
    return _first_of(starts, lambda start: ["any"] if start.header.partial else ["any", "whole"])


def _first_of(starts: Iterable[Start], words: Callable[[Start], Sequence[str]]) -> list[Start]:
    """Starts that are the first of their owner with one of the words said of them."""
    told: set[tuple[Owner, str]] = set()
    found = []
    for start in starts:
        news = {(start.owner, word) for word in words(start)} - told
        if news:
            found.append(start)
        told |= news
    return found


def old_starts(starts: Sequence[Start], owner: Owner, before: datetime, running: Collection[str]) -> list[Start]:
    """The starts of a campaign whose plans can go: never the newest ones, nor the one with the newest report.

    Args:
        starts: all of the output, the newest first.
        before: of earlier ones.
        running: starts that are at work.
    """
    # A quiet night writes no report: the newest one may be of a start long ago.
    reports = _first_of(starts, lambda start: ["report"] if start.has_report else [])
    needed = {start.run_id for start in (*newest_starts(starts), *reports)}
    return [
        start
        for start in starts
        if start.owner == owner
        and start.moment.astimezone(UTC) < before
        and start.run_id not in needed
        and start.run_id not in running
    ]


def delete_plans(store: Store, starts: Iterable[Start]) -> int:
    """Delete the plans of some starts, and what lies beside them. Returns of how many."""
    with ThreadPoolExecutor(READERS) as pool:
        return sum(pool.map(partial(_delete_plan, store), starts))


def _delete_plan(store: Store, start: Start) -> int:
    note_signature(store, start.run_id, start.header)
    store.delete(start.beside)
    store.delete([start.plan])
    return 1
