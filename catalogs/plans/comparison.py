"""Wanted against existing: the rows of a plan, look by look."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from catalogs.assets.commits import Status
from catalogs.assets.history import History
from catalogs.columns import Row
from catalogs.identity import Identity
from catalogs.plans.decision import Action, Decision, StoredMasters, Wanted, Wishes, Work, decide, lost
from catalogs.plans.rows import kept_row, plan_row, unwanted_row, wanted_of
from catalogs.plans.wanted import Member, Planned
from catalogs.requests import Reason
from catalogs.storage.store import Store


class Comparison:
    """A history that is asked about the looks of a campaign, one after the other.

    It remembers which assets it was asked about, and so can say at the end what nobody asked for.

    Attributes:
        held: shots of which a picture waits because its shot, or one that it builds on, is stopped.
    """

    def __init__(self, store: Store, history: History, engine: str, wishes: Wishes) -> None:
        self._history, self._engine, self._wishes = history, engine, wishes
        self._masters = StoredMasters(store, history)
        self._asked: set[bytes] = set()
        self._asked_looks: set[bytes] = set()
        self.held: set[str] = set()

    def rows(self, look: Sequence[Planned]) -> list[Row]:
        """The plan's rows of one look, whose assets come in the order of their stages.

        An asset no right covers is not made, and has no row.
        """
        self._asked.update(planned.identity.digest() for planned in look)
        self._asked_looks.update(_look(planned.identity) for planned in look[:1])
        wanted = [planned for planned in look if not planned.refused]
        decisions = self.decisions([wanted_of(planned) for planned in wanted])
        rows = [
            plan_row(planned, decision, self._history, self._engine)
            for planned, decision in zip(wanted, decisions, strict=True)
        ]
        for row, planned in zip(rows[:1], wanted, strict=False):
            row["look_rows"], row["look_marks"] = len(planned.member.covers), planned.member.marks
        return rows

    def decisions(self, look: Sequence[Wanted]) -> list[Decision]:
        """What to do about the assets of one look, in the order of their stages."""
        found = [decide(self._history, self._masters, wanted, self._wishes) for wanted in look]
        needed: set[str] = set()  # renders that one to be made builds on
        for place in reversed(range(len(look))):
            wanted, decision = look[place], found[place]
            is_needed = wanted.is_master and wanted.render_fingerprint in needed and _was_made(decision)
            if is_needed and decision.work != Work.RENDER and not self._masters.has(wanted.render_fingerprint):
                found[place] = decision = lost(decision.known, self._wishes, wanted.render_fingerprint)
            if decision.work == Work.RENDER:
                needed.update(wanted.parents)
        hopeless: set[str] = set()  # renders of this look that are not to be had
        stopped: set[str] = set()  # those of them that a stopped shot would make
        for place, wanted in enumerate(look):
            if found[place].work == Work.RENDER and self._is_stopped(wanted, stopped):
                self.held.add(wanted.shot)
                found[place] = Decision(Action.UNCHANGED, Work.NONE, found[place].known, Reason.LINE_STOPPED)
                stopped.add(wanted.render_fingerprint)
            if self._waits_for_nothing(wanted, found[place], hopeless):
                found[place] = Decision(Action.UNCHANGED, Work.NONE, found[place].known)
            if found[place].work == Work.NONE and not _is_there(found[place]):
                hopeless.add(wanted.render_fingerprint)
        return found

    def kept(self, member: Member, identities: Sequence[Identity]) -> list[Row]:
        """The rows of a look that is delivered as it was when its references could be read; [] where it is not."""
        current = [self._history.current(identity.digest()) for identity in identities]
        if not all(found and found[1].is_delivered for found in current):
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
        for identity, fingerprint, _ in self._history.standing():
            if identity.kind == kind and identity.digest() not in self._asked:
                yield identity, fingerprint

    def is_of_a_known_look(self, identity: Identity) -> bool:
        """Whether other assets of its look were asked for: then its shot, channel or variation is gone."""
        return _look(identity) in self._asked_looks

    def retired_row(self, identity: Identity, fingerprint: str) -> Row:
        """The row of an asset that is wanted no longer."""
        return unwanted_row(identity, fingerprint, self._engine, Action.RETIRED)

    def _is_stopped(self, wanted: Wanted, stopped: set[str]) -> bool:
        """Its shot is stopped, or one that it builds on, and that is not there."""
        return wanted.shot in self._wishes.stopped or not stopped.isdisjoint(wanted.parents)

    def _waits_for_nothing(self, wanted: Wanted, decision: Decision, hopeless: set[str]) -> bool:
        """It failed for want of a shot that is not made again in this run."""
        if decision.known is None or decision.known.reason != Reason.UPSTREAM_FAILED:
            return False
        return any(not self._masters.has(parent) for parent in hopeless.intersection(wanted.parents))


def _was_made(decision: Decision) -> bool:
    return decision.known is not None and decision.known.asset_key is not None


def _is_there(decision: Decision) -> bool:
    return decision.known is not None and decision.known.status != Status.FAILED and decision.reason is None


def _look(identity: Identity) -> bytes:
    return hashlib.blake2b(f"{identity.brand_id}\x1f{identity.look}".encode(), digest_size=16).digest()
