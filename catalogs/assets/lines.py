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
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
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


@dataclass
class _Test:
    """The test as far as it has come.

    Attributes:
        since: from when on it counts what was judged.
        rejected: looks of the pictures that were.
        stop: why the line is stopped; nothing that comes later starts it again.
    """

    since: datetime | None = None
    evidence: float = 0.0
    judged: int = 0
    rejected: list[str] = field(default_factory=list)
    stop: Stop | None = None

    def go_on(self, pictures: Iterable[Picture]) -> Stop | None:
        """Take pictures in their order; why the line is stopped, None for one that is not."""
        for look, is_rejected in pictures:
            if self.stop:
                break
            self._take(look, is_rejected)
        return self.stop

    def _take(self, look: str, is_rejected: bool) -> None:
        self.evidence += _REJECTED if is_rejected else _PASSED
        self.judged += 1
        if is_rejected:
            self.rejected.append(look)
        if self.evidence >= _STOP:
            self.stop = Stop(len(self.rejected), self.judged, _examples(self.rejected))
        elif self.evidence <= _FINE:
            self.evidence, self.judged, self.rejected = 0.0, 0, []


def _examples(rejected: Sequence[str]) -> tuple[str, ...]:
    """The last looks, with how many pictures where there are few looks."""
    counts = Counter(reversed(rejected))
    few = len(counts) < EXAMPLES
    told = [f"{look} ({count} pictures)" if few and count > 1 else look for look, count in counts.items()]
    return tuple(told[:EXAMPLES])


class Lines:
    """The judged pictures of a record by line, in whatever order its rows come."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[bytes, _Judged]] = {}
        # Over all that is told of a line, since a shard asks before each batch.
        self._tests: dict[str, _Test] = {}

    def add(self, row: Row, order: Order) -> None:
        """Add a row of a commit."""
        if not row["line"] or not row["verdict"]:
            return
        line, render = self._lines.setdefault(row["line"], {}), bytes.fromhex(row["render_fingerprint"])
        if render not in line or line[render].order > order:  # rows that say it again move no picture
            line[render] = _Judged(order, render, row["verdict"] == Verdict.REJECTED, row["look"])
            self._tests.pop(row["line"], None)

    def stop_of(self, line: str, since: datetime | None, more: Mapping[str, Picture] = _NONE) -> Stop | None:
        """Why a line is stopped, None for one that is not.

        Args:
            since: what was judged by starts before this does not count.
            more: pictures that no row may tell of yet, by render fingerprint.
        """
        told, test = self._lines.get(line, {}), self._tests.get(line)
        if test is None or test.since != since:
            test = self._tests[line] = _Test(since)
            test.go_on((one.look, one.is_rejected) for one in sorted(told.values()) if _counts(one, since))
        own = [picture for render, picture in more.items() if bytes.fromhex(render) not in told]
        return replace(test, rejected=list(test.rejected)).go_on(own)


def _counts(judged: _Judged, since: datetime | None) -> bool:
    return since is None or judged.order[0] > since


def sprt(pictures: Iterable[Picture]) -> Stop | None:
    """The test on pictures in their order."""
    return _Test().go_on(pictures)


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
