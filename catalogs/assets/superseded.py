"""Files and masters that counted once and do not now: which, and since when.

A file stands as long as the last delivered, retired or withdrawn row of its asset delivered it; a picture whose
successor only failed stands too. Since when one does not is told by the row that took its place, by its start or by
its commit, whichever is later: a clock that is wrong keeps it longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from catalogs.assets.commits import Pair, Status, Step, commit_all, identity_of
from catalogs.assets.delivered import Delivered
from catalogs.assets.history import History, rows_at
from catalogs.assets.orders import Order, order_of
from catalogs.columns import Row, parents_of
from catalogs.identity import Identity, thumbnail_key
from catalogs.storage.store import Store

Owner = tuple[str, str]
"""A campaign's name and a kind."""


class Why(StrEnum):
    """Why a file does not stand any more."""

    SUPERSEDED = "superseded"  # another took its place, or its asset was retired
    WITHDRAWN = "withdrawn"  # a right to it ended


class _Event(NamedTuple):
    """A row that says what an asset is, or that it failed."""

    order: Order
    status: str
    key: str | None
    fingerprint: bytes
    render: str
    sha256: str | None
    parents: tuple[str, ...]

    @property
    def moment(self) -> datetime:
        return max(self.order[0], self.order[3])


@dataclass(frozen=True, slots=True)
class Ended:
    """A file of an asset that does not stand any more.

    Attributes:
        order: of the last row that named it.
        is_pruned: the record says that it was deleted.
    """

    identity: Identity
    key: str
    why: Why
    since: datetime
    pair: Pair
    order: Order
    sha256: str | None
    is_pruned: bool


@dataclass
class Standing:
    """What the rows of an output come to.

    Attributes:
        keys: files that stand, of whatever campaign; thumbnails: of these.
        renders: fingerprints of the renders that stand, that what stands builds on, or that may be tried again.
        ended: the other files that rows name, by key, for each asset that named it.
        renders_ended: since when assets do not name a render any more; others may.
        renders_of: renders by whose assets ever named them.
    """

    keys: set[str] = field(default_factory=set)
    thumbnails: set[str] = field(default_factory=set)
    renders: set[str] = field(default_factory=set)
    ended: dict[str, list[Ended]] = field(default_factory=dict)
    renders_ended: dict[str, datetime] = field(default_factory=dict)
    renders_of: dict[Owner, set[str]] = field(default_factory=dict)

    def add(self, identity: Identity, asset: _Asset) -> None:
        """Add what the rows of an asset come to."""
        self.renders_of.setdefault((identity.campaign, identity.kind), set()).update(asset.renders)
        for event in filter(None, (asset.holder, asset.failed)):
            self.renders.update((event.render, *event.parents))
            if event.key:
                self.keys.add(event.key)
            if event.sha256:
                self.thumbnails.add(thumbnail_key(event.sha256))
        for render, since in asset.renders.items():
            self.renders_ended[render] = max(since, self.renders_ended.get(render, since))


@dataclass
class _Asset:
    """An asset while its rows are told in order.

    Attributes:
        holder: the row whose file stands.
        failed: a failure after that, which may be tried again.
        gone: files that do not stand, by the last row that named each, why, and since when.
        renders: the renders its rows name, and when one last did.
    """

    holder: _Event | None = None
    failed: _Event | None = None
    gone: dict[str, tuple[_Event, Why, datetime]] = field(default_factory=dict)
    renders: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[_Event]) -> _Asset:
        asset = cls()
        for event in sorted(events, key=lambda event: event.order):
            asset._take(event)
        return asset

    def _take(self, event: _Event) -> None:
        # What stood until now counted until now.
        for earlier in filter(None, (self.holder, self.failed)):
            self._name(earlier.render, event.moment)
        self._name(event.render, event.moment)
        self.failed = event if event.status == Status.FAILED else None
        if self.failed is not None:
            return
        holder, self.holder = self.holder, None
        if event.status == Status.DELIVERED and event.key:
            self.holder = event
            self.gone.pop(event.key, None)
        if holder is not None and holder.key and holder.key != event.key:
            self._end(holder, Why.SUPERSEDED, event.moment)
        if self.holder is None and event.key:
            is_over = event.status == Status.WITHDRAWN
            # What takes a file out may be committed before the file is, by a start after that of the file.
            stood = holder.moment if holder is not None and holder.key == event.key else event.moment
            self._end(event, Why.WITHDRAWN if is_over else Why.SUPERSEDED, stood)

    def _end(self, event: _Event, why: Why, moment: datetime) -> None:
        key = str(event.key)
        said = self.gone[key][2] if key in self.gone else moment  # said twice, it has gone since the later
        self.gone[key] = (event, why, max(moment, event.moment, said))

    def _name(self, render: str, moment: datetime) -> None:
        self.renders[render] = max(moment, self.renders.get(render, moment))


class Timelines(Delivered):
    """The history of all campaigns of an output, with the rows of each asset in their order.

    Attributes:
        count: of the rows it has seen.
    """

    columns = (*History.columns, "sha256", "references")

    def __init__(self, store: Store) -> None:
        super().__init__(store, None)

    def _clear(self) -> None:
        super()._clear()
        self._events: dict[bytes, list[_Event]] = {}
        self.count = 0

    def _add(self, row: Row) -> None:
        super()._add(row)
        self.count += 1
        if row["status"] in (Status.MISSING, Status.PRUNED):
            return  # they name a file and move nothing
        order = order_of(row)
        event = _Event(
            order=self._orders.setdefault(order, order),
            status=str(row["status"]),
            key=row["asset_key"],
            fingerprint=bytes.fromhex(row["fingerprint"]),
            render=row["render_fingerprint"] or "",
            sha256=row["sha256"],
            parents=tuple(parents_of(row)),
        )
        self._events.setdefault(identity_of(row).digest(), []).append(event)

    def look(self) -> Standing:
        """What all rows seen so far come to."""
        standing = Standing()
        for digest, events in self._events.items():
            identity, asset = self._identities[digest], _Asset.of(events)
            standing.add(identity, asset)
            for key, (event, why, since) in asset.gone.items():
                pair = (digest, event.fingerprint)
                is_pruned = self._is_pruned(digest, key, events)
                ended = Ended(identity, key, why, since, pair, event.order, event.sha256, is_pruned)
                standing.ended.setdefault(key, []).append(ended)
        return standing

    def _is_pruned(self, digest: bytes, key: str, events: Iterable[_Event]) -> bool:
        lost = self._lost.get((digest, key))
        if lost is None or lost[1] != Status.PRUNED:
            return False
        return all(lost[0] > e.order for e in events if e.key == key and e.status == Status.DELIVERED)


def commit_pruned(store: Store, run_id: str, ended: Iterable[Ended]) -> int:
    """Commit that files are deleted by a rule, before they are. Returns how many rows.

    Args:
        run_id: a start that is later than everything the output has seen.
    """
    rows: list[Row] = []
    left = [item for item in ended if not item.is_pruned]
    while left:
        # One file a pair at a time: a picture that was made twice has two.
        some = {item.pair: item for item in left}
        left = [item for item in left if some[item.pair] is not item]
        for pair, row in rows_at(store, {pair: item.order for pair, item in some.items()}):
            item = some[pair]
            detail = f"{item.why.value} on {item.since:%Y-%m-%d}, deleted by the campaign's retention"
            rows.append({**row, "reason": None, "detail": detail, "status": Status.PRUNED.value})
    return commit_all(store, run_id, Step.PRUNE, rows)
