"""The leftovers of an output: what nothing names, no run at work is going to name, and nobody has paid for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from catalogs.assets.masters import LEAST_GRACE
from catalogs.assets.quarantine import Hold, forget_quarantined, held_by_quarantine
from catalogs.assets.starts import ordered_at
from catalogs.assets.sweep import Bounds, Leftover, delete, leftovers
from catalogs.errors import OptionError
from catalogs.identity import PHOTOS
from catalogs.journal.lease import Lease, live_leases
from catalogs.journal.sums import tasked_renders
from catalogs.storage.store import Store
from tasks.photo_leftovers import photo_leftovers

_HOUR = timedelta(hours=1)
_UNKNOWN_START = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Found:
    """The leftovers of an output.

    Attributes:
        runs: who is at work there.
        held: how many more stay, as a commit in quarantine may name them.
    """

    leftovers: list[Leftover]
    grace: timedelta
    runs: list[Lease]
    held: int = 0

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.leftovers)


def find_leftovers(store: Store, grace: timedelta, forget: bool = False) -> Found:
    """Leftovers older than the grace, and beside runs at work older than the first of them by as much.

    Args:
        forget: keep nothing more for the sake of commits in quarantine, from now on.

    Raises:
        OptionError: the grace is too short for a run that nobody sees.
        UnreadCommit: what a commit names cannot be known.
    """
    if grace < LEAST_GRACE:
        # Two runs by --force share one lease, and that of a slow clock looks over: the grace alone must hold.
        least = f"{LEAST_GRACE / _HOUR:g}"
        problem = f"what a run has stored may wait up to {least} hours for its commit"
        raise OptionError("--grace-hours", f"{grace / _HOUR:g}", problem, f"give {least} or more")
    runs = live_leases(store)
    bounds = _bounds(store, grace, runs)
    unnamed = leftovers(store, bounds) + photo_leftovers(store, bounds.before)
    if forget:
        forget_quarantined(store)
        bounds = replace(bounds, hold=Hold())
    free = [item for item in unnamed if not bounds.hold.keeps(item.key, item.modified)]
    return Found(free, grace, runs, len(unnamed) - len(free))


def delete_leftovers(store: Store, found: Found) -> list[Leftover]:
    """Delete what still is a leftover; runs, journal, commits and records are looked at again. Returns what is gone."""
    bounds = _bounds(store, found.grace, live_leases(store))
    still = {item.key for item in photo_leftovers(store, bounds.before)}
    wanted = [item for item in found.leftovers if not item.key.startswith(f"{PHOTOS}/") or item.key in still]
    return delete(store, wanted, bounds)


def _bounds(store: Store, grace: timedelta, runs: Iterable[Lease]) -> Bounds:
    first = min([datetime.now(UTC), *map(_start, runs)])
    # To make a master again that was paid for is to pay again, or cannot be.
    return Bounds(first - grace, tasked_renders(store), held_by_quarantine(store))


def _start(lease: Lease) -> datetime:
    try:
        return ordered_at(lease.run_id)
    except ValueError:  # whatever lies there may be its work
        return _UNKNOWN_START
