"""What was made and what it took, over time: of a campaign, or of all that the outputs of a folder hold.

Every output becomes a few tables of facts, summed up to a row a day, campaign, brand, shot, model and engine; all
sums are made of those. What is counted, and once: `catalogs.assets.tallies`; money: the spend journal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import UnreadCommit
from catalogs.assets.tallies import Tallies, read_tallies
from catalogs.campaigns.calendar import place_of, read_calendar
from catalogs.errors import PackshotError, UserError
from catalogs.identity import FOLDERS
from catalogs.journal.sums import entries
from catalogs.journal.view import table_of
from catalogs.storage.store import Store
from tasks.outcome import open_campaign
from tasks.run_numbers import run_facts

_TEXTS = ("kind", "campaign", "brand", "shot", "model", "engine", "reason")
_WHOLE = (
    "delivered",
    "failed",
    "still_failed",
    "rendered",
    "paid",
    "possibly_billed",
    "planned",
    "unchanged",
    "adopted",
    "run_rendered",
)
_NUMBERS = ("engine_seconds", "gpu_seconds", "run_seconds")
MEASURES = (*_WHOLE, *_NUMBERS)
FACTS = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        ("day", pa.date32()),
        *((name, pa.int64()) for name in _WHOLE),
        *((name, pa.float64()) for name in _NUMBERS),
    ]
)
"""A row a combination of texts and day; money in millionths of a USD. What runs tell has no brand and no shot."""


@dataclass(frozen=True)
class Place:
    """An output, and whose rows of it count.

    Attributes:
        campaign: None for all.
        source: a campaign file that writes there, for what to do next.
    """

    output: str
    campaign: str | None
    source: str


@dataclass
class Statistics:
    """What some outputs hold.

    Attributes:
        facts: see `FACTS`.
        now: assets by kind and status at this moment, whenever they were made.
        unread: commits that could not be read.
        problems: what else could not be; nothing of it is in any number.
    """

    facts: pa.Table
    places: Sequence[Place]
    now: dict[str, dict[str, int]] = field(default_factory=dict)
    unread: list[dict[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything could be read."""
        return not self.unread and not self.problems


def read_statistics(target: str, since: datetime | None = None) -> Statistics:
    """Read a campaign, or every output that the campaigns of a folder write to; writes nothing.

    Raises:
        UserError: there is no such campaign, or no campaign in the folder.
    """
    statistics = Statistics(FACTS.empty_table(), [])
    if os.path.isdir(target):
        statistics.places = list(_places(target, statistics.problems))
    else:
        campaign, _ = open_campaign(target)
        statistics.places = [Place(campaign.output, campaign.name, campaign.source)]
    for place in statistics.places:
        try:
            _read(statistics, place, since)
        except PackshotError as error:
            statistics.problems.append(_naming(place.output, error))
    return statistics


def _places(folder: str, problems: list[str]) -> Iterator[Place]:
    """Every output once, however many campaigns write to it."""
    seen = set()
    for entry in read_calendar(folder):
        if entry.campaign is None:
            problems.append(entry.problem)
        elif (place := place_of(entry.campaign.output)) not in seen:
            seen.add(place)
            yield Place(entry.campaign.output, None, entry.path)


def _naming(output: str, error: PackshotError) -> str:
    said = str(error)
    return said if output in said else f"{output}: {said}"


def _read(statistics: Statistics, place: Place, since: datetime | None) -> None:
    store = Store.at(place.output)
    store.refuse_files(FOLDERS)
    unread: list[UnreadCommit] = []
    tallies = read_tallies(store, place.campaign, unread)
    statistics.unread += [error.naming(place.source).as_dict() for error in unread]
    made_by = pc.unique(tallies.renders["run_id"]).to_pylist()
    runs, cpu_runs = run_facts(store, place.campaign, since, made_by, statistics.problems)
    parts = [_of(runs, FACTS), *_counted(tallies, since, cpu_runs)]
    try:
        parts.append(_spent(store, place.campaign, since, tallies))
    except UserError as error:  # what was made is known all the same
        statistics.problems.append(f"{_naming(place.output, error)}; what was spent there is in no number")
    statistics.facts = summed(pa.concat_tables([statistics.facts, *parts]))
    for row in (
        tallies.current.group_by(["kind", "status"], use_threads=False).aggregate([([], "count_all")]).to_pylist()
    ):
        of_kind = statistics.now.setdefault(row["kind"], {})
        of_kind[row["status"]] = of_kind.get(row["status"], 0) + row["count_all"]


