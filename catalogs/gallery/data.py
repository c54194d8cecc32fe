"""Rows of the asset catalog as the data of a gallery: cards by column, and everything else about an asset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime
from typing import Any

from catalogs.columns import ASSETS, ReferenceRow, Row, value_of
from catalogs.identity import thumbnail_key
from catalogs.requests import RENDER_SCHEME

FACETS = ("brand_id", "shot", "channel", "status", "verdict", "kind", "in_set")
IN_SET = "in_set"
"""Key of a row, beside its columns: `APART` where `WHY_APART` says why its picture stands apart from its set."""

APART, WHY_APART = "apart", "why_apart"

LOGO = "logo"
_EXACT = 2**53  # larger integers lose digits in JavaScript
_CODED = (*FACETS, "reason", "format")
_PAIRS = ("quality", "versions")
_NOT_SHOWN = ("final", "shard", "attempt_id")
_DETAILS = [
    name
    for name in ASSETS.names
    if name not in {*_CODED, *_PAIRS, *_NOT_SHOWN, "variation", "bytes", "width", "height", "prompt_used"}
]
"""What a card does not say, or says shortened."""


def cards(batch: Sequence[Row], thumbnails: Set[str]) -> dict[str, Any]:
    """A batch column by column; texts that repeat are written once and named by their position."""
    thumbs = [key if (key := thumbnail(row)) in thumbnails else "" for row in batch]
    unseen = ((place, row) for place, (row, key) in enumerate(zip(batch, thumbs, strict=True)) if not key)
    return {
        "coded": {name: _coded(text(value_of(row, name)) for row in batch) for name in _CODED},
        "render": _coded(text(row.get("render_fingerprint"))[:16] for row in batch),
        "look": _coded(_look(row) for row in batch),
        "photo": _coded(_shown(photo_of(row), thumbnails) for row in batch),
        "size": _coded((row.get("width") or 0, row.get("height") or 0) for row in batch),
        "variation": [row.get("variation") or 0 for row in batch],
        "bytes": [row.get("bytes") or 0 for row in batch],
        "created": [_seconds(row.get("created_at")) for row in batch],
        "fingerprint": [text(row.get("fingerprint"))[:16] for row in batch],
        "thumb": [key.removeprefix("thumbs/") for key in thumbs],
        "asset": [[place, row["asset_key"]] for place, row in unseen if row.get("asset_key")],
        "detail": [[place, text(row["detail"])[:160]] for place, row in enumerate(batch) if row.get("detail")],
        **_scores(batch),
    }


def _scores(batch: Sequence[Row]) -> dict[str, Any]:
    """The scores of a batch in ten thousandths, null for what has none; no column where nothing has one."""
    scores = [_plain(row.get("score")) for row in batch]
    shortened = [None if score is None else round(10_000 * score) for score in scores]
    return {} if all(score is None for score in scores) else {"score": shortened}


def _coded(values: Iterable[Any]) -> dict[str, list[Any]]:
    codes: dict[Any, int] = {}
    column = [codes.setdefault(value, len(codes)) for value in values]
    return {"values": list(codes), "codes": column}


def _look(row: Row) -> tuple[str, ...]:
    """Title, product, look and the covered products: what the search looks into."""
    look = text(row.get("look"))
    covers = tuple(map(text, row.get("covers") or ()))
    return (text(row.get("title")), text(row.get("product_id")) or (covers[0] if covers else look), look, *covers)


def photo_of(row: Row) -> ReferenceRow | None:
    """The first photo of the product that a picture was made from, also where it is another shot's; else any."""
    photos = (*(row.get("references") or ()), *(row.get("upstream_references") or ()))
    found = [photo for photo in photos if photo.get("sha256") and not _is_render(photo)]
    return min(found, key=lambda photo: photo.get("role") == LOGO, default=None)


def _is_render(photo: ReferenceRow) -> bool:
    return text(photo.get("uri")).startswith(RENDER_SCHEME)


def _shown(photo: ReferenceRow | None, thumbnails: Set[str]) -> str:
    """The small picture of a photo, "" where there is none: the photo itself is never linked."""
    key = photo and thumbnail_key(text(photo.get("sha256")))
    return key.removeprefix("thumbs/") if key and key in thumbnails else ""


def details(row: Row, thumbnails: Set[str] = frozenset()) -> dict[str, Any]:
    """Everything else about an asset."""
    shown = {name: _plain(value_of(row, name)) for name in _DETAILS}
    for photo in shown.get("references") or ():
        photo["thumb"] = "" if _is_render(photo) else _shown(photo, thumbnails)
    # Pairs, since "__proto__" as a key of a JavaScript literal is no key.
    shown |= {name: [[text(key), _plain(held)] for key, held in _pairs(value_of(row, name))] for name in _PAIRS}
    shown[WHY_APART] = text(value_of(row, WHY_APART)) or None
    used = row.get("prompt_used")
    return {**shown, "prompt_used": used if used != row.get("prompt") else None}


_OF_TAKE = ("verdict", "score", "status", "reason", "detail", "asset_key")


def takes(row: Row, attempts: Sequence[Row], thumbnails: Set[str]) -> dict[str, Any]:
    """The takes of an asset's request in order, as `takes` where there is more than one; `stands` tells the current.

    Args:
        attempts: all of them as the record has them; of the current one `row` itself is shown.
    """
    current = row.get("take") or 0
    by_take = {attempt.get("take") or 0: attempt for attempt in attempts}
    # A row that says again what stands may lack what was said of it first.
    said = by_take.get(current, {}).get("detail")
    by_take[current] = {**row, "detail": row.get("detail") or said}
    if len(by_take) < 2:
        return {}
    return {"takes": [_take(number, by_take[number], number == current, thumbnails) for number in sorted(by_take)]}


def _take(number: int, row: Row, is_current: bool, thumbnails: Set[str]) -> dict[str, Any]:
    key = thumbnail(row)
    return {
        "take": number,
        "stands": is_current and row.get("status") != "failed",
        "thumb": key.removeprefix("thumbs/") if key in thumbnails else "",
        **{name: _plain(value_of(row, name)) for name in _OF_TAKE},
    }


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


def text(held: Any) -> str:
    """A value as a filter or a search sees it."""
    return "" if held is None else str(held)


def _seconds(value: Any) -> int:
    """Unix time of a row's `created_at`, 0 when it has none."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return int(value.timestamp()) if isinstance(value, datetime) else 0


def thumbnail(row: Row) -> str:
    """Key of an asset's thumbnail, "" for one without a file."""
    sha256 = row.get("sha256")
    return thumbnail_key(sha256) if sha256 else ""
