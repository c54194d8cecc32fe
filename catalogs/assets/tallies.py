"""The asset catalog as numbers: what was delivered, what failed and what was rendered, each counted once.

What rows mean together is said in `history`; here it is said a second time for a million of them at once, in arrays and
not row by row, and held against it on random histories. Beyond that:

1. An asset counts once by (identity, fingerprint, attempt_id), at the first row that says so: what is said again later
   was not delivered again.
2. A render counts once by (render_fingerprint, render_key), or by (render_fingerprint, attempt_id) where no master was
   kept: every row of it has the seconds of the whole render.
3. Masters are no assets; the seconds of their renders count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import Status, UnreadCommit, read_commits
from catalogs.assets.orders import ORDER_COLUMNS
from catalogs.columns import COLUMNS, IDENTITY, with_identity
from catalogs.identity import MASTER_CHANNEL
from catalogs.storage.store import Store

Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_READ = with_identity(
    "master",
    "status",
    "reason",
    "asset_key",
    "render_key",
    "render_fingerprint",
    "fingerprint",
    "engine",
    "model",
    "seconds",
    *ORDER_COLUMNS,
)
_REPEATED = (
    "campaign",
    "kind",
    "brand_id",
    "shot",
    "channel",
    "status",
    "reason",
    "engine",
    "model",
    "run_id",
    "commit",
)
"""Texts that many rows share: kept once a commit."""
_ORDER = ("ordered_at", "run_id", "step", "created_at", "attempt_id", "commit")
_SETTLED = (Status.DELIVERED, Status.RETIRED, Status.WITHDRAWN)
_LOST = (Status.MISSING, Status.PRUNED)
FACTS = ("campaign", "kind", "brand_id", "shot", "model", "engine", "created_at")
"""What is told of everything that is counted."""


@dataclass(frozen=True)
class Tallies:
    """What an output holds, a row a thing that counts, each with the columns of `FACTS`.

    Attributes:
        delivered: assets; `created_at` is when they were first said to be delivered.
        failed: tries at assets that came to nothing, with their `reason`.
        renders: pictures that were made, with `seconds`, `run_id` and `render_fingerprint`.
        current: every asset with what counts for it now, `status`, and its `reason` where that is a failure.
    """

    delivered: pa.Table
    failed: pa.Table
    renders: pa.Table
    current: pa.Table


def read_tallies(store: Store, campaign: str | None = None, unread: list[UnreadCommit] | None = None) -> Tallies:
    """Count an output.

    Args:
        campaign: whose rows count, None for all.
        unread: takes the commits that cannot be read, which then are passed over; else the first is raised.
    """
    found = [_lean(table, campaign) for table in read_commits(store, _READ, unread=unread)]
    return tally(pa.concat_tables([_nothing(), *found]))


def _nothing() -> pa.Table:
    schema = pa.schema([*((name, COLUMNS[name].type) for name in _READ), ("commit", pa.string())])
    return _lean(schema.empty_table(), None)


def _lean(table: pa.Table, campaign: str | None) -> pa.Table:
    """A commit as it is kept in memory."""
    if campaign is not None:
        table = table.filter(pc.equal(table["campaign"], campaign))
    filled = {
        "ordered_at": pc.coalesce(table["ordered_at"], table["created_at"]),
        "step": pc.fill_null(table["step"], 0),
        "attempt_id": pc.fill_null(table["attempt_id"], ""),
        "master": pc.coalesce(table["master"], pc.starts_with(table["channel"], MASTER_CHANNEL)),
    }
    for name, column in filled.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    for name in _REPEATED:
        table = table.set_column(table.schema.get_field_index(name), name, table[name].dictionary_encode())
    return table


def tally(table: pa.Table) -> Tallies:
    """Count rows of commits."""
    rows = _Rows(table)
    delivered, failed = rows.first_tries(Status.DELIVERED), rows.first_tries(Status.FAILED)
    current, status = rows.current()
    told = rows.taken(current, "reason")
    told = told.append_column("status", pa.array([_NAMES[code] for code in status.tolist()], pa.string()))
    return Tallies(
        delivered=rows.taken(delivered),
        failed=rows.taken(failed, "reason"),
        renders=rows.taken(rows.first_renders(), "seconds", "run_id", "render_fingerprint"),
        current=told,
    )


_NAMES = [status.value for status in Status]
_CODES = {name: code for code, name in enumerate(_NAMES)}


class _Rows:
    """Rows in the order of history, their texts as numbers."""

    def __init__(self, table: pa.Table) -> None:
        keys = [_ranks(table[name]) for name in _ORDER]
        order = np.lexsort(keys[::-1])
        self._table, self._order = table, order
        self._rank = _dense([key[order] for key in keys])
        self._attempt = keys[_ORDER.index("attempt_id")][order]
        self._fingerprint = _ranks(table["fingerprint"])[order]
        self._identity = together([_codes(table[name])[order] for name in IDENTITY])
        self._pair = together([self._identity, self._fingerprint])
        self._status = _statuses(table["status"])[order]
        self._is_asset = ~_flags(table["master"])[order]

    def taken(self, places: Whole, *names: str) -> pa.Table:
        """Facts of the rows at some places of the order, and more columns."""
        table = self._table.select([*FACTS, *names]).take(pa.array(self._order[places]))
        return table.cast(pa.schema([(name, COLUMNS[name].type) for name in table.column_names]))

    def first_tries(self, status: Status) -> Whole:
        """Of each asset and try the first row that says this of it."""
        where = np.nonzero(self._is_asset & (self._status == _CODES[status]))[0]
        return _firsts(where, [self._pair, self._attempt])

    def first_renders(self) -> Whole:
        """Of each render the first row that says how long it took."""
        key = _codes(self._table["render_key"])[self._order]  # 0 where there is none
        made = np.where(key > 0, key, self._attempt + key.max(initial=0) + 1)
        where = np.nonzero(_flags(pc.is_valid(self._table["seconds"]))[self._order])[0]
        return _firsts(where, [_codes(self._table["render_fingerprint"])[self._order], made])

    def current(self) -> tuple[Whole, Whole]:
        """Of each asset the row that counts, and what it counts as: rules 2 to 4 of `history`."""
        status, pairs = self._status, int(self._pair.max(initial=-1)) + 1
        is_settled = np.isin(status, [_CODES[one] for one in _SETTLED])
        is_lost = np.isin(status, [_CODES[one] for one in _LOST])
        key = _codes(self._table["asset_key"])[self._order]
        place = together([self._identity, key])
        settled = _last(self._pair, is_settled, pairs)
        delivered = _last(self._pair, status == _CODES[Status.DELIVERED], pairs)
        failed = _last(self._pair, status == _CODES[Status.FAILED], pairs)
        named = _last(self._pair, is_settled & (key > 0), pairs)
        gone = _last(place, is_lost & (key > 0), int(place.max(initial=-1)) + 1)
        lost = np.where(named >= 0, _at(gone, _at(place, named)), -1)
        lost = np.where(self._when(delivered) > self._when(lost), -1, lost)
        is_without = (_at(status, settled) == _CODES[Status.DELIVERED]) & (settled >= 0) & (lost >= 0)
        is_failed = (settled < 0) | (is_without & (failed >= 0) & (self._when(failed) > self._when(lost)))
        row = np.where(is_failed, failed, settled)
        counts_as = np.where(is_failed, _CODES[Status.FAILED], _at(status, np.where(is_without, lost, settled)))
        known = np.nonzero(row >= 0)[0]
        known = known[self._is_asset[row[known]]]
        row, counts_as = row[known], counts_as[known]
        order = np.lexsort((self._fingerprint[row], self._rank[row], self._identity[row]))
        identity = self._identity[row][order]
        last = order[np.append(identity[1:] != identity[:-1], True)[: len(order)]]
        return row[last], counts_as[last]

    def _when(self, places: Whole) -> Whole:
        """Where rows stand in history, -1 where there is none."""
        return np.where(places >= 0, _at(self._rank, places), -1)


def _at(values: Whole, places: Whole) -> Whole:
    """Values at some places; whatever where a place is -1."""
    return values[places] if len(values) else np.zeros(len(places), np.int64)


def _last(group: Whole, where: Flags, groups: int) -> Whole:
    """Of each group the last place that is so, -1 where there is none."""
    found = np.full(groups, -1, np.int64)
    places = np.nonzero(where)[0]
    found[group[places]] = places  # of several the last is kept
    return found


def _firsts(where: Whole, keys: Sequence[Whole]) -> Whole:
    """Of some places the first of each key."""
    _, first = np.unique(together([key[where] for key in keys]), return_index=True)
    return where[np.sort(first)]


def together(codes: Sequence[Whole]) -> Whole:
    """One number from 0 for each combination of several."""
    found = codes[0]
    for code in codes[1:]:
        found = np.unique(found * (code.max(initial=0) + 1) + code, return_inverse=True)[1].astype(np.int64)
    return found


def _dense(keys: Sequence[Whole]) -> Whole:
    """Numbers of sorted keys: equal ones have one."""
    steps = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        steps[1:] |= key[1:] != key[:-1]
    return np.cumsum(steps)


def _codes(column: pa.ChunkedArray) -> Whole:
    """A number from 1 for each text, 0 for none."""
    return _encoded(column)[0]


def _ranks(column: pa.ChunkedArray) -> Whole:
    """Numbers in the order of the values."""
    if pa.types.is_timestamp(column.type):
        return _numbers(column.cast(pa.int64()))
    if pa.types.is_integer(column.type):
        return _numbers(column)
    codes, values = _encoded(column)
    ranks = np.zeros(len(values) + 1, np.int64)
    ranks[pc.sort_indices(values).to_numpy() + 1] = np.arange(1, len(values) + 1)
    return np.asarray(ranks[codes])


def _encoded(column: pa.ChunkedArray) -> tuple[Whole, pa.Array]:
    if not pa.types.is_dictionary(column.type):
        # As one: of a column in chunks each would get the whole dictionary.
        encoded = column.cast(pa.large_string()).combine_chunks().dictionary_encode()
        return np.asarray(encoded.indices.fill_null(-1).to_numpy(), np.int64) + 1, encoded.dictionary
    if not column.num_chunks:
        return np.zeros(0, np.int64), pa.array([], pa.string())
    column = column.unify_dictionaries()
    parts = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(parts).astype(np.int64) + 1, column.chunk(0).dictionary


def _numbers(column: pa.ChunkedArray) -> Whole:
    return np.asarray(column.to_numpy(), np.int64)


def _flags(column: Any) -> Flags:
    return np.asarray(column.to_numpy(), np.bool_)


def _statuses(column: pa.ChunkedArray) -> Whole:
    codes, values = _encoded(column)
    known = np.array([0, *(_CODES[name] for name in values.to_pylist())], np.int64)
    return np.asarray(known[codes])
