"""What an account held before and after its submits: how much of what may have been billed really was.

budget/credits/<moment>.<account>.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from catalogs.errors import StorageError
from catalogs.journal.book import FOLDER
from catalogs.journal.sums import READERS, Entry
from catalogs.money import Micro, micro, usd
from catalogs.storage.store import Store

CREDITS = f"{FOLDER}/credits"


@dataclass(frozen=True, slots=True)
class Reading:
    """What an account held at a moment of the store's clock.

    Attributes:
        asked: when it was asked; the answer was written down at `at`.
    """

    account: str
    asked: datetime
    at: datetime
    left: Micro


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of submits of unknown fate between two readings of an account.

    Attributes:
        possible: what they may have cost together.
        billed: what they did; None where that cannot be told, as others spent from the account, or it was filled up.
    """

    since: datetime
    until: datetime
    possible: Micro
    billed: Micro | None


def note_credits(store: Store, account: str, run_id: str, left: Micro, seconds: float) -> None:
    """Write down what an account holds; a store that does not take it costs the run nothing.

    Args:
        seconds: since it was asked.
    """
    key = f"{CREDITS}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.{account}.json"
    content = {"format": 1, "account": account, "run_id": run_id, "left": usd(left), "seconds": seconds}
    try:
        store.write(key, json.dumps(content).encode())
    except StorageError:
        return


def read_credits(store: Store) -> list[Reading]:
    """All readings, in the order they were written."""
    found = store.list(CREDITS)
    with ThreadPoolExecutor(READERS, thread_name_prefix="credits") as pool:
        contents = list(pool.map(store.read, found))
    readings = []
    for entry, data in zip(found.values(), contents, strict=True):
        try:
            content = json.loads(data)
            asked = _asked(entry.modified, content.get("seconds", 0.0))
            readings.append(Reading(str(content["account"]), asked, entry.modified, micro(content["left"])))
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
            continue  # one that cannot be read tells nothing
    return sorted(readings, key=lambda reading: reading.at)


def _asked(written: datetime, seconds: float) -> datetime:
    # A store that stamps whole seconds may have been up to one later than it says.
    return written - timedelta(seconds=seconds + (not written.microsecond))


def settle(entries: Iterable[Entry], readings: Iterable[Reading]) -> Iterator[Settled]:
    """What the readings of an account tell of submits of unknown fate, gap by gap.

    A reading that was on its way while an attempt was says nothing of it, and is passed over; one account is looked
    at, the only one.
    """
    attempts = sorted(entries, key=lambda entry: entry.at)
    told = [
        reading for reading in readings if not any(e.at <= reading.at and reading.asked <= e.until for e in attempts)
    ]
    if len({reading.account for reading in told}) != 1:
        return
    for before, after in pairwise(told):
        mine = [entry for entry in attempts if before.at < entry.at < after.at]
        possible = sum(entry.possible for entry in mine)
        if possible:
            billed = before.left - after.left - sum(entry.paid for entry in mine)
            yield Settled(before.at, after.at, possible, billed if 0 <= billed <= possible else None)
