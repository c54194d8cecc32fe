"""One shard from plan rows to a commit: plain Python, so that it runs and is tested without Prefect.

Bytes first, then the commit. Masters are stored as they come out of the engine, so what a killed shard has
rendered is adopted by the next start; assets are finished and stored by a few threads behind the engine;
one commit at the end makes all of it count.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any

from PIL import Image

from catalogs.assets.delivered import Delivered, delivered_in
from catalogs.assets.masters import Master, MasterRecord, adopt_master, read_master, store_master
from catalogs.assets.records import Clock, Status, commit, identity_of
from catalogs.campaigns.channels import Channel
from catalogs.errors import PackshotError, ReferenceImageError, SpendError
from catalogs.identity import MASTER_CHANNEL, asset_key, render_key, thumbnail_key
from catalogs.plans.plan import PlanFile, Shard
from catalogs.references.book import load_reference
from catalogs.requests import RENDER_SCHEME, Reason, Reference, RenderRequest
from catalogs.storage.store import Store
from inference.engine import Engine, EngineFactory, EngineOptions, Failed, Profile, Rendered, Result
from inference.finishing.encode import FinishingError
from inference.finishing.finish import finish
from inference.finishing.pixels import decode_master, encode_master, pixel_sha256, thumbnail
from inference.finishing.metadata import AssetMetadata
from inference.local.batching import batches
from tasks.finishers import THREADS, Finishers

MAX_ATTEMPTS = 3

# Set to end a run early: shards stop between batches and commit what they have.
stopping = threading.Event()

Row = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ShardJob:
    """Everything a shard needs, small enough to send to another machine.

    Attributes:
        plan: key of the plan file in the store.
        run_id: of this start, which is not the plan's when an approved plan is rendered.
        engine: how a local engine uses the machine.
    """

    plan: str
    store: Store
    run_id: str
    shard: Shard
    engine: EngineOptions = field(default_factory=EngineOptions)


@dataclass
class ShardReport:
    """What became of a shard, in numbers.

    Attributes:
        skipped: assets that were delivered already when it started.
        rendered: images the engine made.
        adopted: masters of an earlier start taken into use.
        engine_seconds: time spent waiting for the engine.
        cost: USD of what the engine answered, failures included.
        costs: the same by brand and shot, as "brand/shot".
        host_seconds: by stage, of the threads behind the engine; see `tasks.finishers`.
        profile: `inference.engine.Profile` of what the engine did.
    """

    number: int
    stage: int
    assets: int
    delivered: int = 0
    failed: int = 0
    skipped: int = 0
    rendered: int = 0
    adopted: int = 0
    finished: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    cost: float = 0.0
    costs: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    host_seconds: dict[str, float] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=lambda: Profile().as_dict())

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass
class _Render:
    """One request and the rows its picture is for."""

    request: RenderRequest
    fingerprint: str
    rows: list[Row]


def run_shard(job: ShardJob, make_engine: EngineFactory, progress: Progress) -> ShardReport:
    """Render, finish and commit what of a shard is not delivered yet.

    Args:
        make_engine: builds or finds the engine; called only when something must be rendered.
        progress: called with (delivered, failed) as assets are done.

    Raises:
        StorageError: the store failed; what was done before is committed.
        EngineError: the engine failed as a whole; what was done before is committed.
    """
    return _ShardRun(job, progress).run(make_engine)


class _ShardRun:
    def __init__(self, job: ShardJob, progress: Progress) -> None:
        self._job, self._store, self._progress = job, job.store, progress
        plan = PlanFile(job.store, job.plan)
        self._header = plan.header
        group = plan.row_group(job.shard.row_group)
        self._rows: list[Row] = group.take(list(job.shard.offsets)).to_pylist()
        self._index: Delivered = delivered_in(self._store)
        self._channels = {name: Channel(**spec) for name, spec in self._header.channels.items()}
        self._clock, self._attempt = Clock(self._header.floor), uuid.uuid4().hex
        self._done: list[Row] = []
        self._lock = threading.Lock()
        self._finishers = Finishers()
        self._report = ShardReport(job.shard.number, job.shard.stage, len(self._rows))

    def run(self, make_engine: EngineFactory) -> ShardReport:
        started = perf_counter()
        self._index.refresh()
        wanted = [row for row in self._rows if not self._is_delivered(row)]
        self._report.skipped = len(self._rows) - len(wanted)
        if stopping.is_set():
            return self._report
        self._progress(self._report.skipped, 0)
        try:
            with self._finishers:
                self._work(_group(wanted), make_engine)
                self._finishers.drain()
        except SpendError:
            # No other shard can pay either.
            stopping.set()
            raise
        finally:
            # Whatever broke, or a cancel: what is stored counts.
            self._commit()
        self._report.seconds = perf_counter() - started
        self._report.host_seconds = dict(self._finishers.seconds)
        return self._report

    def _is_delivered(self, row: Row) -> bool:
        return self._index.has(identity_of(row).digest(), row["fingerprint"])

    def _work(self, renders: list[_Render], make_engine: EngineFactory) -> None:
        missing = []
        for render, master in self._looked_up(renders):
            if master is None:
                missing.append(render)
            else:
                self._finishers.submit(self._finish_master, render, master)
        missing = self._with_parents(missing)
        if missing:
            self._render(missing, make_engine)

    def _looked_up(self, renders: list[_Render]) -> Iterator[tuple[_Render, Master | None]]:
        """Each render with the master it has already, a few at a time: masters are megabytes."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="adopt") as pool:
            for start in range(0, len(renders), THREADS):
                some = renders[start : start + THREADS]
                yield from zip(some, pool.map(self._existing_master, some), strict=True)

    def _existing_master(self, render: _Render) -> Master | None:
        key = self._index.master(render.fingerprint) or render.rows[0]["render_key"]
        if key:
            committed = read_master(self._store, render.fingerprint, key)
            if committed:
                return committed
        return adopt_master(self._store, render.fingerprint)

    def _with_parents(self, renders: Iterable[_Render]) -> list[_Render]:
        """Leave out, as failures, renders whose parent shot has no master."""
        ready = []
        for render in renders:
            missing = [r for r in render.request.references if r.is_render and not self._index.master(r.sha256)]
            if missing:
                detail = f"the shot it builds on was not rendered ({missing[0].sha256[:12]})"
                self._fail(render, Reason.UPSTREAM_FAILED, detail, final=False)
            else:
                ready.append(render)
        return ready

    def _render(self, renders: Sequence[_Render], make_engine: EngineFactory) -> None:
        engine = make_engine(self._load_reference)
        engine.take_profile()  # what it did for others
        # One request can stand for several rows, and two looks can ask for the very same picture.
        by_request = {render.request: render for render in renders}
        try:
            for result in self._timed(_results(engine, list(by_request))):
                render = by_request[result.request]
                self._count_cost(render, result.cost)
                if isinstance(result, Failed):
                    self._fail(render, result.reason, result.detail, result.final, result.cost)
                else:
                    self._finishers.submit(self._finish_rendered, render, result, engine)
        finally:
            self._report.profile = engine.take_profile().as_dict()

    def _count_cost(self, render: _Render, cost: float) -> None:
        if cost:
            name = f"{render.rows[0]['brand_id']}/{render.rows[0]['shot']}"
            self._report.cost += cost
            self._report.costs[name] = self._report.costs.get(name, 0.0) + cost

    def _timed(self, results: Iterator[Result]) -> Iterator[Result]:
        """The engine's answers as they come, counting the time spent waiting for them."""
        started = perf_counter()
        for result in results:
            self._report.engine_seconds += perf_counter() - started
            yield result
            started = perf_counter()
        self._report.engine_seconds += perf_counter() - started

    def _load_reference(self, reference: Reference) -> Any:
        if not reference.is_render:
            return load_reference(reference, self._header.reference_background, self._header.max_reference_pixels)
        key = self._index.master(reference.uri.removeprefix(RENDER_SCHEME))
        master = read_master(self._store, reference.sha256, key) if key else None
        if master is None:
            raise ReferenceImageError(str(key or reference.uri), "", "the master is gone", "render again")
        return Image.fromarray(decode_master(master.data))

    def _finish_rendered(self, render: _Render, result: Rendered, engine: Engine) -> None:
        with self._finishers.stage("encode"):
            data = encode_master(result.pixels)
        record = MasterRecord(
            sha256=hashlib.sha256(data).hexdigest(),
            pixel_sha256=pixel_sha256(result.pixels),
            width=render.request.width,
            height=render.request.height,
            engine=engine.name,
            model=render.request.model,
            model_revision=render.request.model_revision,
            seconds=result.seconds,
            batch_size=result.batch_size,
            prompt_used=result.prompt_used,
            cost=result.cost,
            versions=engine.versions,
            seed=result.seed,
        )
        master = Master(render_key(render.fingerprint, record.sha256), data, record)
        if self._keeps_master(render):
            with self._finishers.stage("store"):
                master = store_master(self._store, render.fingerprint, data, record)
        with self._lock:
            self._report.rendered += 1
        self._finish_rows(render, master, result.pixels)

    def _keeps_master(self, render: _Render) -> bool:
        needed = any(row["channel"].startswith(MASTER_CHANNEL) for row in render.rows)
        # What was paid for is kept: a channel added later would pay for it again.
        return needed or self._header.masters == "keep" or self._header.engine == "bfl"

    def _finish_master(self, render: _Render, master: Master) -> None:
        with self._lock:
            self._report.adopted += sum(1 for row in render.rows[:1] if not row["render_key"])
        self._finish_rows(render, master, decode_master(master.data))

    def _finish_rows(self, render: _Render, master: Master, pixels: Any) -> None:
        for row in render.rows:
            try:
                finished = self._deliver(row, render, master, pixels)
            except FinishingError as error:
                kept = master.key if self._keeps_master(render) else None
                self._fail_row(row, error.reason, str(error), final=True, render_key=kept)
            except PackshotError:
                raise
            except Exception as error:
                # A picture that no codec takes must not take the shard with it.
                self._fail_row(row, Reason.ENCODE_ERROR, f"{type(error).__name__}: {error}", final=False)
            else:
                self._add(finished)

    def _deliver(self, row: Row, render: _Render, master: Master, pixels: Any) -> Row:
        """Finish one asset and store its bytes; the row is what its commit will say."""
        record = master.record
        kept = master.key if self._keeps_master(render) else None
        if row["channel"].startswith(MASTER_CHANNEL):
            made = {"asset_key": master.key, "sha256": record.sha256, "pixel_sha256": record.pixel_sha256}
            made |= {"bytes": len(master.data)}
            with self._finishers.stage("store"):
                self._store.write(thumbnail_key(record.sha256), thumbnail(pixels))
        else:
            with self._finishers.stage("finish"):
                finished = finish(pixels, self._channels[row["channel"]], _metadata(row))
                small = thumbnail(finished.picture)
            key = asset_key(identity_of(row), row["fingerprint"], finished.sha256, finished.extension)
            with self._finishers.stage("store"):
                self._store.write(key, finished.data, finished.mime)
                self._store.write(thumbnail_key(finished.sha256), small)
            made = {"asset_key": key, "sha256": finished.sha256, "pixel_sha256": finished.pixel_sha256}
            made |= {"bytes": len(finished.data)}
        return {
            **self._base(row),
            **made,
            "status": Status.DELIVERED.value,
            "final": True,
            "render_key": kept,
            "prompt_used": record.prompt_used or row["prompt"],
            "versions": dict(record.versions),
            "batch_size": record.batch_size,
            "seconds": record.seconds,
            "cost": record.cost,
            "seed": row["seed"] if record.seed is None else record.seed,
        }

    def _base(self, row: Row) -> Row:
        return {
            **{name: value for name, value in row.items() if name in _ROW_COLUMNS},
            "attempts": (row["attempts"] or 0) + 1,
            "reason": None,
            "quality": {},
            "run_id": self._job.run_id,
            "shard": self._job.shard.number,
            "attempt_id": self._attempt,
        }

    def _fail(self, render: _Render, reason: Reason, detail: str, final: bool, cost: float = 0.0) -> None:
        for row in render.rows:
            self._fail_row({**row, "cost": cost}, reason, detail, final)

    def _fail_row(self, row: Row, reason: Reason, detail: str, final: bool, render_key: str | None = None) -> None:
        base = self._base(row)
        # That an upstream shot is missing says nothing about this one, however often it happens.
        final = final or (base["attempts"] >= MAX_ATTEMPTS and reason is not Reason.UPSTREAM_FAILED)
        outcome = {"status": Status.FAILED.value, "reason": reason.value, "detail": detail, "final": final}
        self._add({**base, "asset_key": None, "render_key": render_key, "cost": row.get("cost"), **outcome})

    def _add(self, row: Row) -> None:
        failed = row["status"] == Status.FAILED
        with self._lock:
            self._done.append(row)
            if failed:
                self._report.failed += 1
                self._report.reasons[row["reason"]] = self._report.reasons.get(row["reason"], 0) + 1
            else:
                self._report.delivered += 1
        self._progress(0 if failed else 1, 1 if failed else 0)

    def _commit(self) -> None:
        if not self._done:
            return
        now: datetime = self._clock.now()
        commit(self._store, self._job.run_id, [{**row, "created_at": now} for row in self._done])
        self._index.refresh()


