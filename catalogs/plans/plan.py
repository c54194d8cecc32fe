"""The plan: what a campaign wants against what exists, a row an asset, as a Parquet file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogs.assets.history import History, Known
from catalogs.assets.records import Status, covers_hash
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import ASSETS
from catalogs.errors import CampaignError, StorageError
from catalogs.identity import Identity
from catalogs.plans.expansion import Planned
from catalogs.requests import Reason
from catalogs.storage.store import MissingKey, Store

ROW_GROUP = 16_384
PLAN_FORMAT = 1
METADATA_KEY = b"packshot"


class Action(StrEnum):
    """What a plan says of an asset, for people."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FINISH = "finish"
    RETIRED = "retired"
    WITHDRAW = "withdraw"


class Work(StrEnum):
    """What an asset costs: a render, a finishing of an existing master, a row in the catalog, nothing."""

    RENDER = "render"
    FINISH = "finish"
    COMMIT = "commit"
    NONE = "none"


_FROM_ASSETS = [
    "campaign",
    "kind",
    "brand_id",
    "look",
    "product_id",
    "covers",
    "shot",
    "channel",
    "variation",
    "take",
    "status",
    "reason",
    "attempts",
    "final",
    "asset_key",
    "render_key",
    "render_fingerprint",
    "fingerprint",
    "format",
    "width",
    "height",
    "prompt",
    "references",
    "engine",
    "model",
    "model_revision",
    "seed",
    "steps",
    "guidance",
    "ai_label_required",
]
PLAN = pa.schema(
    [
        *(ASSETS.field(name) for name in _FROM_ASSETS),
        ("action", pa.string()),
        ("work", pa.string()),
        ("stage", pa.int32()),
        ("master_width", pa.int32()),
        ("master_height", pa.int32()),
        ("weight_precision", pa.string()),
        ("options", pa.string()),
        ("legal_line", pa.string()),
        ("bucket", pa.string()),
        ("estimated_seconds", pa.float64()),
        ("estimated_cost_low", pa.float64()),
        ("estimated_cost_high", pa.float64()),
    ]
)


@dataclass(frozen=True)
class PlanHeader:
    """What a plan file says of itself, in its schema metadata: enough to render it without the campaign.

    Attributes:
        lora: path, sha256 and scale of each LoRA file, in order.
        channels: finishing rules of every channel, by name.
        clock_floor: latest commit the plan was made against; commits made for it are later.
        partial: made with --only or --limit, or with rows rejected: it must not retire anything.
        hosted: how a hosted engine is used, the budget included; {} for others.
    """

    campaign: str
    source: str
    output: str
    run_id: str
    kind: str
    engine: str
    model: str
    model_revision: str
    weight_precision: str
    masters: str
    reference_background: str
    max_reference_pixels: int
    channels: dict[str, dict[str, Any]]
    clock_floor: str | None
    partial: bool
    created_at: str
    lora: tuple[dict[str, Any], ...] = ()
    format: int = PLAN_FORMAT
    hosted: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> dict[bytes, bytes]:
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True).encode()}

    @property
    def floor(self) -> datetime | None:
        return datetime.fromisoformat(self.clock_floor) if self.clock_floor else None


SUMMARY_COLUMNS = (
    "action",
    "work",
    "status",
    "estimated_seconds",
    "estimated_cost_low",
    "estimated_cost_high",
)


