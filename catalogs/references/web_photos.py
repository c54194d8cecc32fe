"""Photos on web servers: fetched once into the output, and read there from then on."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from typing import Protocol, Self

from catalogs.errors import PackshotError, ReferenceImageError
from catalogs.identity import PHOTOS, photo_prefix
from catalogs.references.fetch_records import FetchRecords, PhotoRecord
from catalogs.references.memory import FILES
from catalogs.references.pictures import BadPicture, measure, too_large
from catalogs.references.probes import ReferenceProbe
from catalogs.references.problems import ChangedReference, InvalidReference, MissingReference, UnreachableReference
from catalogs.storage.store import MissingKey, Store
from catalogs.storage.web_urls import BadUrl, Hosts, WebUrl

_A_FILE = 256  # records
_EVERY_SECONDS = 20.0
_HELD = 16 * 2**20  # bytes, while nobody knows how long an answer will be
_EXTENSIONS = {"JPEG": "jpg", "TIFF": "tif"}
_STAND_IN = 4096  # pixels a side: no doubt is told of a photo that nobody has seen


class Content(Protocol):
    """`catalogs.references.fetching.Fetched`."""

    @property
    def data(self) -> bytes: ...
    @property
    def etag(self) -> str: ...
    @property
    def last_modified(self) -> str: ...


class Fetches(Protocol):
    """`catalogs.references.fetching.Fetcher`, which needs a library that not all who read photos have."""

    def fetch(self, url: str, etag: str = "", last_modified: str = "") -> Content | None: ...
    def close(self) -> None: ...


class Missing(Enum):
    """What becomes of a photo that was not fetched yet."""

    FETCH = "fetch"
    REFUSE = "refuse"
    COUNT = "count"  # something stands in for it


@dataclass
class Counts:
    """What became of the URLs that were asked for.

    Attributes:
        known: needed no server.
        fetched: bytes came.
        changed: of those, other bytes than before.
        unchanged: looked at again, and the same.
        failed: by what went wrong.
        bytes: that came.
        not_fetched: counted only.
    """

    known: int = 0
    fetched: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: int = 0
    bytes: int = 0
    not_fetched: int = 0
    first_not_fetched: str = ""


@dataclass
class WebPhotos:
    """The photos of an output's URLs; threads may share it. As a context it keeps records at its end.

    Attributes:
        hosts: those a campaign lists; a known photo of another is refused too.
        max_pixels: larger ones are refused before they are decoded.
        missing: what becomes of those that are not there yet.
        fetcher: made at the first photo that must be fetched.
        name: a name for a file of records, later than the given ones.
        refresh: ask again for what is known.
    """

    store: Store
    hosts: Hosts
    max_pixels: int
    missing: Missing = Missing.REFUSE
    fetcher: Callable[[], Fetches] | None = None
    name: Callable[[Iterable[str]], str] | None = None
    refresh: bool = False
    counts: Counts = field(default_factory=Counts)
    _pending: list[PhotoRecord] = field(default_factory=list)
    _kept_at: float = field(default_factory=time.monotonic)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _fetcher: Fetches | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if self._fetcher is not None:
            self._fetcher.close()
        if failure is None:
            self.keep()
            return
        with suppress(PackshotError):  # it would hide what went wrong
            self.keep()

    def probe(self, url: str) -> ReferenceProbe:
        """Measure the photo of a URL, fetched where it has to be.

        Raises:
            ReferenceImageError: it may not be asked for, cannot be had, or is no picture that can be used.
            StorageError: the output does not answer.
        """
        self.refuse_host(url)
        record = self.known(url)
        if self.missing is Missing.FETCH and (record is None or self.refresh):
            record = self._asked(url, record)
        elif record is not None:
            with self._lock:
                self.counts.known += 1
        if record is None:
            return self._instead(url)
        if record.width * record.height > self.max_pixels:
            bad = too_large(f"{record.width} x {record.height} pixels", self.max_pixels)
            raise InvalidReference(url, "", bad.problem, bad.fix)
        size = (record.width, record.height)
        return ReferenceProbe(url, record.sha256, *size, record.format, record.mode, record.is_clear, record.is_blank)

    def refuse_host(self, url: str) -> None:
        """Raises InvalidReference for a URL that is none, or of a host that is not listed."""
        try:
            refusal = self.hosts.refusal(WebUrl.of(url))
        except BadUrl as bad:
            raise InvalidReference(url, "", bad.problem, bad.fix) from None
        if refusal:
            raise InvalidReference(url, "", *refusal)

    def known(self, url: str) -> PhotoRecord | None:
        """The record of a URL whose bytes are there."""
        with self._lock:
            record = self.records.latest.get(url)
            return record if record is not None and record.key in self._stored else None

    @cached_property
    def records(self) -> FetchRecords:
        """Read when the first photo is asked for."""
        return FetchRecords.read(self.store)

    @property
    def unread(self) -> dict[str, str]:
        """Files of records that could not be read, as far as records were asked for."""
        return self.records.unread if "records" in self.__dict__ else {}

    @cached_property
    def _stored(self) -> set[str]:
        # One listing: to ask for each of a hundred thousand photos would take minutes.
        return set(self.store.list(PHOTOS)) if self.records.latest else set()

    def _instead(self, url: str) -> ReferenceProbe:
        if self.missing is Missing.COUNT:
            with self._lock:
                self.counts.not_fetched += 1
                self.counts.first_not_fetched = self.counts.first_not_fetched or url
            return ReferenceProbe(url, _sha256(url.encode()), _STAND_IN, _STAND_IN, "JPEG", "RGB")
        raise UnreachableReference(url, "", "is not fetched yet", "`packshot fetch CAMPAIGN` does it")

    def _asked(self, url: str, before: PhotoRecord | None) -> PhotoRecord:
        try:
            record = self._fetched(url, before)
        except ReferenceImageError:
            with self._lock:
                self.counts.failed += 1
            raise
        with self._lock:
            self.records.latest[url] = record
        return record

    def _fetched(self, url: str, before: PhotoRecord | None) -> PhotoRecord:
        tags = (before.etag, before.last_modified) if before else ("", "")
        with FILES.holding(_HELD):
            content = self._server().fetch(url, *tags)
            if content is None:
                assert before is not None, "a server is asked what has changed only for what is known"
                with self._lock:
                    self.counts.unchanged += 1
                return before
            record = self._measured(url, content)
            # Also where it is there: a sweep passes over what was written a moment ago, see catalogs/assets/masters.py.
            self.store.write(record.key, content.data)
        self._count(record, before)
        return record

    def _measured(self, url: str, content: Content) -> PhotoRecord:
        try:
            found = measure(content.data, self.max_pixels)
        except BadPicture as bad:
            raise InvalidReference(url, "", bad.problem, bad.fix) from None
        extension = _EXTENSIONS.get(found.format, found.format.lower())
        now = datetime.now(UTC)
        tags = (content.etag, content.last_modified, now)
        return PhotoRecord(url, _sha256(content.data), extension, len(content.data), *found, *tags)

    def _count(self, record: PhotoRecord, before: PhotoRecord | None) -> None:
        with self._lock:
            self._stored.add(record.key)
            is_same = before is not None and before.sha256 == record.sha256
            if before is None or replace(record, fetched_at=before.fetched_at) != before:
                self._pending.append(record)
            self.counts.fetched += 1
            self.counts.bytes += record.bytes
            self.counts.unchanged += is_same
            self.counts.changed += before is not None and not is_same
            if len(self._pending) >= _A_FILE or time.monotonic() - self._kept_at > _EVERY_SECONDS:
                self.keep()

    def keep(self) -> None:
        """Write records of what was fetched; raises StorageError."""
        with self._lock:
            rows, self._pending, self._kept_at = self._pending, [], time.monotonic()
            if rows and self.name is not None:
                self.records.append(self.store, self.name(self.records.names), rows)

    def _server(self) -> Fetches:
        with self._lock:
            if self._fetcher is None:
                assert self.fetcher is not None, "who fetches brings a fetcher"
                self._fetcher = self.fetcher()
            return self._fetcher


def stored_photo(store: Store, url: str, sha256: str) -> bytes:
    """The bytes that a URL gave when a plan was made; no server is asked.

    Raises:
        MissingReference: they are gone.
        ChangedReference: they were damaged.
        StorageError: the output does not answer.
    """
    gone = MissingReference(url, "", "the copy in the output is gone", "plan again: it is fetched anew")
    keys = list(store.list_names(photo_prefix(sha256)))
    if not keys:
        raise gone
    try:
        data = store.read(keys[0])
    except MissingKey:
        raise gone from None
    if _sha256(data) != sha256:
        fix = f"delete {store.uri(keys[0])} and plan again: it is fetched anew"
        raise ChangedReference(url, "", "the copy in the output is damaged", fix)
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
