"""The pictures of a campaign against the others of their shot, brand and channel; and what is to be taken again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalogs.assets.commits import Pair, Status, Step, pair_of
from catalogs.assets.history import History, read_current
from catalogs.assets.starts import new_start
from catalogs.assets.takes import Verdict
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row
from catalogs.plans.restate import commit_again
from catalogs.storage.store import Store
from inference.quality.outliers import LEAST_SET, outliers
from inference.quality.staging import STAGING
from tasks.unread import naming

BY_PERSON = "person"


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
        small: sets of fewer pictures than tell an outlier.
        unmeasured: pictures without numbers: made without `quality:`, or with no subject that can be told.
    """

    sets: list[PictureSet] = field(default_factory=list)
    small: int = 0
    unmeasured: int = 0

    @property
    def apart(self) -> list[Apart]:
        """Each picture once, whatever the number of its channels."""
        found = {one.render_fingerprint: one for each in self.sets for one in each.apart}
        return list(found.values())


def judge_sets(campaign: Campaign, store: Store) -> Sets:
    """Which delivered pictures of a campaign stand apart from their sets; proofs are none.

    Raises:
        UnreadCommit: a commit cannot be read.
    """
    with naming(campaign.source):
        table = read_current(store, campaign.name)
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    found = Sets()
    for row in table.to_pylist():
        if row["status"] != Status.DELIVERED or row["kind"] != "render" or row["verdict"] == Verdict.REJECTED:
            continue
        if _staging(row):
            groups[row["brand_id"], row["shot"], row["channel"]].append(row)
        else:
            found.unmeasured += 1
    for (brand, shot, channel), rows in sorted(groups.items()):
        found.small += len(rows) < LEAST_SET
        rows.sort(key=lambda row: (row["look"], row["variation"]))
        found.sets.append(PictureSet(brand, shot, channel, len(rows), tuple(_apart(rows))))
    return found


def _staging(row: Row) -> Mapping[str, float]:
    numbers = dict(row["quality"] or {})
    return {name: numbers[name] for name in STAGING if name in numbers}


def _apart(rows: Sequence[Row]) -> Iterable[Apart]:
    why: dict[int, list[str]] = defaultdict(list)
    for outlier in outliers([_staging(row) for row in rows]):
        why[outlier.place].append(str(outlier))
    for place, said in sorted(why.items()):
        row = rows[place]
        key = str(row["asset_key"])
        names = (row["product_id"] or row["look"], row["title"] or "")
        yield Apart(*names, key, row["render_fingerprint"], row["take"], tuple(said))


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
