"""The columns of a row: of a plan, which says what is wanted, and of the asset catalog, which says what exists.

Each is defined here once: its name, its type in Python and in Arrow, who sets it and what it means. Schemas, subsets
and the tables of the documentation follow from these definitions. The order of the fields is that of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, TypedDict, cast, get_type_hints

import pyarrow as pa

from catalogs.identity import MASTER_CHANNEL
from catalogs.requests import RENDER_SCHEME


class SetBy(StrEnum):
    """Who sets a column."""

    IDENTITY = "identity"  # which asset it is
    REQUEST = "request"  # what was asked of the engine and of finishing
    PLAN = "plan"  # what a plan adds, and a run carries over
    OUTCOME = "outcome"  # what came of it


class In(StrEnum):
    """Which files have a column."""

    BOTH = "both"
    PLAN = "plan"
    CATALOG = "catalog"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        meaning: one line for people.
    """

    type: pa.DataType
    set_by: SetBy
    files: In
    meaning: str


def _identity(type: pa.DataType, meaning: str) -> Column:
    return Column(type, SetBy.IDENTITY, In.BOTH, meaning)


def _request(type: pa.DataType, meaning: str) -> Column:
    return Column(type, SetBy.REQUEST, In.BOTH, meaning)


def _carried(type: pa.DataType, meaning: str) -> Column:
    return Column(type, SetBy.PLAN, In.BOTH, meaning)


def _planned(type: pa.DataType, meaning: str) -> Column:
    return Column(type, SetBy.PLAN, In.PLAN, meaning)


def _known(type: pa.DataType, meaning: str) -> Column:
    """An outcome that a plan repeats, as far as it is known already."""
    return Column(type, SetBy.OUTCOME, In.BOTH, meaning)


def _outcome(type: pa.DataType, meaning: str) -> Column:
    return Column(type, SetBy.OUTCOME, In.CATALOG, meaning)


_TEXT, _WHOLE, _NUMBER, _FLAG = pa.string(), pa.int32(), pa.float64(), pa.bool_()
_LONG, _TEXTS, _MOMENT = pa.int64(), pa.list_(pa.string()), pa.timestamp("us", tz="UTC")


class ReferenceRow(TypedDict):
    """A reference image of a request, with the right that travels with it."""

    uri: Annotated[str, _request(_TEXT, "where it is; `render:` and a render fingerprint for another shot's picture")]
    sha256: Annotated[str, _request(_TEXT, "its content; for another shot its render fingerprint")]
    role: Annotated[str, _request(_TEXT, "what it shows: `hero`, `detail`, `logo`, `shot`, ...")]
    width: Annotated[int, _request(_WHOLE, "pixels")]
    height: Annotated[int, _request(_WHOLE, "pixels")]
    licence: Annotated[str | None, _request(_TEXT, "as the catalog says")]
    licence_end: Annotated[date | None, _request(pa.date32(), "the last day it may be used")]
    territories: Annotated[list[str] | None, _request(_TEXTS, "where it may be used; everywhere when empty")]


def _columns(row: type) -> dict[str, Column]:
    hints = get_type_hints(row, include_extras=True)
    return {name: next(item for item in hint.__metadata__ if isinstance(item, Column)) for name, hint in hints.items()}


REFERENCE_COLUMNS = _columns(ReferenceRow)
_REFERENCES = pa.list_(pa.struct([(name, column.type) for name, column in REFERENCE_COLUMNS.items()]))


