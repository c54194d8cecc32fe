"""Wanted against existing: the rows of a plan, look by look."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from catalogs.assets.commits import Status
from catalogs.assets.history import History
from catalogs.columns import Row
from catalogs.identity import Identity
from catalogs.plans.decision import Action, Decision, Work, decide
from catalogs.plans.rows import kept_row, plan_row, unwanted_row
from catalogs.plans.wanted import Member, Planned
from catalogs.requests import Reason


class Comparison:
    """A history that is asked about the looks of a campaign, one after the other.

    It remembers which assets it was asked about, and so can say at the end what nobody asked for.
    """

    def __init__(self, history: History, engine: str, retry_failed: bool = False, resubmit: bool = False) -> None:
        self._history, self._engine = history, engine
        self._retry_failed, self._resubmit = retry_failed, resubmit
        self._asked: set[bytes] = set()
        self._asked_looks: set[bytes] = set()

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
            row = plan_row(planned, decision, self._history, self._engine)
            if not any(row["action"] != Action.WITHDRAW for row in rows):
                row["look_rows"], row["look_marks"] = len(planned.member.covers), planned.member.marks
            rows.append(row)
        self._asked_looks.update(_look(planned.identity) for planned in look[:1])
        return rows

    def kept(self, member: Member, identities: Sequence[Identity]) -> list[Row]:
        """The rows of a look that is delivered as it was when its references could be read; [] where it is not."""
        current = [self._history.current(identity.digest()) for identity in identities]
        if not all(found and found[1].status == Status.DELIVERED for found in current):
            return []
        self._asked.update(identity.digest() for identity in identities)
        self._asked_looks.update(_look(identity) for identity in identities[:1])
        rows = [
            kept_row(identity, member, found[0].hex(), found[1], self._engine)
            for identity, found in zip(identities, current, strict=True)
            if found
        ]
        rows[0]["look_rows"], rows[0]["look_marks"] = len(member.covers), member.marks
        return rows

    def unwanted(self, kind: str) -> Iterator[tuple[Identity, str]]:
        """Delivered assets of a kind that no look asked for, with their fingerprints."""
        for identity, fingerprint in self._history.delivered():
            if identity.kind == kind and identity.digest() not in self._asked:
                yield identity, fingerprint

    def is_of_a_known_look(self, identity: Identity) -> bool:
        """Whether other assets of its look were asked for: then its shot, channel or variation is gone."""
        return _look(identity) in self._asked_looks

    def retired_row(self, identity: Identity, fingerprint: str) -> Row:
        """The row of an asset that is wanted no longer."""
        return unwanted_row(identity, fingerprint, self._engine, Action.RETIRED)

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


def _look(identity: Identity) -> bytes:
    return hashlib.blake2b(f"{identity.brand_id}\x1f{identity.look}".encode(), digest_size=16).digest()
