"""What a plan does about one asset, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from catalogs.assets.commits import Status, covers_hash
from catalogs.assets.history import History, Known
from catalogs.plans.wanted import Planned
from catalogs.requests import Reason


class Action(StrEnum):
    """What a plan says of an asset, for people."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FINISH = "finish"
    RETIRED = "retired"
    WITHDRAW = "withdraw"


class Work(StrEnum):
    """What an asset costs: a render, a finishing of an existing master, a row in the catalog, nothing."""

    RENDER = "render"
    FINISH = "finish"
    COMMIT = "commit"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one wanted asset."""

    action: Action
    work: Work
    known: Known | None = None


PAID_REASONS = frozenset((Reason.POSSIBLY_BILLED.value, Reason.PAID_EXPIRED.value))


def decide(history: History, digest: bytes, planned: Planned, retry_failed: bool, resubmit: bool = False) -> Decision:
    """Compare one wanted asset with the history."""
    fingerprint = bytes.fromhex(planned.fingerprint)
    known = history.known(digest, fingerprint)
    current = history.current(digest)
    is_current = current is not None and current[0] == fingerprint
    if known and known.asset_key:
        if is_current and known.status == Status.DELIVERED:
            same = known.covers == covers_hash(planned.member.covers)
            return (
                Decision(Action.UNCHANGED, Work.NONE, known) if same else Decision(Action.CHANGED, Work.COMMIT, known)
            )
        return Decision(Action.CHANGED, Work.COMMIT, known)
    retry = resubmit if known and known.reason in PAID_REASONS else retry_failed
    if known and known.status == Status.FAILED and known.final and not retry:
        return Decision(Action.UNCHANGED, Work.NONE, known)
    if history.master(planned.render_fingerprint):
        return Decision(Action.FINISH, Work.FINISH, known)
    return Decision(Action.CHANGED if current else Action.NEW, Work.RENDER, known)
