"""The gallery of a campaign: static files that open from a disk or a bucket, with no server and no network.

A document of a file:// address cannot fetch, so the data is JavaScript files that the gallery loads by <script>:

    runs/<run_id>/report/index.html        the gallery, its style and script inline, the facets and counts
    runs/<run_id>/report/data-0001.js      what the cards, filters and sorting of 2,000 assets need
    runs/<run_id>/report/details-0001.js   everything else about 100 assets, loaded when one is opened

Whatever comes from a catalog is data: JSON that holds no character HTML could act on, shown as text only,
under a content security policy that runs one script, known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.resources import files
from itertools import islice
from typing import Any

from catalogs.errors import PackshotError
from catalogs.identity import thumbnail_key
from catalogs.storage.store import Store

PAGE_SIZE = 2000
DETAILS_SIZE = 100
THREADS = 8
FACETS = ("brand_id", "shot", "channel", "status", "kind")

_EXACT = 2**53  # larger integers lose digits in JavaScript
_CODED = (*FACETS, "reason", "format")
_UNSAFE = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})
_DETAILS = (
    "campaign",
    "product_id",
    "look",
    "covers",
    "take",
    "attempts",
    "detail",
    "asset_key",
    "render_key",
    "render_fingerprint",
    "fingerprint",
    "sha256",
    "pixel_sha256",
    "prompt",
    "references",
    "engine",
    "model",
    "model_revision",
    "seed",
    "steps",
    "guidance",
    "batch_size",
    "seconds",
    "cost",
    "ai_label_required",
    "has_person",
    "run_id",
    "created_at",
)
_PAIRS = ("quality", "versions")
# In this order every `const` is defined before code that runs at once uses it.
_SCRIPTS = ("dom", "data", "words", "view", "filters", "grid", "details", "dialog", "messages", "start")

Row = Mapping[str, Any]
MakeThumbnail = Callable[[bytes], bytes]


def write_gallery(
    store: Store,
    run_id: str,
    campaign: str,
    rows: Iterable[Row],
    *,
    title: str = "",
    details: Mapping[str, object] | None = None,
    make_thumbnail: MakeThumbnail | None = None,
) -> str:
    """Write the gallery of some rows of the asset catalog; returns the key of its index.html.

    Rows are read once and in order, at most 2,000 of them are held. index.html is written last, so that it
    never names a data file that is not there.

    Args:
        title: heading of the gallery, the campaign where "".
        details: what else the heading says, label to value.
        make_thumbnail: from the bytes of an asset to those of a small WebP; makes the thumbnails that are
            missing. Without it, and where it fails, the card shows the asset itself.

    Raises:
        StorageError: the store did not take a file.
    """
    gallery = _Gallery(store, f"runs/{run_id}/report", make_thumbnail)
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in _batches(rows, PAGE_SIZE):
            gallery.add(batch, pool)
    facts = {
        "campaign": campaign,
        "title": title or campaign,
        "run_id": run_id,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "about": [[str(label), str(value)] for label, value in (details or {}).items()],
        **gallery.facts(),
    }
    return gallery.finish(_index(facts))


@dataclass
class _Gallery:
    """A gallery while it is written."""

    store: Store
    folder: str
    make_thumbnail: MakeThumbnail | None
    count: int = 0
    thumbnails: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    facets: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in FACETS})

    def __post_init__(self) -> None:
        self.thumbnails.update(self.store.list("thumbs"))

    def add(self, batch: Sequence[Row], pool: ThreadPoolExecutor) -> None:
        """Write the data files of PAGE_SIZE rows; only the last batch may be shorter."""
        self._fill_thumbnails(batch, pool)
        for name, counter in self.facets.items():
            counter.update(_text(row.get(name)) for row in batch)
        parts: dict[str, Any] = {f"data-{self.count // PAGE_SIZE + 1:04d}": _cards(batch, self.thumbnails)}
        for start in range(0, len(batch), DETAILS_SIZE):
            number = (self.count + start) // DETAILS_SIZE + 1
            parts[f"details-{number:04d}"] = [_details(row) for row in batch[start : start + DETAILS_SIZE]]
        self.count += len(batch)
        for key in pool.map(self._write_data, parts.items()):
            self.written.add(key)

    def facts(self) -> dict[str, Any]:
        """What the gallery knows before it loads data."""
        return {
            "count": self.count,
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
        script = f"packshotData({_json(name)},{_json(data)});\n"
        self.store.write(key, script.encode(), "text/javascript; charset=utf-8")
        return key

    def _fill_thumbnails(self, batch: Sequence[Row], pool: ThreadPoolExecutor) -> None:
        if self.make_thumbnail is None:
            return
        missing = {
            key: row["asset_key"]
            for row in batch
            if row.get("asset_key") and (key := _thumbnail(row)) and key not in self.thumbnails
        }
        self.thumbnails.update(filter(None, pool.map(self._make_thumbnail, missing.items())))

    def _make_thumbnail(self, item: tuple[str, str]) -> str | None:
        assert self.make_thumbnail is not None
        key, asset = item
        try:
            small = self.make_thumbnail(self.store.read(asset))
        except (PackshotError, OSError, ValueError):
            return None  # one picture that is gone or broken must not cost the whole gallery
        self.store.write(key, small, "image/webp")
        return key


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


def _cards(batch: Sequence[Row], thumbnails: set[str]) -> dict[str, Any]:
    """A batch column by column; texts that repeat are written once and named by their position."""
    thumbs = [key if (key := _thumbnail(row)) in thumbnails else "" for row in batch]
    unseen = ((place, row) for place, (row, key) in enumerate(zip(batch, thumbs, strict=True)) if not key)
    return {
        "coded": {name: _coded(_text(row.get(name)) for row in batch) for name in _CODED},
        "look": _coded(_look(row) for row in batch),
        "size": _coded((row.get("width") or 0, row.get("height") or 0) for row in batch),
        "variation": [row.get("variation") or 0 for row in batch],
        "bytes": [row.get("bytes") or 0 for row in batch],
        "created": [_seconds(row.get("created_at")) for row in batch],
        "fingerprint": [_text(row.get("fingerprint"))[:16] for row in batch],
        "thumb": [key.removeprefix("thumbs/") for key in thumbs],
        "asset": [[place, row["asset_key"]] for place, row in unseen if row.get("asset_key")],
        "detail": [[place, _text(row["detail"])[:160]] for place, row in enumerate(batch) if row.get("detail")],
    }


def _coded(values: Iterable[Any]) -> dict[str, list[Any]]:
    codes: dict[Any, int] = {}
    column = [codes.setdefault(value, len(codes)) for value in values]
    return {"values": list(codes), "codes": column}


def _look(row: Row) -> tuple[str, ...]:
    """Product, look and the covered products: what the search looks into."""
    look = _text(row.get("look"))
    covers = tuple(map(_text, row.get("covers") or ()))
    return (_text(row.get("product_id")) or (covers[0] if covers else look), look, *covers)


def _details(row: Row) -> dict[str, Any]:
    shown = {name: _plain(row.get(name)) for name in _DETAILS}
    # Pairs, since "__proto__" as a key of a JavaScript literal is no key.
    shown |= {name: [[_text(key), _plain(value)] for key, value in _pairs(row.get(name))] for name in _PAIRS}
    used = row.get("prompt_used")
    return {**shown, "prompt_used": used if used != row.get("prompt") else None}


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    """The items of a map, which pyarrow gives as pairs and others as a dict."""
    return list(value.items()) if isinstance(value, Mapping) else list(value or ())


def _plain(value: Any) -> Any:
    """A value as the gallery can show it: no NaN, no integer beyond 2**53, times in ISO 8601."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _seconds(value: Any) -> int:
    """Unix time of a row's `created_at`, 0 when it has none."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return int(value.timestamp()) if isinstance(value, datetime) else 0


def _thumbnail(row: Row) -> str:
    return thumbnail_key(row["sha256"]) if row.get("sha256") else ""


def _json(value: Any) -> str:
    """Compact ASCII JSON that is also a JavaScript literal and cannot end a <script>."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_UNSAFE)


def _index(facts: Mapping[str, Any]) -> str:
    """index.html: the template with its style, its script and what it knows."""
    style, script = _asset("page.css"), _script()
    # 'strict-dynamic': the one script known by its hash may load data files, nothing else runs. 'self' and
    # file: are for browsers that do not know it; a file:// address is of no origin, so 'self' is not enough.
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}' 'strict-dynamic' 'self' file:; "
        f"style-src '{_hash(style)}'; img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
    filling = {
        "policy": policy,
        "title": html.escape(f"{facts['title']} - packshot report"),
        "style": style,
        "script": script,
        "report": _json(facts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filling[found[1]], _asset("page.html"))


def _script() -> str:
    # One function around all files: they share their names with each other and with nothing outside of it,
    # and the policy needs one hash only.
    joined = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{joined}}})();\n'


def _asset(name: str) -> str:
    return files("catalogs.gallery").joinpath(name).read_text("utf-8")


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