def summed(facts: pa.Table) -> pa.Table:
    """Facts with one row for each combination."""
    keys = [*_TEXTS, "day"]
    found = facts.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in MEASURES])
    return (
        found.rename_columns([name.removesuffix("_sum") for name in found.column_names]).select(FACTS.names).cast(FACTS)
    )


def _counted(tallies: Tallies, since: datetime | None, cpu_runs: Sequence[str]) -> Iterator[pa.Table]:
    """Facts of what the asset catalog counts."""
    yield _events(tallies.delivered, since, "delivered")
    yield _events(tallies.failed, since, "failed")
    yield _events(tallies.current.filter(pc.equal(tallies.current["status"], "failed")), since, "still_failed")
    yield rendered_facts(tallies, since, cpu_runs)


def rendered_facts(tallies: Tallies, since: datetime | None, cpu_runs: Sequence[str]) -> pa.Table:
    """Facts of the pictures that were made.

    Args:
        cpu_runs: starts whose pictures a CPU made.
    """
    renders = tallies.renders
    is_gpu = pc.and_(
        pc.equal(renders["engine"], "diffusers"),
        pc.invert(pc.is_in(renders["run_id"], value_set=pa.array(cpu_runs, pa.string()))),
    )
    gpu = pc.if_else(pc.fill_null(is_gpu, False), renders["seconds"], 0.0)
    renders = renders.append_column("engine_seconds", renders["seconds"]).append_column("gpu_seconds", gpu)
    return _events(renders, since, "rendered")


def _events(table: pa.Table, since: datetime | None, measure: str) -> pa.Table:
    """Facts of things that happened, one each."""
    if since is not None:
        table = table.filter(pc.greater_equal(table["created_at"], pa.scalar(since, pa.timestamp("us", tz="UTC"))))
    table = table.rename_columns(["brand" if name == "brand_id" else name for name in table.column_names])
    table = table.append_column("day", table["created_at"].cast(pa.date32()))
    table = table.append_column(measure, pa.array([1] * table.num_rows, pa.int64()))
    return summed(_of(table, FACTS))


def _spent(store: Store, campaign: str | None, since: datetime | None, tallies: Tallies) -> pa.Table:
    """Facts of the spend journal; what its oldest records do not tell is taken from the render they paid for."""
    found = [entry for entry in entries(store, since) if campaign in (None, entry.intent.campaign)]
    view, renders = table_of(found), tallies.renders
    place = pc.index_in(view["render_fingerprint"], value_set=renders["render_fingerprint"].combine_chunks())
    joined = renders.select(["brand_id", "shot", "model", "engine"]).take(place)
    told = {
        "kind": pa.array(["render"] * view.num_rows, pa.string()),
        "campaign": view["campaign"],
        "brand": _told(view["brand_id"], joined["brand_id"]),
        "shot": _told(view["shot"], joined["shot"]),
        "model": _told(view["model"], joined["model"]),
        "engine": pc.fill_null(joined["engine"], "bfl"),
        "day": view["day"],
        "paid": pa.array([entry.paid for entry in found], pa.int64()),
        "possibly_billed": pa.array([entry.possible for entry in found], pa.int64()),
    }
    return summed(_of(pa.table(told), FACTS))


def _told(own: pa.ChunkedArray, joined: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.coalesce(pc.if_else(pc.equal(own, ""), None, own), joined, "")


def _of(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with these columns, null where it has none."""
    held = {
        name: table[name] if name in table.column_names else pa.nulls(table.num_rows, schema.field(name).type)
        for name in schema.names
    }
    return pa.table(held).cast(schema)
