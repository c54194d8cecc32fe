"""What people say of pictures: which wait for somebody, and verdicts that win over a check's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import Pair, Status, Step, pair_of, read_commits, rows_of
from catalogs.assets.history import History, read_current, rows_at
from catalogs.assets.starts import new_start
from catalogs.assets.takes import BY_PERSON, Verdict
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row, with_identity
from catalogs.errors import CatalogError, OptionError, one_line
from catalogs.imports.exports import Line
from catalogs.imports.tables import open_table
from catalogs.inputs.reject_file import shown
from catalogs.plans.restate import commit_again
from catalogs.storage.store import Store
from tasks.quality import ACCEPTED, REJECTED, without_verdict
from tasks.unread import naming

_WAITS = with_identity("status", "verdict", "title", "product_id", "take", "detail", "render_fingerprint", "asset_key")
_NAMED = ["campaign", "kind", "asset_key", "render_fingerprint"]
_FILES = with_identity("fingerprint", "render_fingerprint")


@dataclass(frozen=True)
class Waiting:
    """A picture that its checks want somebody to look at.

    Attributes:
        why: what the checks found.
        asset_keys: its files, one for each channel.
    """

    product_id: str
    title: str
    shot: str
    variation: int
    take: int
    why: str
    asset_keys: tuple[str, ...]


class Said(NamedTuple):
    """What a person says of a picture, and why."""

    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class Decided:
    """How many pictures have a person's verdict now, each counted once whatever the number of its channels.

    Attributes:
        said_before: those that were rejected by a person already, of which nothing was written.
    """

    accepted: int = 0
    rejected: int = 0
    said_before: int = 0


def waiting(campaign: Campaign, store: Store) -> list[Waiting]:
    """The delivered pictures of a campaign that are to be looked at, in the order of products and shots.

    Raises:
        UnreadCommit: a commit cannot be read.
    """
    return [_told(rows) for _, rows in sorted(_waiting(campaign, store).items(), key=lambda each: _place(each[1][0]))]


def _waiting(campaign: Campaign, store: Store) -> dict[str, list[Row]]:
    """Rows of what waits, by its render."""
    with naming(campaign.source):
        table = read_current(store, campaign.name).select(_WAITS)
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of(table):
        if row["status"] == Status.DELIVERED and row["verdict"] == Verdict.NEEDS_REVIEW:
            found[row["render_fingerprint"]].append(row)
    return found


def _place(row: Row) -> tuple[str, str, str, int]:
    return row["brand_id"], row["look"], row["shot"], row["variation"]


def _told(rows: Sequence[Row]) -> Waiting:
    row = rows[0]
    names = (row["product_id"] or row["look"], row["title"] or "", row["shot"])
    keys = tuple(sorted(str(each["asset_key"]) for each in rows))
    return Waiting(*names, row["variation"], row["take"] or 0, row["detail"] or "", keys)


class Named(NamedTuple):
    """A verdict on a picture that is named by a file of it.

    Attributes:
        name: asset key, URI or path.
        source: where that was said: an option, or a row of a file.
    """

    name: str
    verdict: Verdict
    source: str


def named_in(path: str) -> list[Named]:
    """What a file says that the gallery saved: a table with columns asset_key and verdict, whatever a spreadsheet made
    of it. A row without a verdict says nothing.

    Raises:
        CatalogError: it cannot be read, or a row of it.
        OptionError: it lacks a column, or has a verdict that is none.
    """
    table = open_table(Path(path), path)
    for column in ("asset_key", "verdict"):
        if column not in table.header:
            found = ", ".join(shown(one) for one in table.header[:_COLUMNS_TOLD])
            problem, fix = f"has no column {column!r} (columns: {found})", "take one that the gallery saved"
            raise OptionError("--from", path, problem, fix)
    return [_named(line) for line in table.lines() if line.fault or line.get("verdict")]


_COLUMNS_TOLD = 5


def _named(line: Line) -> Named:
    if line.fault:
        raise CatalogError(line.file, f"row {line.number}", line.fault, "save it again from the gallery")
    source, said = f"{line.file}, row {line.number}", line.get("verdict")
    if said.lower() not in (Verdict.ACCEPTED, Verdict.REJECTED):
        raise OptionError(source, "verdict", f"{shown(said)!r} is none", "write accepted or rejected")
    return Named(line.get("asset_key"), Verdict(said.lower()), source)


def decide(campaign: Campaign, store: Store, named: Sequence[Named], rest: bool = False, why: str = "") -> Decided:
    """Write down what a person says of pictures: of each for all its channels.

    Of a picture with several takes an accepted one is to stand. Of a rejected one, which must stand, the next plan
    asks for another take; to reject it once more, also when that take has been made, changes nothing.

    Args:
        rest: accept what else is to be looked at.
        why: what is said beside the verdict.

    Raises:
        OptionError: a name is no picture of this campaign, is given both ways, or names one whose verdict nothing
            would come of; nothing was written.
        UnreadCommit: a commit cannot be read; nothing was written.
    """
    why = one_line(why).replace(";", ",")  # what parts the notes of a row
    with naming(campaign.source):
        by_render = _renders(campaign, store, named)
        others = (one for one in _waiting(campaign, store) if one not in by_render) if rest else ()
        said = {render: Said(Verdict.ACCEPTED, why) for render in others}
        said |= {render: Said(one.verdict, why) for render, one in by_render.items()}
        wanted, run_id = _rows(campaign, store, said)
    for render, one in by_render.items():
        if render not in wanted:
            fix = f"see `packshot report {campaign.source}`"
            raise OptionError(one.source, one.name, _OF_NOTHING[one.verdict], fix)
    _write(campaign, store, run_id, wanted)
    counts = Counter(said[render].verdict for render, rows in wanted.items() if rows)
    said_before = sum(not rows for rows in wanted.values())
    return Decided(counts[Verdict.ACCEPTED], counts[Verdict.REJECTED], said_before)


_OF_NOTHING = {
    Verdict.ACCEPTED: "its asset is withdrawn, retired, or made from another request by now",
    Verdict.REJECTED: "it does not stand: another take does, or its asset is withdrawn, retired, or of another request",
}


def _renders(campaign: Campaign, store: Store, named: Sequence[Named]) -> dict[str, Named]:
    """What is said of renders, by the names of their files."""
    asked: dict[str, list[Named]] = defaultdict(list)
    for one in named:
        asked[_key(store, one.name)].append(one)
    found: dict[str, list[Named]] = defaultdict(list)
    left = set(asked)
    for table in read_commits(store, _NAMED) if asked else ():
        of_campaign = pc.and_(pc.equal(table["campaign"], campaign.name), pc.equal(table["kind"], "render"))
        is_asked = pc.is_in(table["asset_key"], pa.array(asked, pa.string()))
        for row in rows_of(table.filter(pc.and_(of_campaign, is_asked))):
            key = str(row["asset_key"])
            found[row["render_fingerprint"]] += asked[key]
            left.discard(key)
    for one in (one for key in sorted(left) for one in asked[key]):
        fix = f"name a file as `packshot review {campaign.source}` and the gallery do (asset key)"
        raise OptionError(one.source, shown(one.name), f"no picture of campaign {campaign.name} is called so", fix)
    return {render: _agreed(said) for render, said in found.items()}


def _agreed(said: Sequence[Named]) -> Named:
    """What all say of one picture, whose channels have files of their own."""
    for one in said[1:]:
        if one.verdict is not said[0].verdict:
            other = f"its picture is {said[0].verdict} too ({said[0].source}: {said[0].name})"
            raise OptionError(one.source, one.name, other, "a verdict is for all channels: say one")
    return said[0]


def _key(store: Store, name: str) -> str:
    """The key of a file that is named by its key, its URI or a path."""
    is_path = store.is_local and not name.startswith("assets/")
    return (str(Path(name).absolute()) if is_path else name).removeprefix(f"{store.root}/")


def say_of(campaign: Campaign, store: Store, said: Mapping[str, Said]) -> int:
    """Write down what a person says of renders, as far as they are of assets that stand. Returns how many rows.

    Raises:
        UnreadCommit: a commit cannot be read; nothing was written.
    """
    with naming(campaign.source):
        wanted, run_id = _rows(campaign, store, said)
    return _write(campaign, store, run_id, wanted)


def _write(campaign: Campaign, store: Store, run_id: str, wanted: Mapping[str, Mapping[Pair, Row]]) -> int:
    rows = {pair: row for of_render in wanted.values() for pair, row in of_render.items()}
    return commit_again(store, campaign.name, run_id, Step.VERIFY, Status.DELIVERED, rows)


def _rows(campaign: Campaign, store: Store, said: Mapping[str, Said]) -> tuple[dict[str, dict[Pair, Row]], str]:
    """What is to be said anew of rows, a master's too, by their renders; and the start that says it.

    A rejected picture is one that stands, or was rejected before, of which nothing is to be said anew. An accepted one
    may be an earlier take of what stands, whose place it takes.
    """
    history = History.read(store, campaign.name)
    renders = {pair: render for pair, render in _files(store, campaign.name, said) if _stands(history, *pair)}
    currents = {pair: (pair[0], found[0]) for pair in renders if (found := history.current(pair[0]))}
    orders = {pair: known.order for pair in {*renders, *currents.values()} if (known := history.known(*pair))}
    rows = dict(rows_at(store, orders))
    wanted: dict[str, dict[Pair, Row]] = defaultdict(dict)
    for pair, render in renders.items():
        one, row, current = said[render], rows[pair], currents[pair]
        is_rejected = one.verdict is Verdict.REJECTED
        if is_rejected and _is_rejected(row) and not (one.why and pair == current):
            wanted.setdefault(render, {})
        elif pair == current or (not is_rejected and _request(row) == _request(rows[current])):
            wanted[render][pair] = _anew(row, one)
    return wanted, new_start(store, history.latest)


def _is_rejected(row: Row) -> bool:
    return bool(row["verdict"] == Verdict.REJECTED and row["judged_by"])


def _files(store: Store, campaign: str, renders: Iterable[str]) -> Iterator[tuple[Pair, str]]:
    wanted = pa.array(sorted(renders), pa.string())
    for table in read_commits(store, _FILES):
        asked = pc.and_(pc.equal(table["campaign"], campaign), pc.is_in(table["render_fingerprint"], wanted))
        for row in rows_of(table.filter(asked)):
            yield pair_of(row), row["render_fingerprint"]


def _stands(history: History, identity: bytes, fingerprint: bytes) -> bool:
    """Whether an asset stands, and this file of it was delivered."""
    known, current = history.known(identity, fingerprint), history.current(identity)
    return bool(known and known.stands and current and current[1].stands)


def _request(row: Row) -> str:
    return str(row["take_of"] or row["render_fingerprint"])


def _anew(row: Row, said: Said) -> Row:
    if said.verdict is Verdict.REJECTED:
        note = f"{REJECTED}: {said.why or 'by a person'}"
    else:
        note = said.why and f"{ACCEPTED}: {said.why}"
    detail = "; ".join(filter(None, (*without_verdict(row["detail"]), note))) or None
    return {"verdict": said.verdict.value, "judged_by": BY_PERSON, "detail": detail}
