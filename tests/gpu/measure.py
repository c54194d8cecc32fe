"""One case of the benchmark: the loops and packshot on the same weights in one process, a row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from catalogs.requests import RenderRequest
from inference.engine import EngineOptions
from inference.local.acceleration import EAGER_SHARE, FAST_SHARE, WARM_UP
from inference.local.batching import tokens_of
from inference.local.checkpoints import Checkpoint, placed
from inference.local.denoising import flops_of
from inference.local.device import dense_flops
from inference.local.engine import DiffusersEngine
from tests.gpu.campaign import Case, Ran, masters, planned, requests_of, run
from tests.gpu.cases import CEILING_GOAL, DENSE_GOAL, IDLE_GOAL, Bench
from tests.gpu.loop import Loop, Looped, Pictures, flops_each, key_of
from tests.gpu.pictures import furthest, load, tolerance
from tests.gpu.record import Row
from tests.gpu.weights import Subject, build, lent

BATCHES = (2, 4, 8)
ASKED = 128
SHARES = {"loop": 0.05, "trial": 0.02, "eager": 0.05, "single": 0.03, "flags": 0.05, "after": 0.15}
"""Of a case's time, by what it is for; the rest builds, plans and warms up."""
SINGLE = 5000
"""First product of the runs without variations: nothing that is kept of the others serves them."""
COMPARED = 1
"""Pictures of each run without variations that the loop makes too, off the clock."""
SLOW = 15.0
"""Seconds of the loop's picture from which there is no time for runs without variations."""


@dataclass
class Measuring:
    """A case as it is measured.

    Attributes:
        seconds: that the case may take.
        expected: the loop's pictures.
        spread: mean difference of the loop's own pictures in another batch.
        loops: rate of each eager loop by its batch, and of another model's by that model.
    """

    bench: Bench
    seconds: float
    folder: Path
    device: torch.device
    began: float = field(default_factory=perf_counter)
    expected: Pictures = field(default_factory=dict)
    spread: float = 0.0
    loops: dict[str, float] = field(default_factory=dict)
    each: float = 0.0
    eager_rate: float = 0.0

    @property
    def subject(self) -> Subject:
        return Subject(self.bench.case.model)

    @property
    def best_loop(self) -> float:
        """Rate of the better of the two eager loops."""
        return max(rate for batch, rate in self.loops.items() if batch.isdigit())

    def left(self) -> float:
        return self.seconds - (perf_counter() - self.began)

    def images(self, share: str, least: int = 4) -> int:
        """Pictures that fit into a share of the time, at the loop's speed."""
        return max(least, int(SHARES[share] * self.seconds / self.each))

    def images_left(self) -> int:
        """Pictures that fit into what is left but for a warm-up and the rows to come, a third quicker than eager."""
        after = SHARES["single"] if self.each > SLOW else SHARES["after"]
        left = self.left() - after * self.seconds - (WARM_UP if self.device.type == "cuda" else 0.0)
        return max(4, int(left * self.eager_rate * 1.3))


def rows(bench: Bench, seconds: float, folder: Path, device: torch.device) -> Iterator[Row]:
    """Rows of a case, each as soon as it is known.

    Raises:
        AssertionError: a picture was not delivered, or is another than the loop's.
    """
    now = Measuring(bench, seconds, folder, device)
    folder.mkdir(parents=True, exist_ok=True)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 1 << 62
    if now.subject.stock_bytes > free:
        yield _left_out(now, "all", f"the stock pipeline's weights, {now.subject.stock_bytes >> 30} GiB, do not fit")
        return
    pipe = build(now.subject, device)
    single = [
        request
        for first in (SINGLE, 2 * SINGLE)
        for request in requests_of(planned(bench.case.of(COMPARED, 1).after(first), folder / f"asked alone {first}"))
    ]
    # More than any row can make; loops take of it what they have time for.
    requests = requests_of(planned(bench.case.of(ASKED), folder / "asked"))
    yield from _eager_loops(now, pipe, requests, single)
    with lent(pipe) as copied:
        checkpoint = placed(copied, now.subject.family, now.subject.precision, EngineOptions(), device)
        decoder = pipe.vae.decoder
        yield from _packshot(now, checkpoint, requests)
    pipe.vae.decoder = decoder  # packshot left its own, and its attention
    pipe.transformer.set_attention_backend("native")
    yield from _quick_loops(now, pipe, requests)


def _eager_loops(
    now: Measuring, pipe: Any, requests: Sequence[RenderRequest], single: Sequence[RenderRequest]
) -> Iterator[Row]:
    if now.bench.beside:
        yield from _beside(now, pipe, requests)
    loop = Loop(pipe, now.subject.family, now.folder / "loop", now.device)
    alone = _peaked(now, lambda: loop.run(requests, 1, SHARES["loop"] * now.seconds))
    now.expected, now.each = dict(alone[0].pictures), 1 / alone[0].rate
    now.loops["1"] = alone[0].rate
    yield _loop_row(now, loop, "diffusers loop, eager, batch 1", *alone, requests)
    tried = dict(_batches(now, loop, requests))
    if tried:
        best = max(tried, key=lambda batch: tried[batch][0].rate)
        now.loops[str(best)] = tried[best][0].rate
        _, now.spread = _difference(now, tried[best][0].pictures)
        yield _loop_row(
            now, loop, f"diffusers loop, eager, best batch {best} of {sorted(tried)}", *tried[best], requests
        )
    if now.each <= SLOW:
        now.expected |= loop.run(single, 1, 1e9).pictures
    loop.release()


def _beside(now: Measuring, pipe: Any, requests: Sequence[RenderRequest]) -> Iterator[Row]:
    """Another family's stock pipeline on the same weights: a KV checkpoint's speed is told beside it."""
    from diffusers import Flux2KleinPipeline
    from diffusers.models.transformers import transformer_flux2 as module

    blocks = (pipe.transformer.transformer_blocks, pipe.transformer.single_transformer_blocks)
    kept = [[block.attn.processor for block in some] for some in blocks]
    for some, plain in zip(blocks, (module.Flux2AttnProcessor, module.Flux2ParallelSelfAttnProcessor), strict=True):
        for block in some:
            block.attn.set_processor(plain())
    other = Flux2KleinPipeline(**pipe.components, is_distilled=True)
    other.set_progress_bar_config(disable=True)
    loop = Loop(other, "klein", now.folder / "beside", now.device)
    alone = _peaked(now, lambda: loop.run(requests, 1, SHARES["loop"] * now.seconds))
    loop.release()
    for some, processors in zip(blocks, kept, strict=True):
        for block, processor in zip(some, processors, strict=True):
            block.attn.set_processor(processor)
    now.loops[now.bench.beside] = alone[0].rate
    name = f"diffusers loop of {now.bench.beside}, eager, batch 1"
    yield _loop_row(now, loop, name, *alone, requests, compare=False)


def _batches(
    now: Measuring, loop: Loop, requests: Sequence[RenderRequest]
) -> Iterator[tuple[int, tuple[Looped, float]]]:
    """Loops of larger calls, as far as the stock pipeline, the memory and the time go."""
    shared = now.bench.case.variations if now.bench.case.references else max(BATCHES)
    for batch in BATCHES:
        if batch > shared or 2 * batch * now.each > 0.08 * now.seconds:
            return
        try:
            yield batch, _peaked(now, lambda batch=batch: loop.run(requests, batch, SHARES["trial"] * now.seconds))  # type: ignore[misc]
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return


def _packshot(now: Measuring, checkpoint: Checkpoint, requests: Sequence[RenderRequest]) -> Iterator[Row]:
    case, single = now.bench.case, now.bench.case.of(now.images("single", 2), 1).after(SINGLE)
    # The eager engine first and alone: both switch the same modules.
    eager = DiffusersEngine(checkpoint, load, EngineOptions(compile="off", decoder="stock"))
    row = _packshot_row(now, "packshot, eager", eager, case.of(now.images("eager")))
    now.eager_rate = row["images/s"]
    yield row
    if now.each <= SLOW:
        yield _packshot_row(now, "packshot, eager, --variations 1", eager, single)
    default = DiffusersEngine(checkpoint, load, EngineOptions())
    images = min(now.images_left(), max(_pays(checkpoint, requests[0], now.device), now.images("eager")))
    yield _packshot_row(now, "packshot, as it comes", default, case.of(images), judged=True)
    name = "packshot, as it comes (warm), --variations 1"
    if now.each > SLOW or now.left() < 2 * SHARES["single"] * now.seconds:
        yield _left_out(now, name, "no time left")
        return
    yield _packshot_row(now, name, default, single.after(2 * SINGLE))


def _pays(checkpoint: Checkpoint, request: RenderRequest, device: torch.device) -> int:
    """Pictures from which the engine goes over to its quick way, with some to spare; few where it has none."""
    if device.type != "cuda":
        return 4
    rate = dense_flops(device, checkpoint.vae.dtype) * EAGER_SHARE
    each = flops_of(checkpoint, request, tokens_of(request)[1]) / rate
    return int(1.1 * WARM_UP / (each * (1 - EAGER_SHARE / FAST_SHARE))) + 1


def _quick_loops(now: Measuring, pipe: Any, requests: Sequence[RenderRequest]) -> Iterator[Row]:
    if now.device.type != "cuda":
        yield _left_out(now, "diffusers loop, packshot's flags", "they gain nothing on a CPU")
        return
    capability = torch.cuda.get_device_capability(now.device)
    torch._dynamo.reset()
    loop = Loop(pipe, now.subject.family, now.folder / "quick", now.device)
    loop.quicken("_native_cudnn" if capability >= (9, 0) else "")
    best = max((int(batch) for batch in now.loops if batch.isdigit() and batch != "1"), default=0)
    for batch in [1, *([best] if best else [])]:
        if now.left() < SHARES["flags"] * now.seconds:
            yield _left_out(now, f"diffusers loop, packshot's flags, batch {batch}", "no time left")
            continue
        found = _peaked(now, lambda batch=batch: loop.run(requests, batch, SHARES["flags"] * now.seconds))  # type: ignore[misc]
        yield _loop_row(now, loop, f"diffusers loop, packshot's flags, batch {batch}", *found, requests)
    loop.release()


def _peaked(now: Measuring, work: Callable[[], Looped]) -> tuple[Looped, float]:
    """What `work` did, and the most memory of the device while it did, in GiB."""
    if now.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(now.device)
    looped = work()
    peak = torch.cuda.max_memory_allocated(now.device) / 2**30 if now.device.type == "cuda" else 0.0
    return looped, round(peak, 2)


def _loop_row(
    now: Measuring,
    loop: Loop,
    name: str,
    looped: Looped,
    peak: float,
    requests: Sequence[RenderRequest],
    compare: bool = True,
) -> Row:
    busy = sum(looped.stages.values())
    flops = looped.images * flops_each(loop.pipe, loop.family, requests[0], tokens_of(requests[0])[1])
    dense = flops / looped.stages["denoise"] / _dense(now) if looped.stages.get("denoise") else None
    most, mean = _difference(now, looped.pictures) if compare else (None, None)
    steady = looped.images / looped.seconds if looped.images else None
    made = looped.images + looped.first_images
    return _checked(
        now,
        {
            "run": name,
            "images": made,
            "images/s": round(looped.rate, 4),
            "with warm-up": round(made / (looped.seconds + looped.first), 4),
            "ratio": round(looped.rate / now.best_loop, 3) if compare else None,
            "dense": dense and round(dense, 3),
            "stages": {stage: round(spent / busy, 3) for stage, spent in looped.stages.items()} if busy else {},
            "peak GiB": peak,
            "warm-up s": round(looped.first - looped.first_images / steady, 2) if steady else None,
            "idle": round(1 - busy / looped.seconds, 4) if looped.images else None,
            "delivered": f"{made} of {made}",
            "largest": most,
            "mean": mean,
        },
    )


def _packshot_row(now: Measuring, name: str, engine: DiffusersEngine, case: Case, judged: bool = False) -> Row:
    """Render a case; nothing is said of its speed unless all of it was delivered and its pictures are the loop's."""
    folder = now.folder / f"{len(list(now.folder.iterdir()))}"
    prepared = planned(case, folder)
    asked = requests_of(prepared)
    if now.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(now.device)
    ran = run(prepared, engine)
    ran.check(len(asked))
    known = [request for request in asked if key_of(request) in now.expected]
    pictures = dict(zip(map(key_of, known), masters(prepared, known), strict=True))
    most, mean = _difference(now, pictures)
    warm_up = ran.profile["warm_up_seconds"]
    rate = ran.made / (ran.seconds - warm_up) if ran.made and ran.seconds > warm_up else ran.delivered / ran.seconds
    # Without variations no call of the stock pipeline can take two that have references.
    loop_rate = now.loops["1"] if case.variations == 1 and case.references else now.best_loop
    row = {
        "run": name,
        "images": ran.delivered,
        "images/s": round(rate, 4),
        "with warm-up": round(ran.delivered / ran.seconds, 4),
        "ratio": round(rate / loop_rate, 3),
        "dense": ran.profile["limit_share"],
        "stages": ran.profile["stages"],
        "peak GiB": ran.profile["memory_gib"],
        "warm-up s": round(warm_up, 2),
        "paid back after": _paid_back(now, warm_up, rate),
        "idle": round(max(0.0, 1 - ran.busy / ran.seconds), 4),
        "delivered": f"{ran.delivered} of {len(asked)}",
        "compared": len(known),
        "largest": most,
        "mean": mean,
        "counts": ran.profile["counts"],
        "notes": ran.profile["notes"],
        "host_seconds": ran.profile["host_seconds"],
    }
    return _checked(now, {**row, **(_judged(now, row, ran) if judged else {})})


def _paid_back(now: Measuring, warm_up: float, rate: float) -> int | None:
    """Pictures after which a warm-up has saved what it took, beside packshot's own eager run."""
    if not now.eager_rate or not warm_up or rate <= now.eager_rate:
        return None
    return int(warm_up / (1 / now.eager_rate - 1 / rate)) + 1


def _difference(now: Measuring, pictures: Pictures) -> tuple[int | None, float | None]:
    """Largest and mean difference to the loop's pictures, of those that both made."""
    pairs = [(picture, now.expected[key]) for key, picture in pictures.items() if key in now.expected]
    if not pairs:
        return None, None
    most, mean = furthest(pairs)
    return most, round(mean, 4)


def _judged(now: Measuring, row: Row, ran: Ran) -> Row:
    """Which goals a run of packshot met."""
    met: dict[str, bool] = {}
    ratio = row["ratio"]
    if now.bench.beside:
        row["ratio beside"] = ratio = round(row["images/s"] / now.loops[now.bench.beside], 3)
    if now.bench.ratio is not None:
        met[f"ratio {now.bench.ratio:g}"] = ratio >= now.bench.ratio
    if now.bench.ceiling:
        ceiling = ratio * ran.seconds / ran.denoising
        row["ceiling"] = round(ceiling, 3)
        met[f"{CEILING_GOAL:g} of the ceiling {ceiling:.2f} ({ratio / ceiling:.3f})"] = ratio >= CEILING_GOAL * ceiling
    if now.device.type == "cuda":
        met[f"dense {DENSE_GOAL:g}"] = (row["dense"] or 0.0) >= DENSE_GOAL
        met[f"idle {IDLE_GOAL:g}"] = row["idle"] < IDLE_GOAL
    return {**row, "goals": {goal: "met" if is_met else "NOT met" for goal, is_met in met.items()}}


def _checked(now: Measuring, row: Row) -> Row:
    """A row whose pictures were looked at; AssertionError where they are others than the loop's, or there are none."""
    compared = row["mean"] is not None or "loop of" in row["run"]
    assert compared, f"{row['run']}: none of its pictures was made by the loop too"
    allowed = tolerance(now.subject.precision, now.spread)
    if row["mean"] is not None and "best batch" not in row["run"]:
        assert row["mean"] <= allowed, f"{row['run']}: its pictures differ by {row['mean']}, {allowed:.3g} is rounding"
    return {"case": now.bench.name, **row}


def _left_out(now: Measuring, name: str, why: str) -> Row:
    return {"case": now.bench.name, "run": name, "left out": why}


def _dense(now: Measuring) -> float:
    return dense_flops(now.device, torch.float32 if now.subject.precision == "float32" else torch.bfloat16)
