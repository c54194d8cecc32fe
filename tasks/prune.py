"""What a campaign's retention lets go: plans of old starts, and files and masters that nothing needs any more.

Nothing goes that a current row of any campaign names, that the newest plan of a campaign or a run at work asks for, or
that was written since. Rows that say so are committed before bytes go; what a kill leaves is found by the next call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import TypeVar

from catalogs.assets.commits import READERS, Pair, pair_of
from catalogs.assets.quarantine import Hold, held_by_quarantine
from catalogs.assets.starts import new_start
from catalogs.assets.superseded import Ended, Owner, Standing, Timelines, Why, commit_pruned
from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.retention import Retention
from catalogs.columns import parents_of, with_identity
from catalogs.errors import CampaignError
from catalogs.identity import run_key, thumbnail_key
from catalogs.journal.lease import Lease, live_leases
from catalogs.journal.sums import tasked_renders
from catalogs.plans.decision import UNWANTED
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.storage.store import Entry, MissingKey, Store
from tasks.engines import engine_of, kind_of
from tasks.old_plans import Start, delete_plans, newest_starts, old_starts, planned_starts

PLANS, MASTERS = "plans", "masters"
KINDS = (PLANS, Why.SUPERSEDED.value, Why.WITHDRAWN.value, MASTERS)
AT_ONCE = 500
T = TypeVar("T")
_NEVER = datetime.fromtimestamp(0, UTC)
_ASKED = with_identity("fingerprint", "render_fingerprint", "references", "action")


@dataclass(frozen=True)
class Item:
    """What goes as one.

    Attributes:
        keys: in the order in which they are deleted; by the last one the item is found.
        bytes: of them.
    """

    keys: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Asked:
    """What a plan asks for: its assets, and the renders these are made from.

    Attributes:
        at: when it was made; what ended later was not asked for again.
    """

    at: datetime
    pairs: frozenset[Pair]
    renders: frozenset[str]


@dataclass(frozen=True)
class Moment:
    """An output as it is now.

    Attributes:
        runs: who is at work there.
        asked: by the newest plans, and by runs at work; None where a run does not say what it works at.
    """

    standing: Standing
    runs: list[Lease]
    asked: list[Asked] | None


class Output:
    """An output whose record is read once, for all campaigns that are pruned there.

    Raises:
        UnreadCommit: what counts cannot be known.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        # Listed before the commits are read: what is committed in between is seen as named.
        self.renders = store.list("renders")
        self.sizes = {key: entry.size for key, entry in store.list("thumbs").items()}
        self.starts = planned_starts(store)
        self.hold: Hold = held_by_quarantine(store)
        # To make a master again that was paid for is to pay again, or cannot be.
        self.paid = tasked_renders(store)
        self._timelines = Timelines(store)
        self._plans: dict[str, Asked | None] = {}
        self._seen: tuple[int, frozenset[str]] | None = None
        self.now = self.look()

    @property
    def running(self) -> set[str]:
        """Starts that are at work."""
        return {lease.run_id for lease in self.now.runs}

    @property
    def latest(self) -> datetime | None:
        """The latest moment that any row names."""
        return self._timelines.latest

    def forget(self, keys: Iterable[str]) -> None:
        """Take files that were listed for gone."""
        for key in keys:
            self.renders.pop(key, None)
            self.sizes.pop(key, None)

    def look(self) -> Moment:
        """Look again: at the runs at work, and at what was committed since."""
        runs = live_leases(self.store)
        self._timelines.refresh()
        seen = (self._timelines.count, frozenset(lease.run_id for lease in runs))
        if seen != self._seen:
            self.now = Moment(self._timelines.look(), runs, self._asked(seen[1]))
            self._seen = seen
        return self.now

    def _asked(self, running: frozenset[str]) -> list[Asked] | None:
        newest = {start.run_id: start.moment for start in newest_starts(self.starts)}
        # A run at work may be slow, or asked for a plan of before: whatever it asks for stays.
        wanted = {**newest, **dict.fromkeys(running, datetime.max.replace(tzinfo=UTC))}
        for run_id in wanted.keys() - self._plans.keys():
            self._plans[run_id] = _asked_by(self.store, run_id)
        if any(self._plans[run_id] is None for run_id in running):
            return None
        return [replace(asked, at=at) for run_id, at in wanted.items() if (asked := self._plans[run_id])]


def _asked_by(store: Store, run_id: str) -> Asked | None:
    """What the plan of a start asks for, None where it cannot be read."""
    pairs: set[Pair] = set()
    renders: set[str] = set()
    try:
        for row in PlanFile(store, run_key(run_id, PLAN_NAME)).rows(_ASKED):
            if row["action"] not in UNWANTED:
                pairs.add(pair_of(row))
                renders.update((row["render_fingerprint"], *parents_of(row)))
    except CampaignError:
        return None
    return Asked(_NEVER, frozenset(pairs), frozenset(renders))