class Row(TypedDict, total=False):
    """A row of a plan or of the asset catalog.

    What can be None has it in its type. In a plan, a row that is retired or to be withdrawn has None wherever only a
    wanted asset has something, and the outcomes of one that was never made are None too.
    """

    campaign: Annotated[str, _identity(_TEXT, "name of the campaign")]
    kind: Annotated[str, _identity(_TEXT, "`proof` (a layout proof) or `render`")]
    brand_id: Annotated[str, _identity(_TEXT, "the brand")]
    look: Annotated[str, _identity(_TEXT, "the look: a product id, or a hash where `look_by` groups products")]
    product_id: Annotated[str, _carried(_TEXT, "the product whose row stands for the look")]
    title: Annotated[str | None, _carried(_TEXT, "that product's title when it was planned; null in rows of before")]
    covers: Annotated[list[str], _carried(_TEXTS, "every product the picture is for")]
    shot: Annotated[str, _identity(_TEXT, "name of the shot")]
    channel: Annotated[str, _identity(_TEXT, "name of the channel; `master-WIDTHxHEIGHT` for a master of its own")]
    variation: Annotated[int, _identity(_WHOLE, "which of the pictures of a shot, from 0")]
    master: Annotated[bool | None, _carried(_FLAG, "a master with a row of its own, and no asset; see `is_master`")]
    take: Annotated[int, _request(_WHOLE, "which try at the same picture, from 0")]
    take_of: Annotated[str | None, _carried(_TEXT, "its render fingerprint at take 0; null where it is that itself")]
    status: Annotated[str | None, _known(_TEXT, "`delivered`, `failed`, `retired`, `withdrawn`, `missing` or `pruned`")]
    reason: Annotated[str | None, _known(_TEXT, "why it failed, from a closed list")]
    detail: Annotated[str | None, _outcome(_TEXT, "the failure in one line for people")]
    attempts: Annotated[int, _known(_WHOLE, "how often it was tried")]
    final: Annotated[bool, _known(_FLAG, "not tried again unless asked")]
    asset_key: Annotated[str | None, _known(_TEXT, "key of the delivered file under the output")]
    render_key: Annotated[str | None, _known(_TEXT, "key of its master, where that is kept")]
    render_fingerprint: Annotated[str, _request(_TEXT, "SHA-256 of what was asked of the engine")]
    fingerprint: Annotated[str, _request(_TEXT, "SHA-256 of that and of how it is finished")]
    sha256: Annotated[str | None, _outcome(_TEXT, "of the delivered bytes")]
    pixel_sha256: Annotated[str | None, _outcome(_TEXT, "of the pixels; equal for equal pictures in any format")]
    bytes: Annotated[int | None, _outcome(_LONG, "size of the delivered file")]
    format: Annotated[str, _request(_TEXT, "`jpeg`, `png` or `webp`")]
    width: Annotated[int, _request(_WHOLE, "pixels of the delivered file")]
    height: Annotated[int, _request(_WHOLE, "pixels of the delivered file")]
    prompt: Annotated[str, _request(_TEXT, "the text that was asked for")]
    prompt_used: Annotated[str | None, _outcome(_TEXT, "the text the model saw; another one where the API rewrote it")]
    references: Annotated[list[ReferenceRow], _request(_REFERENCES, "reference images in order")]
    upstream_references: Annotated[
        list[ReferenceRow] | None, _carried(_REFERENCES, "the photos behind the shots it builds on")
    ]
    territory: Annotated[str | None, _carried(_TEXT, "where its channel shows it; the whole world when empty")]
    engine: Annotated[str, _request(_TEXT, "`proof`, `diffusers` or `bfl`")]
    model: Annotated[str, _request(_TEXT, "name in the model table, or a folder")]
    model_revision: Annotated[str, _request(_TEXT, "pinned commit, or hash of a folder's weights")]
    versions: Annotated[Mapping[str, str], _outcome(pa.map_(_TEXT, _TEXT), "of the libraries that made it")]
    seed: Annotated[int, _request(_LONG, "the seed that was used")]
    seed_device: Annotated[str | None, _request(_TEXT, "whose generator drew its noise: `cuda`; the CPU's when empty")]
    steps: Annotated[int, _request(_WHOLE, "denoising steps")]
    guidance: Annotated[float | None, _request(_NUMBER, "guidance scale, where the model takes one")]
    batch_size: Annotated[int | None, _outcome(_WHOLE, "how many pictures shared the engine's call")]
    seconds: Annotated[float | None, _outcome(_NUMBER, "engine time of the whole render, in every row of it")]
    cost: Annotated[float | None, _outcome(_NUMBER, "USD of the whole render, in every row of it")]
    quality: Annotated[Mapping[str, float], _outcome(pa.map_(_TEXT, _NUMBER), "measured of picture and file, by name")]
    verdict: Annotated[
        str | None, _outcome(_TEXT, "`accepted`, `needs_review` or `rejected`, where its campaign asks for checks")
    ]
    judged_by: Annotated[str | None, _outcome(_TEXT, "`person` where somebody gave the verdict; null where checks did")]
    score: Annotated[float | None, _outcome(_NUMBER, "of its checks, from 0 to 1: 0.5 where the worst is at its limit")]
    line: Annotated[str | None, _outcome(_TEXT, "what its shot asks for, hashed, where checks may reject its pictures")]
    ai_label_required: Annotated[bool, _carried(_FLAG, "whether it must be labelled as made by AI")]
    has_person: Annotated[
        bool | None, _outcome(_FLAG, "whether its campaign's `person_model` found a person; null where none looked")
    ]
    run_id: Annotated[str, _outcome(_TEXT, "the start that committed the row")]
    shard: Annotated[int, _outcome(_WHOLE, "number of the shard in that run")]
    attempt_id: Annotated[str, _outcome(_TEXT, "the try at that shard")]
    ordered_at: Annotated[datetime | None, _outcome(_MOMENT, "when that start began, by which history is ordered")]
    step: Annotated[int | None, _outcome(_WHOLE, "which of that start's steps committed it, in order")]
    created_at: Annotated[datetime, _outcome(_MOMENT, "when it was committed, by that machine's clock")]
    action: Annotated[str, _planned(_TEXT, "`new`, `changed`, `unchanged`, `finish`, `retired` or `withdraw`")]
    work: Annotated[str, _planned(_TEXT, "what it costs: `render`, `finish`, `commit` or `none`")]
    stage: Annotated[int, _planned(_WHOLE, "shots of a stage build on those of earlier ones")]
    master_width: Annotated[int, _planned(_WHOLE, "pixels of the render")]
    master_height: Annotated[int, _planned(_WHOLE, "pixels of the render")]
    weight_precision: Annotated[str, _planned(_TEXT, "how the model's weights are kept")]
    options: Annotated[str, _planned(_TEXT, "what else changes the pixels of a hosted model, as JSON")]
    legal_line: Annotated[str, _planned(_TEXT, "the brand's, which is written into the file")]
    overlay: Annotated[str | None, _planned(_TEXT, "what is drawn on the file, as JSON; null where nothing is")]
    bucket: Annotated[str, _planned(_TEXT, "renders of one geometry and reference set sort together by it")]
    estimated_seconds: Annotated[float, _planned(_NUMBER, "of the render, on the first of its rows")]
    estimated_cost_low: Annotated[float, _planned(_NUMBER, "USD of the render, on the first of its rows")]
    estimated_cost_high: Annotated[float, _planned(_NUMBER, "USD of the render, on the first of its rows")]
    look_rows: Annotated[int | None, _planned(_WHOLE, "catalog rows of the look, on the first of its rows")]
    look_marks: Annotated[int | None, _planned(_LONG, "sum of marks that stand for these rows, see catalogs/plans")]


