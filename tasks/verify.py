"""Looking whether the store holds what the record says, and saying so in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from shlex import quote

from catalogs.assets.commits import Pair, Status, Step
from catalogs.assets.delivered import delivered_in
from catalogs.assets.history import History
from catalogs.assets.starts import new_start, ordered_at
from catalogs.assets.verification import Findings, Named, current_files, last_verify, look, record_verify
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row
from catalogs.errors import WorkError
from catalogs.journal.lease import live_leases
from catalogs.plans.restate import commit_again
from catalogs.storage.store import Store
from tasks.unread import naming

FULL_EVERY = timedelta(days=1)


class MuchIsGone(WorkError):
    """So much is gone that nothing is written into the record unless somebody says so."""


@dataclass(frozen=True)
class Verified:
    """What became of a look.

    Attributes:
        checked: files that the record said are there.
        missing: of those, committed as missing now.
        found: files that the record called missing, said again.
        left: gone, and younger than a live run that may be at work on them: not committed.
        still: gone, as the record said before this look.
    """

    checked: int
    missing: int
    found: int
    masters_gone: int
    left: int = 0
    still: int = 0

    def as_dict(self) -> dict[str, int]:
        return {
            "checked": self.checked,
            "missing": self.missing,
            "found": self.found,
            "masters_gone": self.masters_gone,
            "left": self.left,
            "still": self.still,
        }


def verify(campaign: Campaign, store: Store, deep: bool = False, sure: bool = False) -> Verified:
    """Look at every file that the current view of a campaign names.

    Args:
        deep: read and hash each.
        sure: commit however much is gone.

    Raises:
        MuchIsGone: nothing was committed.
        UnreadCommit: what is delivered cannot be known; nothing was committed.
        StorageError: the store could not be listed; nothing was committed.
    """
    with naming(campaign.source):
        return _verify(campaign, store, deep, sure)


def _verify(campaign: Campaign, store: Store, deep: bool, sure: bool) -> Verified:
    history = History.read(store, campaign.name)
    if history.latest is None:
        return Verified(0, 0, 0, 0)
    run_id = new_start(store, history.latest)
    files = list(current_files(store, history))
    verified = _verified(campaign, store, history, run_id, files, deep, sure, is_whole=True)
    counts = {"campaign": campaign.name, "deep": deep, **verified.as_dict()}
    record_verify(store, run_id, datetime.now(UTC), history.latest, counts)
    return verified


def verify_recent(campaign: Campaign, store: Store) -> Verified:
    """Look at the files that came into the record since everything was last looked at.

    Raises:
        MuchIsGone: nothing was committed.
        StorageError: the store could not be listed.
    """
    last = last_verify(store, campaign.name)
    if last is None:
        return verify(campaign, store)
    history = delivered_in(store, campaign.name)
    history.refresh()
    files = list(current_files(store, history, last.read))
    return _verified(campaign, store, history, new_start(store, history.latest), files)


def is_due(campaign: Campaign, store: Store) -> bool:
    """Whether everything was last looked at a day ago, or never."""
    last = last_verify(store, campaign.name)
    return last is None or datetime.now(UTC) - last.at >= FULL_EVERY


def _verified(
    campaign: Campaign,
    store: Store,
    history: History,
    run_id: str,
    files: Sequence[Named],
    deep: bool = False,
    sure: bool = False,
    is_whole: bool = False,
) -> Verified:
    findings = look(store, campaign.name, files, deep, by_listing=is_whole)
    if findings.is_alarming and not sure:
        raise _alarm(campaign, store, findings)
    absent = _still_absent(store, campaign, files, _not_at_work(store, campaign, history, findings.absent), deep)
    gone: dict[Pair, Row] = {pair: {"detail": why} for pair, why in absent.items()}
    found: dict[Pair, Row] = {pair: {} for pair in findings.found}
    name = campaign.name
    missing = commit_again(store, name, run_id, Step.VERIFY, Status.MISSING, gone)
    again = commit_again(store, name, run_id, Step.VERIFY, Status.DELIVERED, found, is_found=True)
    left = len(findings.absent) - len(absent)
    still = sum(file.is_missing for file in files) - len(findings.found)
    return Verified(findings.named, missing, again, findings.masters_gone, left, still)


def _alarm(campaign: Campaign, store: Store, findings: Findings) -> MuchIsGone:
    where = f", nothing is left of {' and '.join(findings.prefixes_gone)}" if findings.prefixes_gone else ""
    return MuchIsGone(
        f"{store.root}: {len(findings.absent)} of {findings.named} files of {campaign.name} that were looked at are "
        f"gone or changed{where}; if its disk or bucket is there and they were really deleted, record that with "
        f"`packshot verify {quote(campaign.source)} --yes`, and the next render makes them again"
    )


def _not_at_work(store: Store, campaign: Campaign, history: History, absent: Mapping[Pair, str]) -> Mapping[Pair, str]:
    """The files that are not younger than the start of a live run of the campaign, which may be writing them."""
    leases = live_leases(store, campaign.name) if absent else []
    if not leases:
        return absent
    start = min(ordered_at(lease.run_id) for lease in leases)
    known = {pair: history.known(*pair) for pair in absent}
    return {pair: why for pair, why in absent.items() if (k := known[pair]) and max(k.order[0], k.order[3]) < start}


def _still_absent(
    store: Store, campaign: Campaign, files: Sequence[Named], absent: Mapping[Pair, str], deep: bool
) -> dict[Pair, str]:
    """What is still gone at a second look, and still what counts."""
    if not absent:
        return {}
    history = History.read(store, campaign.name)
    again = look(store, campaign.name, [file for file in files if file.pair in absent], deep).absent
    return {pair: why for pair, why in again.items() if (known := history.known(*pair)) and known.is_delivered}
