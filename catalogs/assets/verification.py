"""Whether the store holds what the asset catalog says it holds.

    verifies/<run_id>.json      a look at everything: when, what it had read of the record, what it found

By listings and not by a request a file; a deep look reads and hashes. Nothing is changed here: what a look finds is
committed by `catalogs.plans.restate`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from catalogs.assets.commits import CATALOG, Pair, identity_of, pair_of, read_commits, rows_of
from catalogs.assets.history import History
from catalogs.assets.orders import ORDER_COLUMNS, order_of
from catalogs.assets.starts import latest_start
from catalogs.columns import Row, with_identity
from catalogs.storage.store import MissingKey, Store

VERIFIES = "verifies"
ALARM_SHARE, ALARM_LEAST = 0.05, 20
_FEW, _READERS = 1_000, 16
_LATE_COMMITS = timedelta(days=1)  # what a run may take, and clocks may differ by
GONE = "the file is gone"
_COLUMNS = with_identity("fingerprint", "asset_key", "render_key", "sha256", "bytes", *ORDER_COLUMNS)


@dataclass(frozen=True, slots=True)
class Named:
    """A file that the current view names.

    Attributes:
        bytes: its size, None where the record does not say.
        is_missing: the record says that it is gone.
    """

    pair: Pair
    key: str
    sha256: str | None
    bytes: int | None
    master: str | None
    is_missing: bool


@dataclass
class Findings:
    """What a look found.

    Attributes:
        named: files that the record says are there.
        absent: those that are not, or are not what was written, and why, by (identity, fingerprint).
        found: files that the record calls missing and that are there and whole.
        masters_gone: masters without a row of their own that are not there; plans see that by themselves.
        prefixes_gone: folders of which nothing at all is left.
    """

    named: int = 0
    absent: dict[Pair, str] = field(default_factory=dict)
    found: list[Pair] = field(default_factory=list)
    masters_gone: int = 0
    prefixes_gone: list[str] = field(default_factory=list)

    @property
    def is_alarming(self) -> bool:
        """Whether so much is gone that a folder or bucket that is not mounted is likelier than a loss."""
        many = len(self.absent) >= ALARM_LEAST and len(self.absent) > ALARM_SHARE * self.named
        return many or bool(self.prefixes_gone)


def current_files(store: Store, history: History, since: datetime | None = None) -> Iterator[Named]:
    """The files of what counts as delivered.

    Args:
        since: only of rows that came into the record after this moment.
    """
    for table in read_commits(store, _COLUMNS, None if since is None else _keys_since(store, since)):
        for row in rows_of(table):
            order = order_of(row)
            if since is not None and max(order[0], order[3]) <= since:
                continue
            current = history.current(identity_of(row).digest())
            if current and current[1].stands and current[1].order == order and row["asset_key"]:
                yield _named(row, is_missing=not current[1].is_delivered)


def _keys_since(store: Store, since: datetime) -> list[str]:
    """Commits that may hold rows of after a moment: by the names of their starts, generously by the store's clock."""
    found = []
    for key, entry in store.list(CATALOG).items():
        start = latest_start([key.split("/")[1]])
        is_late = start is None or start > since or entry.modified > since - _LATE_COMMITS
        if is_late and key.endswith(".parquet"):
            found.append(key)
    return found


def _named(row: Row, is_missing: bool) -> Named:
    return Named(pair_of(row), str(row["asset_key"]), row["sha256"], row["bytes"], row["render_key"], is_missing)


def look(store: Store, campaign: str, files: Sequence[Named], deep: bool = False, by_listing: bool = False) -> Findings:
    """Compare files that the record names with the store.

    Args:
        deep: also read and hash each.
        by_listing: list, also where to ask for each would be less: a look at everything.

    Raises:
        StorageError: the store could not be listed or read; then nothing is known.
    """
    findings = Findings(named=sum(not file.is_missing for file in files))
    keys = {key for file in files for key in (file.key, file.master) if key}
    sizes = stored_sizes(store, campaign, keys, by_listing)
    wrong = {file.pair: why for file in files if (why := _problem(file, sizes))}
    unread = [file for file in files if file.pair not in wrong and (deep or file.is_missing)]
    with ThreadPoolExecutor(_READERS) as pool:
        for file, why in zip(unread, pool.map(lambda file: _content_problem(store, file), unread), strict=True):
            if why:
                wrong[file.pair] = why
    findings.absent = {file.pair: wrong[file.pair] for file in files if file.pair in wrong and not file.is_missing}
    findings.found = [file.pair for file in files if file.pair not in wrong and file.is_missing]
    masters = {file.master for file in files if file.master} - {file.key for file in files}
    findings.masters_gone = sum(key not in sizes for key in masters)
    findings.prefixes_gone = list(_prefixes_gone(store, campaign, files, findings))
    return findings


def stored_sizes(store: Store, campaign: str, keys: Collection[str], by_listing: bool = False) -> Mapping[str, int]:
    """Sizes of the files of a campaign that are there: by listings, or one by one where they are few."""
    if len(keys) <= _FEW and not by_listing:
        return _sizes_of(store, keys)
    return {
        key: entry.size
        for folder in (f"assets/{campaign}", "renders")
        for key, entry in store.list(folder).items()
        if key in keys
    }


def _sizes_of(store: Store, keys: Iterable[str]) -> dict[str, int]:
    wanted = sorted(keys)
    with ThreadPoolExecutor(_READERS) as pool:
        found = zip(wanted, pool.map(lambda key: _size_or_none(store, key), wanted), strict=True)
        return {key: size for key, size in found if size is not None}


def _size_or_none(store: Store, key: str) -> int | None:
    try:
        return store.stat(key).size
    except MissingKey:
        return None


def _problem(file: Named, sizes: Mapping[str, int]) -> str:
    if file.key not in sizes:
        return GONE
    if file.bytes is not None and sizes[file.key] != file.bytes:
        return f"the file has {sizes[file.key]} bytes instead of {file.bytes}"
    return ""


def _content_problem(store: Store, file: Named) -> str:
    try:
        data = store.read(file.key)
    except MissingKey:
        return GONE
    return "" if hashlib.sha256(data).hexdigest() == file.sha256 else "the file is not what was written"


def _prefixes_gone(store: Store, campaign: str, files: Sequence[Named], findings: Findings) -> Iterator[str]:
    for prefix in (f"assets/{campaign}", "renders"):
        named = [file for file in files if file.key.startswith(f"{prefix}/") and not file.is_missing]
        if named and all(file.pair in findings.absent for file in named) and not store.list(prefix):
            yield prefix


@dataclass(frozen=True)
class LastVerify:
    """The last look at everything.

    Attributes:
        read: the latest moment that its record named.
        at: when it was made.
    """

    read: datetime
    at: datetime


def record_verify(store: Store, run_id: str, at: datetime, read: datetime, counts: Mapping[str, object]) -> None:
    """Keep that everything was looked at."""
    content = {"run_id": run_id, "at": at.isoformat(), "read": read.isoformat(), **counts}
    store.create(f"{VERIFIES}/{run_id}.json", json.dumps(content, sort_keys=True).encode())


def last_verify(store: Store, campaign: str) -> LastVerify | None:
    """The last look at everything of a campaign; what cannot be read is none."""
    for key in sorted(store.list(VERIFIES), reverse=True):
        try:
            content = json.loads(store.read(key))
            if content["campaign"] == campaign:
                return LastVerify(datetime.fromisoformat(content["read"]), datetime.fromisoformat(content["at"]))
        except (ValueError, TypeError, KeyError):
            continue
    return None