@dataclass
class Found:
    """What of a campaign may go.

    Attributes:
        before: of each kind, what ended earlier; None where it is kept.
        assets: the files below the campaign's folder.
        starts: those whose plans may go.
        items: by kind.
        paid: masters that stay since they were paid for.
        held: files that stay since a commit in quarantine may name them.
    """

    owner: Owner
    before: Mapping[str, datetime | None]
    assets: Mapping[str, Entry]
    starts: list[Start] = field(default_factory=list)
    items: dict[str, list[Item]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    paid: int = 0
    held: int = 0

    @property
    def count(self) -> int:
        return sum(map(len, self.items.values()))

    def bytes(self, kind: str) -> int:
        return sum(item.bytes for item in self.items[kind])


def find(output: Output, campaign: Campaign, retention: Retention) -> Found:
    """What may go of a campaign, of the kind that its model makes, by a retention."""
    kind = kind_of(engine_of(campaign))
    now = datetime.now(UTC)
    before = {name: None if time is None else now - time for name, time in retention.times().items()}
    found = Found((campaign.name, kind), before, output.store.list(f"assets/{campaign.name}"))
    output.look()  # after the listing
    if limit := before[PLANS]:
        found.starts = old_starts(output.starts, found.owner, limit, output.running)
        found.items[PLANS] = [Item((*start.beside, start.plan), start.bytes) for start in found.starts]
    _find_files(output, found)
    return found


def _find_files(output: Output, found: Found) -> None:
    found.items |= {kind: [] for kind in KINDS if kind != PLANS}
    found.paid = found.held = 0
    if output.now.asked is None:
        return
    for key, entry in found.assets.items():
        if ended := _ended(output, found, key, entry):
            keys = (*_thumbnail(output, ended), key)
            found.items[ended.why.value].append(Item(keys, sum(output.sizes.get(k, 0) for k in keys[:-1]) + entry.size))
    found.items[MASTERS] = list(_masters(output, found))


def _ended(output: Output, found: Found, key: str, entry: Entry) -> Ended | None:
    """Why a file may go, None where it may not."""
    standing = output.now.standing
    named = standing.ended.get(key, [])
    if key in standing.keys or found.owner not in {(one.identity.campaign, one.identity.kind) for one in named}:
        return None
    last = max(named, key=lambda one: one.since)
    before = found.before[last.why.value]
    if before is None or max(last.since, entry.modified) >= before:
        return None
    if any(one.pair in asked.pairs and last.since <= asked.at for asked in output.now.asked or () for one in named):
        return None
    return None if _is_held(output, found, key, entry) else last


def _is_held(output: Output, found: Found, key: str, entry: Entry) -> bool:
    is_held = output.hold.keeps(key, entry.modified)
    found.held += is_held
    return is_held


def _thumbnail(output: Output, ended: Ended) -> tuple[str, ...]:
    key = thumbnail_key(ended.sha256) if ended.sha256 else ""
    return (key,) if key in output.sizes and key not in output.now.standing.thumbnails else ()


def _masters(output: Output, found: Found) -> Iterator[Item]:
    """Masters that may go, each with its record."""
    before, standing = found.before[MASTERS], output.now.standing
    mine = standing.renders_of.get(found.owner, set())
    for stem, group in groupby(output.renders.items(), key=lambda item: item[0].rpartition(".")[0]):
        render, files = stem.rpartition("/")[2].partition(".")[0], dict(group)
        if before is None or render not in mine or render in standing.renders:
            continue
        since = standing.renders_ended[render]
        if max(since, *(entry.modified for entry in files.values())) >= before:
            continue
        if any(render in asked.renders and since <= asked.at for asked in output.now.asked or ()):
            continue
        if render in output.paid:
            found.paid += 1
        elif not any(_is_held(output, found, key, entry) for key, entry in files.items()):
            # The picture first: a record alone is no master, and a picture alone would be taken for one.
            keys = sorted(files, key=lambda key: (not key.endswith(".png"), key))
            yield Item(tuple(keys), sum(entry.size for entry in files.values()))


def delete(output: Output, found: Found) -> dict[str, int]:
    """Delete what was found and may still go. Returns how many items of each kind are gone.

    Runs, plans and commits are looked at again before the rows are committed, and before every few hundred files.
    """
    gone = dict.fromkeys(KINDS, 0)
    for starts in _chunks(found.starts):
        output.look()
        gone[PLANS] += delete_plans(output.store, [start for start in starts if start.run_id not in output.running])
    listed = {kind: found.items[kind] for kind in KINDS if kind != PLANS}
    still = _Still(output, found)
    _commit(output, [item for items in listed.values() for item in still.of(items)])
    for kind, items in listed.items():
        for chunk in _chunks(items):
            with ThreadPoolExecutor(READERS) as pool:
                gone[kind] += sum(pool.map(partial(_delete, output.store, found.before[kind]), still.of(chunk)))
    output.forget(key for items in listed.values() for item in items for key in item.keys)
    return gone


class _Still:
    """Tells what of the files that were found may still go."""

    def __init__(self, output: Output, found: Found) -> None:
        self._output, self._found = output, replace(found, items={})
        self._moment: Moment | None = None
        self._items: dict[str, Item] = {}

    def of(self, items: Sequence[Item]) -> list[Item]:
        if self._output.look() is not self._moment:
            self._moment = self._output.now
            _find_files(self._output, self._found)
            self._items = {item.keys[-1]: item for found in self._found.items.values() for item in found}
        return [self._items[item.keys[-1]] for item in items if item.keys[-1] in self._items]


def _commit(output: Output, items: Sequence[Item]) -> None:
    ended = output.now.standing.ended
    named = [one for item in items for key in item.keys for one in ended.get(key, ()) if not one.is_pruned]
    if named:
        commit_pruned(output.store, new_start(output.store, output.latest), named)


def _delete(store: Store, before: datetime | None, item: Item) -> int:
    # Right after a look at its time: who makes it again writes it before the commit that names it.
    keys = [key for key in item.keys if not key.startswith("thumbs/")]
    times = [time for key in keys if (time := _modified(store, key)) is not None]
    if before is None or not times or max(times) >= before:
        return 0
    for key in item.keys:
        store.delete([key])
    return 1


def _modified(store: Store, key: str) -> datetime | None:
    try:
        return store.stat(key).modified
    except MissingKey:
        return None


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