COLUMNS: Mapping[str, Column] = _columns(Row)
"""Every column by name."""


def _schema(file: In) -> pa.Schema:
    return pa.schema([(name, column.type) for name, column in COLUMNS.items() if column.files in (In.BOTH, file)])


ASSETS = _schema(In.CATALOG)
"""The asset catalog."""

PLAN = _schema(In.PLAN)
"""A plan file."""

IDENTITY = tuple(name for name, column in COLUMNS.items() if column.set_by is SetBy.IDENTITY)
"""What says which asset a row is about."""

CARRIED = tuple(
    name for name, column in COLUMNS.items() if column.files is In.BOTH and column.set_by is not SetBy.OUTCOME
)
"""What a row of a plan hands on to the row of its outcome."""


def with_identity(*names: str) -> list[str]:
    """The identity and some more columns, to read these alone.

    Raises:
        KeyError: there is no such column.
    """
    return [*IDENTITY, *(name for name in names if COLUMNS[name])]


def is_master(row: Row) -> bool:
    """Whether a row is of a master that other shots build on: it is no asset, in no count and on no page."""
    told = row.get("master")
    return row["channel"].startswith(MASTER_CHANNEL) if told is None else told


def parents_of(row: Row) -> list[str]:
    """Render fingerprints of the shots that a row's picture builds on."""
    return [reference["sha256"] for reference in row["references"] or () if reference["uri"].startswith(RENDER_SCHEME)]


def filled(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """A table with those of some columns that it lacks, null in every row."""
    for name in sorted(set(names).difference(table.column_names)):
        table = table.append_column(name, pa.nulls(table.num_rows, COLUMNS[name].type))
    return table


def value_of(row: Row, name: str) -> Any:
    """What a row has in a column that is known by name only; None where it has none."""
    return cast(Mapping[str, Any], row).get(name)


def part(row: Row, names: Iterable[str]) -> Row:
    """Some columns of a row, as far as it has them."""
    given = cast(Mapping[str, Any], row)
    return cast(Row, {name: given[name] for name in names if name in given})
