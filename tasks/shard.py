"""One shard from plan rows to a commit: the path is `run_shard`, each step of it a function below.

Plain Python, so that it runs and is tested without Prefect. Bytes first, then the commit: masters are stored as they
come out of the engine, so what a killed shard has rendered is adopted by the next start; assets are finished and
stored by a few threads behind the engine; one commit at the end makes all of it count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from PIL import Image

from catalogs.assets.commits import Status, Step, commit_all, pair_of
from catalogs.assets.delivered import Delivered, delivered_in
from catalogs.assets.lines import Stop
from catalogs.assets.masters import Master, adopt_master, read_master
from catalogs.assets.starts import ordered_at
from catalogs.columns import Row, is_master
from catalogs.errors import PackshotError, ReferenceImageError, SpendError
from catalogs.plans.edits import refuse_edits
from catalogs.plans.file import PlanFile, PlanHeader
from catalogs.plans.restate import commit_again, said_anew
from catalogs.references.book import load_reference
from catalogs.requests import RENDER_SCHEME, Reason, Reference, RenderRequest
from catalogs.storage.store import Store
from inference.engine import Engine, EngineFactory, Failed, LoadReference, Profile, Result
from inference.finishing.pixels import decode_master
from inference.local.batching import batches
from tasks.delivery import Delivery
from tasks.finishers import THREADS, Finishers
from tasks.line_watch import LineWatch
from tasks.metrics import ENGINE_SECONDS, CommittedRows, Meter
from tasks.outcome_rows import OutcomeRows
from tasks.shard_job import Progress, Render, ShardJob, ShardReport, renders_of
from tasks.stopping import closing, stopping


def run_shard(job: ShardJob, make_engine: EngineFactory, progress: Progress) -> ShardReport:
    """Take what of a shard is not delivered yet, adopt what is stored, render the rest, finish it and commit it.

    Args:
        make_engine: builds or finds the engine; called only when something must be rendered.
        progress: called with (delivered, failed) as assets are done.

    Raises:
        StorageError: the store failed; what was done before is committed.
        EngineError: the engine failed as a whole; what was done before is committed.
    """
    started, store, plan = perf_counter(), job.store, PlanFile(job.store, job.plan)
    index = delivered_in(store, plan.header.campaign)
    wanted, known = take(job, plan, index)
    say_again(job, plan, known)
    skipped = job.shard.assets - sum(not is_master(row) for row in wanted)
    if stopping.is_set():
        return ShardReport(job.shard.number, job.shard.stage, job.shard.assets, skipped=skipped)
    progress(skipped, 0)
    outcomes = OutcomeRows(job.shard.number, progress, is_paid=plan.header.engine == "bfl")
    finishers, meter = Finishers(), Meter(plan.header.campaign, plan.header.engine)
    lines = LineWatch(store, plan.header, index)
    with committing(job, outcomes, index, meter) as commit, meter.shard(finishers.seconds), finishers:
        delivery = Delivery(store, plan.header, finishers, outcomes, meter, index.takes.judged, lines)
        missing = adopt(renders_of(wanted), store, index, finishers, delivery)
        ready = with_parents(missing, index, outcomes)
        load = partial(load_picture, store, plan.header, index)
        stopped = partial(lines.stops, commit)
        work = render(ready, make_engine, load, finishers, delivery, outcomes, stopped) if ready else EngineWork(meter)
        finishers.drain()
    return report_of(job, skipped, outcomes, delivery, work, finishers, perf_counter() - started)


def take(job: ShardJob, plan: PlanFile, index: Delivered) -> tuple[list[Row], list[Row]]:
    """The shard's rows that are not delivered yet, and those that are and do not count: an older start's does.

    Raises:
        CampaignError: a row is not what was planned.
    """
    rows: list[Row] = plan.row_group(job.shard.row_group).take(list(job.shard.offsets)).to_pylist()
    refuse_edits(plan, rows)
    index.refresh()
    wanted: list[Row] = []
    again: list[Row] = []
    for row in rows:
        digest, fingerprint = pair_of(row)
        known, current = index.known(digest, fingerprint), index.current(digest)
        if not known or not known.has_bytes or _is_gone(job.store, row):
            wanted.append(row)
        elif not index.has(digest, row["fingerprint"]) and current and current[1].order[0] < ordered_at(job.run_id):
            again.append(row)
    return wanted, again


def _is_gone(store: Store, row: Row) -> bool:
    """Whether the file of a master is gone: planning saw that, which the record does not know."""
    return is_master(row) and bool(row["asset_key"]) and not store.exists(str(row["asset_key"]))


def say_again(job: ShardJob, plan: PlanFile, rows: Sequence[Row]) -> None:
    """Commit rows of what an earlier start delivers, so that they count for this one."""
    wanted = {pair_of(row): said_anew(row) for row in rows}
    commit_again(job.store, plan.header.campaign, job.run_id, Step.RENDER, Status.DELIVERED, wanted)


def adopt(
    renders: Sequence[Render], store: Store, index: Delivered, finishers: Finishers, delivery: Delivery
) -> list[Render]:
    """Hand the renders that have a master already to the finishers; the others."""
    missing = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="adopt") as pool:
        for start in range(0, len(renders), THREADS):  # a few at a time: masters are megabytes
            some = renders[start : start + THREADS]
            for render, master in zip(some, pool.map(partial(_master, store, index), some), strict=True):
                if master is None:
                    missing.append(render)
                else:
                    finishers.submit(delivery.deliver_master, render, master)
    return missing


def _master(store: Store, index: Delivered, render: Render) -> Master | None:
    """The master that a commit names, else a whole leftover of this render."""
    key = index.master(render.fingerprint) or render.rows[0]["render_key"]
    committed = read_master(store, render.fingerprint, key) if key else None
    return committed or adopt_master(store, render.fingerprint)


def with_parents(renders: Iterable[Render], index: Delivered, outcomes: OutcomeRows) -> list[Render]:
    """The renders whose parent shots have masters; the others are failures."""
    ready = []
    for render in renders:
        missing = [r for r in render.request.references if r.is_render and not index.master(r.sha256)]
        if missing:
            detail = f"the shot it builds on was not rendered ({missing[0].sha256[:12]})"
            outcomes.fail_all(render, Reason.UPSTREAM_FAILED, detail, final=False)
        else:
            ready.append(render)
    return ready


@dataclass
class EngineWork:
    """What the engine did for a shard.

    Attributes:
        seconds: time spent waiting for it.
        problem: why nothing more is bought, "" where nothing says so.
    """

    meter: Meter
    seconds: float = 0.0
    problem: str = ""
    profile: Profile = field(default_factory=Profile)

    def timed(self, results: Iterator[Result]) -> Iterator[Result]:
        """The engine's answers as they come, counting the time spent waiting for them."""
        started = perf_counter()
        for result in results:
            self._waited(perf_counter() - started)
            yield result
            started = perf_counter()
        self._waited(perf_counter() - started)

    def _waited(self, seconds: float) -> None:
        self.seconds += seconds
        self.meter.count(ENGINE_SECONDS, seconds)


