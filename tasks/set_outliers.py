"""The pictures of a campaign against the others of their shot, brand and channel; and what is to be taken again."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from catalogs.assets.commits import Pair, Status, Step, pair_of
from catalogs.assets.history import History, read_current
from catalogs.assets.starts import new_start
from catalogs.assets.takes import Verdict
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row
from catalogs.identity import thumbnail_key
from catalogs.plans.restate import commit_again
from catalogs.storage.store import Store
from inference.quality.duplicates import ALIKE_UP_TO, Mark, distance, mark_of
from inference.quality.outliers import LEAST_SET, TRAITS, outliers
from tasks.unread import naming

BY_PERSON = "person"
READERS = 8
NUMBERS = tuple(name for names, _ in TRAITS.values() for name in names)


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


def judge_sets(campaign: Campaign, store: Store) -> Sets:
    """Which delivered pictures of a campaign stand apart from their sets; proofs are none.

    Raises:
        UnreadCommit: a commit cannot be read.
    """
    with naming(campaign.source):
        table = read_current(store, campaign.name)
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    found = Sets()
    delivered: list[Row] = [row for row in table.to_pylist() if _is_judged(row)]
    for row in delivered:
        if _traits(row):
            groups[row["brand_id"], row["shot"], row["channel"]].append(row)
        else:
            found.unmeasured += 1
    for (brand, shot, channel), rows in sorted(groups.items()):
        found.small += len(rows) < LEAST_SET
        rows.sort(key=lambda row: (row["look"], row["variation"]))
        found.sets.append(PictureSet(brand, shot, channel, len(rows), tuple(_apart(rows))))
    found.alike = _once(_alike(store, delivered))
    return found


def _is_judged(row: Row) -> bool:
    return row["status"] == Status.DELIVERED and row["kind"] == "render" and row["verdict"] != Verdict.REJECTED


def _traits(row: Row) -> Mapping[str, float]:
    numbers = dict(row["quality"] or {})
    return {name: numbers[name] for name in NUMBERS if name in numbers}


def _apart(rows: Sequence[Row]) -> Iterator[Apart]:
    why: dict[int, list[str]] = defaultdict(list)
    for outlier in outliers([_traits(row) for row in rows]):
        why[outlier.place].append(str(outlier))
    for place, said in sorted(why.items()):
        yield _told(rows[place], tuple(said))


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
    why = {one.render_fingerprint: "; ".join(one.why) for one in apart}
    with naming(campaign.source):
        history = History.read(store, campaign.name)
        rows = read_current(store, campaign.name, masters=True).to_pylist()
    wanted: dict[Pair, Row] = {pair_of(row): _rejection(why[_render(row)]) for row in rows if _render(row) in why}
    run_id = new_start(store, history.latest)
    return commit_again(store, campaign.name, run_id, Step.VERIFY, Status.DELIVERED, wanted)


def _render(row: Mapping[str, Any]) -> str:
    return str(row["render_fingerprint"])


def _rejection(why: str) -> Row:
    return {"verdict": Verdict.REJECTED.value, "judged_by": BY_PERSON, "detail": f"rejected: apart from its set: {why}"}