_ROW_COLUMNS = frozenset(
    [
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
)


def _results(engine: Engine, requests: Sequence[RenderRequest]) -> Iterator[Result]:
    """Answers of all batches; the device gets the next batch before the last one's pictures are taken from it."""
    pending: Iterable[Result] = ()
    for batch, upcoming in batches(requests, engine):
        if stopping.is_set():
            break
        engine.prepare(upcoming)
        try:
            following = engine.render(batch)
        except PackshotError:
            yield from pending
            raise
        yield from pending
        pending = following
    yield from pending


def _group(rows: Iterable[Row]) -> list[_Render]:
    renders: dict[str, _Render] = {}
    for row in rows:
        fingerprint = row["render_fingerprint"]
        if fingerprint not in renders:
            renders[fingerprint] = _Render(request_of(row), fingerprint, [])
        renders[fingerprint].rows.append(row)
    return list(renders.values())


def request_of(row: Mapping[str, Any]) -> RenderRequest:
    """The request that a plan row stands for."""
    names = ("uri", "sha256", "role", "width", "height")
    return RenderRequest(
        prompt=row["prompt"],
        references=tuple(Reference(**{name: r[name] for name in names}) for r in row["references"]),
        width=row["master_width"],
        height=row["master_height"],
        seed=row["seed"],
        take=row["take"],
        steps=row["steps"],
        guidance=row["guidance"],
        model=row["model"],
        model_revision=row["model_revision"],
        weight_precision=row["weight_precision"],
        options=row.get("options") or "",
        label=f"{row['brand_id']}/{row['look']}/{row['shot']}",
    )


def _metadata(row: Row) -> AssetMetadata:
    return AssetMetadata(
        fingerprint=row["fingerprint"],
        brand=row["brand_id"],
        product=row["look"],
        proof=row["kind"] == "proof",
        model=row["model"],
        model_revision=row["model_revision"],
        rights=row["legal_line"],
    )