def render(
    renders: Sequence[Render],
    make_engine: EngineFactory,
    load: LoadReference,
    finishers: Finishers,
    delivery: Delivery,
    outcomes: OutcomeRows,
    stopped: Callable[[], Mapping[str, Stop]],
) -> EngineWork:
    """Render what is missing; pictures go to the finishers as they come.

    Args:
        stopped: the shots of which no more is rendered, asked before each batch.

    Raises:
        EngineError: the engine failed as a whole.
    """
    work, engine = EngineWork(delivery.meter), make_engine(load)
    engine.take_profile()  # what it did for others
    # One request can stand for several rows, and two looks can ask for the very same picture.
    by_request = {render.request: render for render in renders}

    def going_on(batch: Sequence[RenderRequest]) -> list[RenderRequest]:
        stops = stopped()
        for request in batch:
            if stop := stops.get(request.shot):
                detail = f"its shot is stopped: {stop}; `--resume-shot {request.shot}` goes on"
                outcomes.fail_all(by_request[request], Reason.LINE_STOPPED, detail, final=False)
        return [request for request in batch if request.shot not in stops]

    try:
        for result in work.timed(_results(engine, list(by_request), going_on)):
            asked = by_request[result.request]
            if isinstance(result, Failed):
                outcomes.fail_all(asked, result.reason, result.detail, result.final, result.cost)
            else:
                finishers.submit(delivery.deliver_rendered, asked, result, engine)
    except SpendError as error:
        # No other shard can pay either; what this one has is delivered, and counted.
        stopping.set()
        work.problem = str(error)
    finally:
        work.profile = engine.take_profile()
        work.meter.stages("device", work.profile.seconds)
    return work


