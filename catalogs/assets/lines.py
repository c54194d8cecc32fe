"""Lines: the pictures of one shot as they come, and the test that stops a shot whose pictures are mostly rejected.

A line is a shot as a campaign defines it, see `catalogs.plans.shot_lines`: another prompt or limit is another line.

The test is Wald's sequential probability ratio test (A. Wald, "Sequential Tests of Statistical Hypotheses", 1945):
a share of rejected pictures of GOOD against one of BAD. A picture adds log(BAD / GOOD) where it is rejected, else
log((1 - BAD) / (1 - GOOD)). At log((1 - MISSED) / FALSE) or above the line is stopped; at log(MISSED / (1 - FALSE)) or
below it is good, and a new test begins. So of the tests of a line that rejects GOOD, or less, at most FALSE stop it,
and of those of one that rejects BAD, or more, at most MISSED find it good.

The record is what all machines go by: rows in the order of history. Who resumes a line writes that down, and what was
judged before counts no more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from math import log

from catalogs.assets.orders import Order
from catalogs.assets.starts import latest_start
from catalogs.assets.takes import Verdict
from catalogs.columns import Row
from catalogs.storage.store import Store

GOOD, BAD = 0.3, 0.6
"""Shares of rejected pictures: up to the first a line goes on, from the second on it is to be stopped."""
FALSE, MISSED = 0.001, 0.01
"""Shares of tests that may be wrong: that stop a good line, and that find a bad one good."""
EXAMPLES = 6
_FOLDER = "lines"
_REJECTED, _PASSED = log(BAD / GOOD), log((1 - BAD) / (1 - GOOD))
_STOP, _FINE = log((1 - MISSED) / FALSE), log(MISSED / (1 - FALSE))


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a line is stopped.

    Attributes:
        judged: pictures of the test that stopped it.
        examples: looks of the last that were rejected.
    """

    rejected: int
    judged: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        seen = ", ".join(self.examples)
        return f"checks reject {self.rejected} of the last {self.judged} pictures, for example of {seen}"


@dataclass(frozen=True, slots=True, order=True)
class _Judged:
    order: Order
    render: bytes
    is_rejected: bool
    look: str


Picture = tuple[str, bool]
"""The look of a picture, and whether it is rejected."""
_NONE: Mapping[str, Picture] = {}


class Lines:
    """The judged pictures of a record by line, in whatever order its rows come."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[bytes, _Judged]] = {}
        self._in_order: dict[str, list[_Judged]] = {}

    def add(self, row: Row, order: Order) -> None:
        """Add a row of a commit."""
        if not row["line"] or not row["verdict"]:
            return
        line, render = self._lines.setdefault(row["line"], {}), bytes.fromhex(row["render_fingerprint"])
        if render not in line or line[render].order > order:  # rows that say it again move no picture
            line[render] = _Judged(order, render, row["verdict"] == Verdict.REJECTED, row["look"])
            self._in_order.pop(row["line"], None)

    def stop_of(self, line: str, since: datetime | None, more: Mapping[str, Picture] = _NONE) -> Stop | None:
        """Why a line is stopped, None for one that is not.

        Args:
            since: what was judged by starts before this does not count.
            more: pictures that no row may tell of yet, by render fingerprint.
        """
        told = self._lines.get(line, {})
        if line not in self._in_order:
            self._in_order[line] = sorted(told.values())
        known = ((one.look, one.is_rejected) for one in self._in_order[line] if since is None or one.order[0] > since)
        return sprt(chain(known, (picture for render, picture in more.items() if bytes.fromhex(render) not in told)))


def sprt(pictures: Iterable[Picture]) -> Stop | None:
    """The test on pictures in their order."""
    evidence, judged, rejected = 0.0, 0, list[str]()
    for look, is_rejected in pictures:
        evidence += _REJECTED if is_rejected else _PASSED
        judged += 1
        if is_rejected:
            rejected.append(look)
        if evidence >= _STOP:
            looks = tuple(dict.fromkeys(reversed(rejected)))
            return Stop(len(rejected), judged, looks[:EXAMPLES])
        if evidence <= _FINE:
            evidence, judged, rejected = 0.0, 0, []
    return None


def resume(store: Store, campaign: str, shots: Collection[str], run_id: str) -> None:
    """Write down that lines go on; `run_id` names a start that is later than all that was judged."""
    for shot in shots:
        said = {"campaign": campaign, "shot": shot, "resumed_by": run_id}
        store.create(f"{_FOLDER}/{campaign}/{shot}/{run_id}.json", json.dumps(said).encode())


def resumed(store: Store, campaign: str) -> Mapping[str, datetime]:
    """When each shot of a campaign was last resumed."""
    starts: dict[str, list[str]] = {}
    for key in store.list(f"{_FOLDER}/{campaign}"):
        _, name, shot, run_id, *rest = [*key.split("/"), ""]
        if name == campaign and run_id.endswith(".json") and not any(rest):
            starts.setdefault(shot, []).append(run_id.removesuffix(".json"))
    moments = {shot: latest_start(names) for shot, names in starts.items()}
    return {shot: moment for shot, moment in moments.items() if moment is not None}
