"""The pictures of a campaign against the others of their shot, brand and channel; and what is to be taken again."""

from __future__ import annotations

import io
import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from PIL import Image

from catalogs.assets.commits import Status, rows_of
from catalogs.assets.history import read_current
from catalogs.assets.takes import Verdict
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row
from catalogs.identity import thumbnail_key
from catalogs.storage.store import Store
from inference.quality.duplicates import ALIKE_UP_TO, Mark, distance, mark_of
from inference.quality.outliers import LEAST_SET, NUMBERS, outliers
from tasks.review import Said, say_of
from tasks.unread import naming

READERS = 8
_LOOKED_AT = ["status", "kind", "verdict", "brand_id", "shot", "channel", "quality"]


@dataclass(frozen=True)
class Apart:
    """A picture that stands apart from its set.

    Attributes:
        why: each trait in words.
    """

    product_id: str
    title: str
    asset_key: str
    render_fingerprint: str
    take: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class PictureSet:
    """The pictures of one shot, brand and channel.

    Attributes:
        pictures: those whose numbers are known.
    """

    brand_id: str
    shot: str
    channel: str
    pictures: int
    apart: tuple[Apart, ...] = ()


@dataclass
class Sets:
    """All sets of a campaign, and what of them cannot be judged.

    Attributes:
        alike: pictures that are nearly the same as an earlier variation of theirs.
        small: sets of fewer pictures than tell an outlier.
        unmeasured: pictures without numbers: made without `quality:`.
    """

    sets: list[PictureSet] = field(default_factory=list)
    alike: list[Apart] = field(default_factory=list)
    small: int = 0
    unmeasured: int = 0

    @property
    def apart(self) -> list[Apart]:
        """Each picture that stands apart once, whatever the number of its channels."""
        return _once(one for each in self.sets for one in each.apart)


def _once(pictures: Iterable[Apart]) -> list[Apart]:
    return list({one.render_fingerprint: one for one in pictures}.values())


@dataclass
class _Measured:
    """The pictures of a set whose numbers are known: their places in a table, and their numbers one after another."""

    places: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[float] = field(default_factory=lambda: array("d"))

    def apart(self) -> dict[int, tuple[str, ...]]:
        """Why pictures stand apart, by their places."""
        why: dict[int, list[str]] = defaultdict(list)
        for outlier in outliers(np.array(self.numbers).reshape(-1, len(NUMBERS))):
            why[self.places[outlier.place]].append(str(outlier))
        return {place: tuple(said) for place, said in why.items()}


SetName = tuple[str, str, str]


def _measured(table: pa.Table) -> tuple[dict[SetName, _Measured], int]:
    """The sets of a current view by brand, shot and channel, and how many pictures have no numbers."""
    found: dict[SetName, _Measured] = defaultdict(_Measured)
    unmeasured = 0
    for place, row in enumerate(rows_of(table.select(_LOOKED_AT))):
        if not _is_judged(row):
            continue
        numbers = dict(row["quality"] or {})
        if numbers.keys().isdisjoint(NUMBERS):
            unmeasured += 1
            continue
        one = found[row["brand_id"], row["shot"], row["channel"]]
        one.places.append(place)
        one.numbers.extend(numbers.get(name, math.nan) for name in NUMBERS)
    return found, unmeasured


def apart_in(table: pa.Table) -> dict[int, tuple[str, ...]]:
    """Why delivered pictures of a current view stand apart from their sets, by their places in it; proofs do not."""
    sets, _ = _measured(table)
    return {place: why for one in sets.values() for place, why in one.apart().items()}


def judge_sets(campaign: Campaign, store: Store) -> Sets:
    """Which delivered pictures of a campaign stand apart from their sets; proofs are none.

    Raises:
        UnreadCommit: a commit cannot be read.
    """
    with naming(campaign.source):
        table = read_current(store, campaign.name)
    found = Sets()
    sets, found.unmeasured = _measured(table)
    for (brand, shot, channel), one in sorted(sets.items()):
        found.small += len(one.places) < LEAST_SET
        apart = [(table.slice(place, 1).to_pylist()[0], why) for place, why in one.apart().items()]
        apart.sort(key=lambda each: (each[0]["look"], each[0]["variation"]))
        found.sets.append(PictureSet(brand, shot, channel, len(one.places), tuple(_told(*each) for each in apart)))
    found.alike = _once(_alike(store, filter(_is_judged, rows_of(table))))
    return found


def _is_judged(row: Row) -> bool:
    return row["status"] == Status.DELIVERED and row["kind"] == "render" and row["verdict"] != Verdict.REJECTED


def _told(row: Row, why: tuple[str, ...]) -> Apart:
    names = (row["product_id"] or row["look"], row["title"] or "")
    return Apart(*names, str(row["asset_key"]), row["render_fingerprint"], row["take"], why)


def _alike(store: Store, rows: Iterable[Row]) -> Iterator[Apart]:
    """Pictures that show what an earlier variation shows, by the small pictures of both."""
    specs: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        specs[row["brand_id"], row["look"], row["shot"], row["channel"]].append(row)
    with ThreadPoolExecutor(READERS) as pool:
        for variations in specs.values():
            if len(variations) < 2:
                continue
            variations.sort(key=lambda row: row["variation"])
            marks = list(pool.map(lambda row: _mark(store, row), variations))
            for place, (row, mark) in enumerate(zip(variations, marks, strict=True)):
                twin = next((at for at in range(place) if _are_alike(marks[at], mark)), None)
                if twin is not None:
                    said = f"variation {row['variation']} is nearly the same as {variations[twin]['variation']}"
                    yield _told(row, (said,))


def _mark(store: Store, row: Row) -> Mark | None:
    """None where the small picture is gone."""
    data = store.read_or_none(thumbnail_key(str(row["sha256"])))
    if data is None:
        return None
    with Image.open(io.BytesIO(data)) as image:
        return mark_of(image.convert("RGB"))


def _are_alike(one: Mark | None, other: Mark | None) -> bool:
    return one is not None and other is not None and distance(one, other) <= ALIKE_UP_TO


def retake(campaign: Campaign, store: Store, apart: Sequence[Apart]) -> int:
    """Reject pictures as a person does, so that the next plan asks for another take of each. Returns how many rows.

    Raises:
        UnreadCommit: a commit cannot be read; nothing was written.
    """
    apart_from = {one.render_fingerprint: f"apart from its set: {', '.join(one.why)}" for one in apart}
    return say_of(campaign, store, {one: Said(Verdict.REJECTED, why) for one, why in apart_from.items()})