@dataclass
class PlanSummary:
    """A plan in numbers.

    Attributes:
        renders: pictures to make; several assets may share one.
        seconds: estimated engine seconds of them.
        cost_low: USD.
        cost_high: USD.
        spent: USD the campaign has cost in all its runs.
        paid: pictures paid for already that this plan only collects.
        warnings: lines for people.
        rejected: catalog rows left out.
    """

    run_id: str
    campaign: str
    output: str
    kind: str
    model: str
    model_revision: str
    licence: str
    assets: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    failed_before: int = 0
    renders: int = 0
    seconds: float = 0.0
    cost_low: float = 0.0
    cost_high: float = 0.0
    spent: float = 0.0
    paid: int = 0
    warnings: list[str] = field(default_factory=list)
    products: int = 0
    looks: int = 0
    rejected: int = 0
    stages: int = 0
    plan_key: str = ""
    rejects_key: str = ""

    def count(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add plan rows to the numbers."""
        for row in rows:
            self.actions[row["action"]] += 1
            self.work[row["work"]] += 1
            if row["action"] in (Action.RETIRED, Action.WITHDRAW):
                continue
            self.assets += 1
            self.failed_before += row["status"] == "failed"
            self.renders += row["estimated_seconds"] > 0 or row["estimated_cost_high"] > 0
            self.seconds += row["estimated_seconds"]
            self.cost_low += row["estimated_cost_low"]
            self.cost_high += row["estimated_cost_high"]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "actions": dict(self.actions), "work": dict(self.work)}


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one wanted asset."""

    action: Action
    work: Work
    known: Known | None = None


PAID_REASONS = frozenset((Reason.POSSIBLY_BILLED.value, Reason.PAID_EXPIRED.value))


def decide(history: History, digest: bytes, planned: Planned, retry_failed: bool, resubmit: bool = False) -> Decision:
    """Compare one wanted asset with the history."""
    fingerprint = bytes.fromhex(planned.fingerprint)
    known = history.known(digest, fingerprint)
    current = history.current(digest)
    is_current = current is not None and current[0] == fingerprint
    if known and known.asset_key:
        if is_current and known.status == Status.DELIVERED:
            same = known.covers == covers_hash(planned.member.covers)
            return (
                Decision(Action.UNCHANGED, Work.NONE, known) if same else Decision(Action.CHANGED, Work.COMMIT, known)
            )
        return Decision(Action.CHANGED, Work.COMMIT, known)
    retry = resubmit if known and known.reason in PAID_REASONS else retry_failed
    if known and known.status == Status.FAILED and known.final and not retry:
        return Decision(Action.UNCHANGED, Work.NONE, known)
    if history.master(planned.render_fingerprint):
        return Decision(Action.FINISH, Work.FINISH, known)
    return Decision(Action.CHANGED if current else Action.NEW, Work.RENDER, known)


class PlanWriter:
    """Writes plan rows, whole looks to a row group, so that a render never lies in two."""

    def __init__(self, path: Path, header: PlanHeader) -> None:
        self._schema = PLAN.with_metadata(header.encode())
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        self._rows.extend(rows)
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            # One row group a flush, whatever its length: row_group_size must not split it again.
            table = pa.Table.from_pylist(self._rows, schema=self._schema)
            self._writer.write_table(table, row_group_size=len(self._rows))
        self._rows = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def plan_row(planned: Planned, decision: Decision, history: History, engine: str) -> dict[str, Any]:
    """A wanted asset and the decision about it as a row of the plan."""
    request, identity, known = planned.request, planned.identity, decision.known
    done = decision.work in (Work.NONE, Work.COMMIT)
    return {
        "campaign": identity.campaign,
        "kind": identity.kind,
        "brand_id": identity.brand_id,
        "look": identity.look,
        "product_id": planned.member.row["product_id"],
        "covers": list(planned.member.covers),
        "shot": identity.shot,
        "channel": identity.channel,
        "variation": identity.variation,
        "take": request.take,
        "status": known.status if known and done else None,
        "reason": known.reason if known else None,
        "attempts": known.attempts if known else 0,
        "final": bool(known and known.final and done),
        "asset_key": known.asset_key if known else None,
        "render_key": history.master(planned.render_fingerprint),
        "render_fingerprint": planned.render_fingerprint,
        "fingerprint": planned.fingerprint,
        "format": planned.format,
        "width": planned.width,
        "height": planned.height,
        "prompt": request.prompt,
        "references": reference_rows(planned),
        "engine": engine,
        "model": request.model,
        "model_revision": request.model_revision,
        "seed": request.seed,
        "steps": request.steps,
        "guidance": request.guidance,
        "ai_label_required": identity.kind == "render",
        "action": decision.action.value,
        "work": decision.work.value,
        "stage": planned.stage,
        "master_width": request.width,
        "master_height": request.height,
        "weight_precision": request.weight_precision,
        "options": request.options,
        "legal_line": planned.legal_line,
        "bucket": bucket_of(planned),
        "estimated_seconds": 0.0,
        "estimated_cost_low": 0.0,
        "estimated_cost_high": 0.0,
    }


def reference_rows(planned: Planned) -> list[dict[str, Any]]:
    """References of a request with the rights that travel with them."""
    rows = []
    for resolved in planned.resolved:
        reference = resolved.reference
        right = resolved.rights[0] if resolved.rights and not reference.is_render else {}
        rows.append(
            {
                "uri": reference.uri,
                "sha256": reference.sha256,
                "role": reference.role,
                "width": reference.width,
                "height": reference.height,
                "licence": right.get("licence"),
                "licence_end": right.get("licence_end"),
                "territories": right.get("territories"),
            }
        )
    return rows


def bucket_of(planned: Planned) -> str:
    """Sorts renders so that one geometry, and inside it one set of references, lies together."""
    request = planned.request
    sizes = ",".join(f"{r.width}x{r.height}" for r in request.references)
    contents = ",".join(r.sha256[:8] for r in request.references)
    return f"{request.width}x{request.height}/{request.steps}/{request.guidance}/{sizes}/{contents}"


def retired_row(identity: Identity, fingerprint: str, engine: str, action: Action) -> dict[str, Any]:
    """A delivered asset that the campaign no longer wants, or may no longer show."""
    return {
        **dict.fromkeys(PLAN.names),
        "campaign": identity.campaign,
        "kind": identity.kind,
        "brand_id": identity.brand_id,
        "look": identity.look,
        "covers": [],
        "shot": identity.shot,
        "channel": identity.channel,
        "variation": identity.variation,
        "take": 0,
        "fingerprint": fingerprint,
        "engine": engine,
        "status": Status.DELIVERED.value,
        "attempts": 0,
        "final": False,
        "action": action.value,
        "work": Work.NONE.value,
        "stage": 0,
    }


class PlanFile:
    """A plan in a store, read a row group at a time.

    Raises:
        CampaignError: the key is missing or holds no plan of this version.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self.uri = store.uri(key)
        with self._open() as file:
            self.row_groups: int = file.num_row_groups
            self.rows: int = file.metadata.num_rows
            self.header = self._read_header(file.schema_arrow.metadata or {})

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            with self._store.seam("read", self._key):
                file = pq.ParquetFile(self._store.path(self._key), filesystem=self._store.filesystem)
        except MissingKey:
            raise self._problem("there is no such plan") from None
        except (StorageError, pa.ArrowException):
            if self._store.exists(self._key):
                raise self._problem("is not a plan") from None
            raise
        with file, self._store.seam("read", self._key):
            yield file

    def _problem(self, problem: str) -> CampaignError:
        return CampaignError(self.uri, "", problem, "make one with `packshot plan`")

    def _read_header(self, metadata: Mapping[bytes, bytes]) -> PlanHeader:
        try:
            header = json.loads(metadata[METADATA_KEY])
        except (KeyError, ValueError):
            raise self._problem("is not a plan") from None
        if header.get("format") != PLAN_FORMAT:
            raise self._problem("was written by another version of packshot")
        return PlanHeader(**header)

    def row_group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        with self._open() as file:
            return file.read_row_group(number, columns=list(columns) if columns else None)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Its row groups in order, one in memory at a time."""
        for number in range(self.row_groups):
            yield self.row_group(number, columns)


@dataclass(frozen=True)
class Shard:
    """The slice of a plan that one Prefect task renders.

    Attributes:
        row_group: where in the plan file its rows are.
        offsets: rows inside the row group, renders of one geometry side by side.
        seconds: estimated engine seconds.
    """

    number: int
    stage: int
    row_group: int
    offsets: tuple[int, ...]
    renders: int
    seconds: float

    @property
    def assets(self) -> int:
        return len(self.offsets)


_LAYOUT_COLUMNS = ("work", "stage", "bucket", "render_fingerprint", "estimated_seconds")


def lay_out(plan: PlanFile, seconds: float, max_assets: int) -> list[list[Shard]]:
    """Cut the work of a plan into shards, a list a stage.

    A shard holds whole renders of one stage and row group, up to `seconds` of estimated work and
    `max_assets` assets. The layout is free: what is done is told by fingerprints, never by shard.
    Shards of one geometry and one set of references follow each other, so that an engine's caches hit.
    """
    found: list[tuple[int, str, Shard]] = []
    for group, table in enumerate(plan.tables(_LAYOUT_COLUMNS)):
        for stage, renders in _renders_by_stage(table).items():
            for slice_ in _slices(renders, seconds, max_assets):
                offsets = tuple(offset for render in slice_ for offset in render[0])
                made = sum(1 for render in slice_ if render[1] > 0)
                shard = Shard(len(found), stage, group, offsets, made, sum(render[1] for render in slice_))
                found.append((stage, slice_[0][2], shard))
    stages: dict[int, list[Shard]] = {}
    for number, (stage, _, shard) in enumerate(sorted(found, key=lambda item: item[:2])):
        stages.setdefault(stage, []).append(replace(shard, number=number))
    return list(stages.values())


_Render = tuple[list[int], float, str]


def _renders_by_stage(table: pa.Table) -> dict[int, list[_Render]]:
    rows = table.append_column("offset", pa.array(range(table.num_rows)))
    rows = rows.filter(pc.is_in(rows["work"], value_set=pa.array([Work.RENDER.value, Work.FINISH.value])))
    rows = rows.sort_by([(name, "ascending") for name in ("stage", "bucket", "render_fingerprint", "offset")])
    stages: dict[int, list[_Render]] = {}
    last = None
    for row in rows.to_pylist():
        renders = stages.setdefault(row["stage"], [])
        if row["render_fingerprint"] != last or not renders:
            renders.append(([], 0.0, row["bucket"] or ""))
        offsets, seconds, bucket = renders[-1]
        offsets.append(row["offset"])
        renders[-1] = (offsets, seconds + (row["estimated_seconds"] or 0.0), bucket)
        last = row["render_fingerprint"]
    return stages


def _slices(renders: Iterable[_Render], seconds: float, max_assets: int) -> Iterator[list[_Render]]:
    slice_: list[_Render] = []
    for render in renders:
        spent, assets = sum(r[1] for r in slice_), sum(len(r[0]) for r in slice_)
        if slice_ and (spent + render[1] > seconds or assets + len(render[0]) > max_assets):
            yield slice_
            slice_ = []
        slice_.append(render)
    if slice_:
        yield slice_


def check_budget(summary: PlanSummary, campaign: Campaign) -> None:
    """Refuse a plan over its budget.

    Raises:
        CampaignError: naming the limit, the estimate and what to do.
    """
    budget = campaign.budget
    fix = "raise it, or make less with --limit or select"
    if budget.max_gpu_hours is not None and summary.seconds > budget.max_gpu_hours * 3600:
        hours = summary.seconds / 3600
        problem = f"the plan needs about {hours:.2f} GPU hours, over the limit of {budget.max_gpu_hours:g}"
        raise campaign.problem("budget.max_gpu_hours", problem, fix)
    # A plan that costs nothing more is allowed, whatever was spent.
    if budget.max_cost is not None and summary.cost_high and summary.spent + summary.cost_high > budget.max_cost:
        before = f" after {summary.spent:.2f} USD spent" if summary.spent else ""
        problem = (
            f"the plan may cost {summary.cost_low:.2f} to {summary.cost_high:.2f} USD{before}, "
            f"over the limit of {budget.max_cost:g}"
        )
        raise campaign.problem("budget.max_cost", problem, fix)


def new_run_id(now: datetime | None = None) -> str:
    """Sortable, readable, never the same twice."""
    import secrets

    moment = now or datetime.now(UTC)
    return moment.strftime("%Y%m%dT%H%M%SZ") + "-" + secrets.token_hex(3)


@dataclass(frozen=True)
class PlanOptions:
    """How to plan.

    Attributes:
        only: product ids to plan alone; all when empty.
        limit: plan only the first looks, so many.
        retry_failed: try final failures again.
        resubmit: pay again for what may have been billed, or was paid and lost.
        strict: a bad row stops the plan.
        today: the day rights are judged on.
    """

    only: tuple[str, ...] = ()
    limit: int | None = None
    retry_failed: bool = False
    resubmit: bool = False
    strict: bool = False
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    @property
    def partial(self) -> bool:
        return bool(self.only) or self.limit is not None


def channel_specs(campaign: Campaign) -> dict[str, dict[str, Any]]:
    """Every channel as the plan file carries it."""
    return {channel.name: channel.model_dump(mode="json") for channel in campaign.channels}


def estimate(rows: Sequence[dict[str, Any]], per_render: Mapping[str, tuple[float, float, float]]) -> None:
    """Write a render's estimate on the first of its rows that must be rendered, so that sums are true."""
    seen: set[str] = set()
    for row in rows:
        fingerprint = row["render_fingerprint"]
        if row["work"] == Work.RENDER and fingerprint not in seen:
            seen.add(fingerprint)
            row["estimated_seconds"], row["estimated_cost_low"], row["estimated_cost_high"] = per_render[fingerprint]
