"""Wanted against existing: the rows of a plan, look by look."""

from __future__ import annotations

from collections.abc import Sequence

from catalogs.assets.commits import Status
from catalogs.assets.history import History
from catalogs.columns import Row
from catalogs.plans.decision import Action, Decision, Work, decide
from catalogs.plans.rows import plan_row, unwanted_row
from catalogs.plans.wanted import Planned
from catalogs.requests import Reason


class Comparison:
    """A history that is asked about the looks of a campaign, one after the other.

    It remembers which assets it was asked about, and so can say at the end what nobody asked for.
    """

    def __init__(self, history: History, engine: str, retry_failed: bool = False, resubmit: bool = False) -> None:
        self._history, self._engine = history, engine
        self._retry_failed, self._resubmit = retry_failed, resubmit
        self._asked: set[bytes] = set()

    def rows(self, look: Sequence[Planned]) -> list[Row]:
        """The plan's rows of one look, whose assets come in the order of their stages.

        An asset no right covers is not made, and has a row only where it is delivered and must be taken back.
        """
        rows: list[Row] = []
        hopeless: set[str] = set()  # renders of this look that failed for good
        for planned in look:
            digest = planned.identity.digest()
            self._asked.add(digest)
            if planned.refused:
                rows.extend(self._withdrawn(planned, digest))
                continue
            decision = decide(self._history, digest, planned, self._retry_failed, self._resubmit)
            if self._waits_for_nothing(planned, decision, hopeless):
                decision = Decision(Action.UNCHANGED, Work.NONE, decision.known)
            if decision.work == Work.NONE and decision.known and decision.known.status == Status.FAILED:
                hopeless.add(planned.render_fingerprint)
            rows.append(plan_row(planned, decision, self._history, self._engine))
        return rows

    def unwanted(self, kind: str) -> list[Row]:
        """Delivered assets of a kind that nothing in the catalogs asks for any more."""
        return [
            unwanted_row(identity, fingerprint, self._engine, Action.RETIRED)
            for identity, fingerprint in self._history.delivered()
            if identity.kind == kind and identity.digest() not in self._asked
        ]

    def _withdrawn(self, planned: Planned, digest: bytes) -> list[Row]:
        current = self._history.current(digest)
        if current is None or current[1].status != Status.DELIVERED:
            return []
        return [unwanted_row(planned.identity, current[0].hex(), self._engine, Action.WITHDRAW)]

    def _waits_for_nothing(self, planned: Planned, decision: Decision, hopeless: set[str]) -> bool:
        """It failed for want of a shot that is not made again in this run."""
        if decision.known is None or decision.known.reason != Reason.UPSTREAM_FAILED:
            return False
        upstream = {r.sha256 for r in planned.request.references if r.is_render} & hopeless
        return any(not self._history.master(fingerprint) for fingerprint in upstream)
