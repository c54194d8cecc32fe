"""What a plan does about one asset, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from catalogs.assets.commits import Status, covers_hash
from catalogs.assets.history import History, Known
from catalogs.requests import Reason
from catalogs.storage.store import Store


class Action(StrEnum):
    """What a plan says of an asset, for people."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FINISH = "finish"
    RETIRED = "retired"
    WITHDRAW = "withdraw"


UNWANTED = frozenset((Action.RETIRED.value, Action.WITHDRAW.value))
"""Actions of rows that stand for what is delivered and not to be."""


class Work(StrEnum):
    """What an asset costs: a render, a finishing of an existing master, a row in the catalog, nothing."""

    RENDER = "render"
    FINISH = "finish"
    COMMIT = "commit"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An asset that is wanted, as far as a decision needs it.

    Attributes:
        identity: its digest.
        parents: render fingerprints of the shots it builds on.
    """

    identity: bytes
    fingerprint: str
    render_fingerprint: str
    covers: Sequence[str]
    shot: str
    is_master: bool = False
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one wanted asset.

    Attributes:
        reason: why nothing is done about one that is not there, where the record does not say so.
    """

    action: Action
    work: Work
    known: Known | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of a decision is up to the user.

    Attributes:
        retry_failed: try final failures again.
        resubmit: pay again for what was paid and is lost, or may have been billed.
        restate: say again also what is unchanged, so that it stands above what another live run may still commit.
        paid: the engine is paid by the picture.
        collectable: render fingerprints whose pictures the API may still have, for nothing.
        stopped: shots of which nothing is rendered until somebody resumes them.
    """

    retry_failed: bool = False
    resubmit: bool = False
    restate: bool = False
    paid: bool = False
    collectable: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()


PAID_REASONS = frozenset((Reason.POSSIBLY_BILLED.value, Reason.PAID_EXPIRED.value))


class StoredMasters:
    """Which committed masters are really there; the store is listed once, when it is first asked."""

    def __init__(self, store: Store, history: History) -> None:
        self._store, self._history = store, history
        self._keys: frozenset[str] | None = None

    def has(self, render_fingerprint: str) -> bool:
        key = self._history.master(render_fingerprint)
        if key is None:
            return False
        if self._keys is None:
            self._keys = frozenset(self._store.list("renders"))
        return key in self._keys


def decide(history: History, masters: StoredMasters, wanted: Wanted, wishes: Wishes) -> Decision:
    """Compare one wanted asset with the history."""
    known = history.known(wanted.identity, bytes.fromhex(wanted.fingerprint))
    current = history.current(wanted.identity)
    if known and known.has_bytes:
        is_current = current is not None and current[0].hex() == wanted.fingerprint and known.is_delivered
        if not is_current or known.covers != covers_hash(wanted.covers):
            return Decision(Action.CHANGED, Work.COMMIT, known)
        return Decision(Action.UNCHANGED, Work.COMMIT if wishes.restate else Work.NONE, known)
    retry = wishes.resubmit if known and known.reason in PAID_REASONS else wishes.retry_failed
    if known and known.status == Status.FAILED and known.final and not retry:
        return Decision(Action.UNCHANGED, Work.NONE, known)
    if masters.has(wanted.render_fingerprint):
        return Decision(Action.FINISH, Work.FINISH, known)
    if known and known.asset_key:
        return lost(known, wishes, wanted.render_fingerprint)
    return Decision(Action.CHANGED if current else Action.NEW, Work.RENDER, known)


def lost(known: Known | None, wishes: Wishes, render_fingerprint: str) -> Decision:
    """What to do about a picture that was made, and whose bytes are gone: make it again, or ask who pays for that."""
    if wishes.paid and not wishes.resubmit and render_fingerprint not in wishes.collectable:
        return Decision(Action.UNCHANGED, Work.NONE, known, Reason.PAID_EXPIRED)
    return Decision(Action.CHANGED, Work.RENDER, known)