def _results(
    engine: Engine,
    requests: Sequence[RenderRequest],
    going_on: Callable[[Sequence[RenderRequest]], list[RenderRequest]],
) -> Iterator[Result]:
    """Answers of all batches; the device gets the next batch before the last one's pictures are taken from it.

    Args:
        going_on: what of a batch is still to be rendered.
    """
    pending: Iterable[Result] = ()
    engine.begin(requests)
    for batch, upcoming in batches(requests, engine):
        if stopping.is_set():
            break
        engine.prepare(upcoming)
        try:
            batch = going_on(batch)
            following = engine.render(batch) if batch else ()
        except PackshotError:
            yield from pending
            raise
        yield from pending
        pending = following
    yield from pending


class LostMaster(ReferenceImageError):
    """The picture of the shot that another builds on is gone; the next plan makes it again."""

    reason = Reason.UPSTREAM_FAILED


def load_picture(store: Store, header: PlanHeader, index: Delivered, reference: Reference) -> Image.Image:
    """The pixels of a reference: a photo, or another shot's master.

    Raises:
        ReferenceImageError: it is gone, changed, or no picture.
        LostMaster: another shot's master is gone.
    """
    if not reference.is_render:
        return load_reference(reference, header.reference_background, header.max_reference_pixels, header.places, store)
    key = index.master(reference.uri.removeprefix(RENDER_SCHEME))
    master = read_master(store, reference.sha256, key) if key else None
    if master is None:
        raise LostMaster(str(key or reference.uri), "", "the master of the shot it builds on is gone", "render again")
    return Image.fromarray(decode_master(master.data))


@contextmanager
def committing(job: ShardJob, outcomes: OutcomeRows, index: Delivered, meter: Meter) -> Iterator[Callable[[], bool]]:
    """Commit the outcomes at the end, and whenever asked. Whatever broke, or a cancel: what is stored counts."""
    counted = CommittedRows(meter)

    def commit() -> bool:
        rows = outcomes.rows()
        commit_all(job.store, job.run_id, Step.RENDER, rows)
        counted.count(rows)
        return bool(rows)

    try:
        with closing(commit):
            yield commit
    finally:
        if commit():
            index.refresh()


def report_of(
    job: ShardJob,
    skipped: int,
    outcomes: OutcomeRows,
    delivery: Delivery,
    work: EngineWork,
    finishers: Finishers,
    seconds: float,
) -> ShardReport:
    """The shard in numbers."""
    return ShardReport(
        number=job.shard.number,
        stage=job.shard.stage,
        assets=job.shard.assets,
        delivered=outcomes.delivered,
        failed=outcomes.failed,
        skipped=skipped,
        rendered=delivery.rendered,
        adopted=delivery.adopted,
        rejected=delivery.rejected,
        seconds=seconds,
        engine_seconds=work.seconds,
        problem=work.problem,
        reasons=dict(outcomes.reasons),
        details=outcomes.details,
        remarks=dict(outcomes.remarks),
        host_seconds=dict(finishers.seconds),
        profile=work.profile.as_dict(),
    )
