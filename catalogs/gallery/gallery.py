"""The gallery of a campaign: static files that open from a disk or a bucket, with no server and no network.

A document of a file:// address cannot fetch, so the data is JavaScript files that the gallery loads by <script>:

    runs/<run_id>/report/index.html        the gallery, its style and script inline, the facets and counts
    runs/<run_id>/report/data-0001.js      what the cards, filters and sorting of 2,000 assets need
    runs/<run_id>/report/details-0001.js   everything else about 100 assets, their takes too; loaded when one is opened
    runs/<run_id>/report/left-out.js       catalog rows that the run left out, and why; loaded when they are asked for

Whatever comes from a catalog is data: JSON that holds no character HTML could act on, shown as text only,
under a content security policy that runs one script, known by its hash.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from catalogs.columns import ReferenceRow, Row, value_of
from catalogs.errors import PackshotError
from catalogs.gallery.data import FACETS, cards, details, photo_of, takes, text, thumbnail
from catalogs.gallery.page import index_page, script_json
from catalogs.identity import run_key, thumbnail_key
from catalogs.storage.store import Store

PAGE_SIZE = 2000
DETAILS_SIZE = 100
THREADS = 8
LEFT_OUT_LISTED = 1000
PHOTOS_A_GALLERY = 2000  # small pictures of photos that one gallery makes; the next makes more
PHOTOS_AT_ONCE = 2  # as a camera made them: a hundred megapixels are half a gigabyte while they are made small
MakeThumbnail = Callable[[bytes], bytes]
ShowPhoto = Callable[[ReferenceRow], bytes]
AttemptsOf = Callable[[Row], Sequence[Row]]


@dataclass
class NotMade:
    """Catalog rows that were left out: how many of each kind, and the first of them.

    Attributes:
        rows: of each a product's title and id, what is wrong, and where it stands.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, code: str, row: dict[str, str]) -> None:
        """Count a row, and keep it while there is room."""
        self.kinds[code] += 1
        if len(self.rows) < LEFT_OUT_LISTED:
            self.rows.append({"code": code, **row})


def write_gallery(
    store: Store,
    run_id: str,
    campaign: str,
    rows: Iterable[Row],
    *,
    title: str = "",
    details: Mapping[str, object] | None = None,
    make_thumbnail: MakeThumbnail | None = None,
    show_photo: ShowPhoto | None = None,
    left_out: NotMade | None = None,
    attempts_of: AttemptsOf | None = None,
) -> str:
    """Write the gallery of some rows of the asset catalog; returns the key of its index.html.

    Rows are read once and in order, at most 2,000 of them are held. index.html is written last, so that it
    never names a data file that is not there.

    Args:
        title: heading of the gallery, the campaign where "".
        details: what else the heading says, label to value.
        make_thumbnail: from the bytes of an asset to those of a small WebP; makes the thumbnails that are
            missing. Without it, and where it fails, the card shows the asset itself.
        show_photo: from a reference to a small WebP of its photo; without it, and where it fails, there is none.
        left_out: what the newest plan left out.
        attempts_of: from a row to those of all takes of its request, where there are several; see `data.takes`.

    Raises:
        StorageError: the store did not take a file.
    """
    gallery = _Gallery(store, run_key(run_id, "report"), make_thumbnail, show_photo, attempts_of or _no_attempts)
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in _batches(rows, PAGE_SIZE):
            gallery.add(batch, pool)
    gallery.list_left_out(left_out or NotMade())
    facts = {
        "campaign": campaign,
        "title": title or campaign,
        "run_id": run_id,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "about": [[str(label), str(value)] for label, value in (details or {}).items()],
        "left_out": (left_out or NotMade()).kinds.most_common(),
        **gallery.facts(),
    }
    return gallery.finish(index_page(facts))


