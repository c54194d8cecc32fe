"""Takes: which of the tries at one picture stands, and whether another is wanted, by the verdicts of the record.

A take is a render of its own, with another seed. What was judged holds for one request, which is known by the render
fingerprint it has at take 0: another prompt, photo or model starts at 0.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import NamedTuple

from catalogs.assets.orders import Order
from catalogs.columns import Row

BY_PERSON = "person"
"""Who a verdict is from, where checks did not give it."""


class Verdict(StrEnum):
    """What checks or people say of a picture."""

    ACCEPTED = "accepted"
    NEEDS_REVIEW = "needs_review"
    REJECTED = "rejected"


class Judgement(NamedTuple):
    """What was said of a render.

    Attributes:
        score: see `inference.quality.checks.score`; 0 where there is none.
        judged_by: "person", or None where checks said so.
        order: of the row that said so.
    """

    verdict: Verdict
    score: float
    judged_by: str | None
    order: Order


_RANKS = {verdict: rank for rank, verdict in enumerate((Verdict.REJECTED, Verdict.NEEDS_REVIEW, Verdict.ACCEPTED))}


def _rank(judged: Judgement) -> int:
    return -1 if judged.judged_by and judged.verdict is Verdict.REJECTED else _RANKS[judged.verdict]


_VERDICTS = {verdict.value: verdict for verdict in Verdict}


class Takes:
    """The judgements of a record, in whatever order its rows come."""

    def __init__(self) -> None:
        self._judged: dict[bytes, Judgement] = {}
        self._later: dict[bytes, dict[int, bytes]] = {}  # by take 0: the takes after it
        self._given_up: set[bytes] = set()
        self._by_shot: dict[str, Counter[Verdict]] = {}

    def add(self, row: Row, order: Order) -> None:
        """Add a row of a commit: one that has a verdict, or a take that failed for good."""
        verdict = _VERDICTS.get(row["verdict"] or "")
        is_given_up = row["status"] == "failed" and bool(row["final"]) and not verdict
        if not verdict and not (is_given_up and row["take"]):
            return
        render = bytes.fromhex(row["render_fingerprint"])
        if row["take_of"]:
            self._later.setdefault(bytes.fromhex(row["take_of"]), {})[row["take"]] = render
        if not verdict:
            self._given_up.add(render)
            return
        known = self._judged.get(render)
        if known and known.order > order:
            return
        counts = self._by_shot.setdefault(row["shot"], Counter())
        if known:
            counts[known.verdict] -= 1
        counts[verdict] += 1
        self._judged[render] = Judgement(verdict, row["score"] or 0.0, row["judged_by"], order)

    def judged(self, render_fingerprint: str) -> Judgement | None:
        """What was said of a render."""
        return self._judged.get(bytes.fromhex(render_fingerprint))

    def standing(self, take_of: str, attempts: int) -> int:
        """The take of a request that a plan asks for.

        The last that a person accepted; else the best of those that were judged: accepted before to be reviewed before
        rejected by checks before rejected by a person, then the higher score, then the earlier. Where that is rejected,
        and fewer were tried than there may be, the next; a person's rejection allows as many more.

        Args:
            take_of: its render fingerprint at take 0.
            attempts: how many takes there may be.
        """
        first = bytes.fromhex(take_of)
        takes = {0: first, **self._later.get(first, {})}
        judged = {take: found for take, render in takes.items() if (found := self._judged.get(render))}
        if not judged:
            return 0
        decided = {take: found.verdict for take, found in judged.items() if found.judged_by}
        if accepted := [take for take, verdict in decided.items() if verdict is Verdict.ACCEPTED]:
            return max(accepted, key=lambda take: judged[take].order)
        best = max(judged, key=lambda take: (_rank(judged[take]), judged[take].score, -take))
        if judged[best].verdict is not Verdict.REJECTED:
            return best
        tried = {take for take, render in takes.items() if take in judged or render in self._given_up}
        refused = [take for take, verdict in decided.items() if verdict is Verdict.REJECTED]
        if refused:
            attempts = max(attempts, max(refused) + 1 + attempts)
        following = next(take for take in range(len(tried) + 1) if take not in tried)
        return following if following < attempts else best

    def expected(self, shot: str, left: int) -> float:
        """How many takes of a picture of a shot are to be expected, as the shot's pictures were judged so far.

        With a share p that is not rejected it is (1 - (1 - p)^left) / p, the mean of a geometric distribution that
        ends after `left`. One picture that passes is added to those that were judged: without any it is 1.

        Args:
            left: takes there may be, this one included.
        """
        counts = self._by_shot.get(shot, Counter())
        judged = counts.total()
        share = (judged - counts[Verdict.REJECTED] + 1) / (judged + 1)
        return float((1 - (1 - share) ** max(1, left)) / share)
