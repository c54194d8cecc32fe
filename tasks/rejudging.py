"""Pictures that are there, judged by the limits and checks that their campaign has now, where somebody asks for it.

A picture is measured again on its master. Of one whose master is not kept the numbers of the record are held against
the limits.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from PIL import Image

from catalogs.assets.commits import Pair, Status, Step, pair_of, rows_of
from catalogs.assets.history import History, read_current
from catalogs.assets.masters import read_master
from catalogs.assets.starts import new_start
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row, part
from catalogs.errors import OptionError
from catalogs.plans.restate import commit_again
from catalogs.references.book import load_reference
from catalogs.references.places import Places
from catalogs.requests import Reference
from catalogs.storage.store import Store
from inference.finishing.pixels import decode_master
from tasks.quality import Judge, Judged, check_quality, without_verdict

_JUDGED = (Status.DELIVERED, Status.MISSING)  # what is gone keeps a verdict: that of the same picture, made again
_MEASURED = "coherence"
"""A number that every picture has which was measured at all."""


@dataclass(frozen=True)
class _Asked:
    """What a row's picture was to show."""

    prompt: str
    references: Sequence[Reference]
    shot: str


@dataclass(frozen=True)
class _Anew:
    """What is to be said of the rows of one picture.

    Attributes:
        verdict: that they have now.
        is_other: it is another.
    """

    rows: dict[Pair, Row]
    verdict: str
    is_other: bool


def rejudge(campaign: Campaign, store: Store, say: Callable[[str], None]) -> int:
    """Say anew what checks say of delivered pictures; what a person said stays. No file is touched.

    Args:
        say: called with a line about what was done.

    Returns:
        How many have another verdict.

    Raises:
        OptionError: the campaign checks no pictures.
        UnreadCommit: a commit cannot be read; nothing was written.
    """
    if campaign.quality is None:
        fix = "write `quality: on` into the campaign, or leave the option out"
        raise OptionError("--rejudge", campaign.name, "checks no pictures", fix)
    check_quality(campaign.quality.said(), campaign.source)
    history, table = History.read(store, campaign.name), read_current(store, campaign.name, masters=True)
    judge = Judge(campaign.quality.said(), campaign.source, partial(_photo, campaign, store), lambda render: None)
    renders = _renders(table)
    if renders:
        say(f"{len(renders)} pictures are judged anew")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        judged = list(pool.map(partial(_judged_anew, table, store, judge), renders))
    wanted = {pair: row for one in judged if one for pair, row in one.rows.items()}
    if wanted:
        run_id = new_start(store, history.latest)
        commit_again(store, campaign.name, run_id, Step.VERIFY, Status.DELIVERED, wanted)
    unknown, others = judged.count(None), sum(one.is_other for one in judged if one)
    left = f"; {unknown} have neither numbers nor a master, and stay as they were" if unknown else ""
    now = Counter(one.verdict.replace("_", " ") for one in judged if one and one.is_other)
    which = ", ".join(f"{count} {verdict}" for verdict, count in sorted(now.items()))
    say(f"{others} pictures have another verdict{f': {which}' if which else ''}{left}")
    return others


def _photo(campaign: Campaign, store: Store, photo: Reference) -> Image.Image:
    places = Places.of(campaign.reference_roots, campaign.source)
    return load_reference(photo, campaign.reference_background, campaign.max_reference_pixels, places, store)


def _renders(table: pa.Table) -> list[list[int]]:
    """The places of the rows of each picture that is or was delivered, and that no person has judged."""
    places: dict[str, list[int]] = defaultdict(list)
    by_person: set[str] = set()
    columns = ["render_fingerprint", "kind", "status", "judged_by"]
    for place, row in enumerate(rows_of(table.select(columns))):
        if row["kind"] == "render" and row["status"] in _JUDGED:
            places[row["render_fingerprint"]].append(place)
            if row["judged_by"]:
                by_person.add(row["render_fingerprint"])
    return [found for render, found in places.items() if render not in by_person]


def _judged_anew(table: pa.Table, store: Store, judge: Judge, places: Sequence[int]) -> _Anew | None:
    """None of a picture of which nothing is known."""
    rows: list[Row] = [table.slice(place, 1).to_pylist()[0] for place in places]
    judged = _judged(rows[0], store, judge)
    if judged is None:
        return None
    anew = {pair_of(row): said for row in rows if (said := _said(row, judged))}
    return _Anew(anew, str(judged.verdict), any(row["verdict"] != judged.verdict for row in rows))


def _judged(row: Row, store: Store, judge: Judge) -> Judged | None:
    master = read_master(store, row["render_fingerprint"], row["render_key"]) if row["render_key"] else None
    if master is not None:
        photos = (Reference(p["uri"], p["sha256"], p["role"], p["width"], p["height"]) for p in row["references"])
        return judge.measured(_Asked(row["prompt"], tuple(photos), row["shot"]), decode_master(master.data))
    numbers = dict(row["quality"] or {})
    return judge.of_numbers(row["shot"], numbers) if _MEASURED in numbers else None


def _said(row: Row, judged: Judged) -> Row:
    """What a row says otherwise than before, {} where nothing."""
    before = part(row, ("verdict", "score", "detail"))
    detail = "; ".join(filter(None, [*without_verdict(row["detail"]), judged.detail])) or None
    after: Row = {"verdict": judged.verdict, "score": judged.score, "detail": detail}
    quality, versions = dict(row["quality"] or {}), dict(row["versions"] or {})
    if not judged.numbers.items() <= quality.items() or judged.has_person is not None:
        before |= {"quality": quality, "versions": versions, "has_person": row["has_person"]}
        after |= {"quality": {**quality, **judged.numbers}, "versions": {**versions, **judged.versions}}
        after["has_person"] = row["has_person"] if judged.has_person is None else judged.has_person
    return {} if before == after else after