@dataclass
class _Gallery:
    """A gallery while it is written."""

    store: Store
    folder: str
    make_thumbnail: MakeThumbnail | None
    show_photo: ShowPhoto | None
    attempts_of: AttemptsOf
    count: int = 0
    scored: int = 0
    photos: set[str] = field(default_factory=set)
    thumbnails: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    facets: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in FACETS})

    def __post_init__(self) -> None:
        self.thumbnails.update(self.store.list("thumbs"))

    def add(self, batch: Sequence[Row], pool: ThreadPoolExecutor) -> None:
        """Write the data files of PAGE_SIZE rows; only the last batch may be shorter."""
        self._fill_thumbnails(batch, pool)
        self._fill_photos(batch, pool)
        for name, counter in self.facets.items():
            counter.update(text(value_of(row, name)) for row in batch)
        shown = cards(batch, self.thumbnails)
        self.scored += sum(score is not None for score in shown.get("score", ()))
        parts: dict[str, Any] = {f"data-{self.count // PAGE_SIZE + 1:04d}": shown}
        for start in range(0, len(batch), DETAILS_SIZE):
            number = (self.count + start) // DETAILS_SIZE + 1
            parts[f"details-{number:04d}"] = [self._details(row) for row in batch[start : start + DETAILS_SIZE]]
        self.count += len(batch)
        for key in pool.map(self._write_data, parts.items()):
            self.written.add(key)

    def _details(self, row: Row) -> dict[str, Any]:
        return details(row, self.thumbnails) | takes(row, self.attempts_of(row), self.thumbnails)

    def list_left_out(self, left_out: NotMade) -> None:
        """Write what was left out, where anything was."""
        if left_out.rows:
            self.written.add(self._write_data(("left-out", left_out.rows)))

    def facts(self) -> dict[str, Any]:
        """What the gallery knows before it loads data."""
        return {
            "count": self.count,
            "scored": self.scored,
            "page_size": PAGE_SIZE,
            "details_size": DETAILS_SIZE,
            "facets": {name: sorted(counter.items()) for name, counter in self.facets.items()},
            "root": "../" * (self.folder.count("/") + 1),
            # A browser must not mix the data of an earlier gallery of this run with this one.
            "stamp": uuid.uuid4().hex[:12],
        }

    def finish(self, index: str) -> str:
        """Write index.html, then delete data files that an earlier, larger gallery left."""
        key = f"{self.folder}/index.html"
        self.store.write(key, index.encode(), "text/html; charset=utf-8")
        self.store.delete(set(self.store.list(self.folder)) - self.written - {key})
        return key

    def _write_data(self, part: tuple[str, Any]) -> str:
        name, data = part
        key = f"{self.folder}/{name}.js"
        script = f"packshotData({script_json(name)},{script_json(data)});\n"
        self.store.write(key, script.encode(), "text/javascript; charset=utf-8")
        return key

    def _fill_thumbnails(self, batch: Sequence[Row], pool: ThreadPoolExecutor) -> None:
        if self.make_thumbnail is None:
            return
        missing = {
            key: row["asset_key"]
            for row in batch
            if row.get("asset_key") and (key := thumbnail(row)) and key not in self.thumbnails
        }
        self.thumbnails.update(filter(None, pool.map(self._make_thumbnail, missing.items())))

    def _fill_photos(self, batch: Sequence[Row], pool: ThreadPoolExecutor) -> None:
        """Small pictures of the photos behind a batch; each photo is tried once a gallery."""
        if self.show_photo is None:
            return
        missing: dict[str, ReferenceRow] = {}
        for photo in filter(None, map(photo_of, batch)):
            key = thumbnail_key(photo["sha256"])
            if key not in self.thumbnails and key not in self.photos:
                missing.setdefault(key, photo)
        wanted = dict(islice(missing.items(), max(0, PHOTOS_A_GALLERY - len(self.photos))))
        self.photos.update(wanted)
        items = list(wanted.items())
        for start in range(0, len(items), PHOTOS_AT_ONCE):
            some = items[start : start + PHOTOS_AT_ONCE]
            self.thumbnails.update(filter(None, pool.map(self._show_photo, some)))

    def _show_photo(self, item: tuple[str, ReferenceRow]) -> str | None:
        assert self.show_photo is not None
        key, photo = item
        try:
            small = self.show_photo(photo)
        except (PackshotError, OSError, ValueError):
            return None  # it may have left since, and the picture is there all the same
        self.store.write(key, small, "image/webp")
        return key

    def _make_thumbnail(self, item: tuple[str, str]) -> str | None:
        assert self.make_thumbnail is not None
        key, asset = item
        try:
            small = self.make_thumbnail(self.store.read(asset))
        except (PackshotError, OSError, ValueError):
            return None  # one picture that is gone or broken must not cost the whole gallery
        self.store.write(key, small, "image/webp")
        return key


def _no_attempts(row: Row) -> Sequence[Row]:
    return ()


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch
