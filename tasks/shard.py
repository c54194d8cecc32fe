"""One shard from plan rows to a commit: plain Python, so that it runs and is tested without Prefect.

Bytes first, then the commit. Masters are stored as they come out of the engine, so what a killed shard has
rendered is adopted by the next start; assets are finished and stored by a few threads behind the engine;
one commit at the end makes all of it count.
"""

from __future__ import annotations

import hashlib
import io
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any

from PIL import Image

from catalogs.channels import Channel
from catalogs.delivered import Delivered, delivered_in
from catalogs.errors import PackshotError, ReferenceImageError, SpendError
from catalogs.identity import MASTER_CHANNEL, asset_key, render_key, thumbnail_key
from catalogs.masters import Master, MasterRecord, adopt_master, read_master, store_master
from catalogs.plan import PlanFile, Shard
from catalogs.records import Clock, Status, commit, identity_of
from catalogs.references import load_reference
from catalogs.requests import RENDER_SCHEME, Reason, Reference, RenderRequest
from catalogs.storage import Store
from inference.batching import batches
from inference.engine import Engine, EngineFactory, Failed, Rendered
from inference.finishing import (
    AssetMetadata,
    FinishingError,
    decode_master,
    encode_master,
    finish,
    pixel_sha256,
    thumbnail,
)

FINISHERS = 4
# Rendered images that may wait for a finisher. A kill loses at most these and the batch in the engine.
QUEUE_DEPTH = 8
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
    """

    plan: str
    store: Store
    run_id: str
    shard: Shard


@dataclass
class ShardReport:
    """What became of a shard, in numbers.

    Attributes:
        skipped: assets that were delivered already when it started.
        rendered: images the engine made.
        adopted: masters of an earlier start taken into use.
        engine_seconds: time inside the engine.
        cost: USD of what the engine answered, failures included.
        costs: the same by brand and shot, as "brand/shot".
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
        self._slots = threading.Semaphore(QUEUE_DEPTH)
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
            with ThreadPoolExecutor(FINISHERS, thread_name_prefix="finish") as pool:
                self._work(_group(wanted), make_engine, pool)
        except SpendError:
            # No other shard can pay either.
            stopping.set()
            raise
        finally:
            # Whatever broke, or a cancel: what is stored counts.
            self._commit()
        self._report.seconds = perf_counter() - started
        return self._report

    def _is_delivered(self, row: Row) -> bool:
        return self._index.has(identity_of(row).digest(), row["fingerprint"])

    def _work(self, renders: list[_Render], make_engine: EngineFactory, pool: ThreadPoolExecutor) -> None:
        futures: list[Future[None]] = []
        found = list(pool.map(self._existing_master, renders))
        for render, master in zip(renders, found, strict=True):
            if master is not None:
                futures.append(self._submit(pool, self._finish_master, render, master))
        missing = self._with_parents([r for r, m in zip(renders, found, strict=True) if m is None])
        if missing:
            self._render(missing, make_engine, pool, futures)
        for future in futures:
            future.result()

    def _submit(self, pool: ThreadPoolExecutor, work: Callable[..., None], *args: Any) -> Future[None]:
        """Hand work to a finisher; waits while too much is waiting, which is how a slow store pushes back."""
        self._slots.acquire()

        def run() -> None:
            try:
                work(*args)
            finally:
                self._slots.release()

        return pool.submit(run)

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

    def _render(
        self,
        renders: Sequence[_Render],
        make_engine: EngineFactory,
        pool: ThreadPoolExecutor,
        futures: list[Future[None]],
    ) -> None:
        engine = make_engine(self._load_reference)
        # One request can stand for several rows, and two looks can ask for the very same picture.
        by_request = {render.request: render for render in renders}
        for batch in batches(list(by_request), engine):
            if stopping.is_set():
                return
            for result in self._answers(engine, batch):
                render = by_request[result.request]
                self._count_cost(render, result.cost)
                if isinstance(result, Failed):
                    self._fail(render, result.reason, result.detail, result.final, result.cost)
                else:
                    futures.append(self._submit(pool, self._finish_rendered, render, result, engine))
                _raise_first(futures)

    def _count_cost(self, render: _Render, cost: float) -> None:
        if cost:
            name = f"{render.rows[0]['brand_id']}/{render.rows[0]['shot']}"
            self._report.cost += cost
            self._report.costs[name] = self._report.costs.get(name, 0.0) + cost

    def _answers(self, engine: Engine, batch: Sequence[RenderRequest]) -> Iterator[Rendered | Failed]:
        """The engine's answers as they come, counting the time spent waiting for them."""
        started = perf_counter()
        answers = iter(engine.render(batch))
        while (answer := next(answers, None)) is not None:
            self._report.engine_seconds += perf_counter() - started
            yield answer
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
            self._store.write(thumbnail_key(record.sha256), thumbnail(pixels))
        else:
            finished = finish(pixels, self._channels[row["channel"]], _metadata(row))
            key = asset_key(identity_of(row), row["fingerprint"], finished.sha256, finished.extension)
            self._store.write(key, finished.data, finished.mime)
            self._store.write(thumbnail_key(finished.sha256), thumbnail(pixels_of(finished.data)))
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
        final = final or base["attempts"] >= MAX_ATTEMPTS
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


def pixels_of(data: bytes) -> Any:
    """Pixels of a finished file."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def _raise_first(futures: list[Future[None]]) -> None:
    """Stop feeding the engine once the store has failed."""
    for future in futures:
        if future.done() and (error := future.exception()):
            raise error
