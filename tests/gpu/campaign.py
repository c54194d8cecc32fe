"""A campaign of so many pictures, planned and rendered as packshot does it: engine, finishing, hashing, commit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from catalogs.assets.history import read_current
from catalogs.plans.file import PlanFile
from catalogs.plans.rows import request_of
from catalogs.plans.sharding import cut_shards
from catalogs.requests import RenderRequest
from inference.engine import LoadReference
from inference.local.engine import DiffusersEngine
from inference.local.tiny import build_tiny
from tasks.prepare import Prepared
from tasks.profile import profile_of
from tasks.shard import run_shard
from tasks.shard_job import ShardJob
from tests.flows.projects import Project, plan_rows
from tests.gpu.pictures import photo
from tests.gpu.weights import TINY

DISTINCT = 6
"""Photos that are drawn; others are the same bytes with another comment: other content, decoded and encoded anew."""


@dataclass(frozen=True)
class Case:
    """What is rendered.

    Attributes:
        photo: size of the reference photos as they lie on disk.
        variations: pictures that share their references and their prompt.
        steps: None for the model's own.
        first: number of the first product; others have other photos and prompts.
    """

    model: str
    references: int
    images: int
    size: int
    photo: tuple[int, int]
    variations: int = 4
    steps: int | None = None
    first: int = 0

    def after(self, first: int) -> Case:
        """The same of other products."""
        return replace(self, first=first)

    def of(self, images: int, variations: int = 4) -> Case:
        """The same of so many pictures: whole products, one at least."""
        return replace(self, images=max(1, round(images / variations)) * variations, variations=variations)


def planned(case: Case, folder: Path) -> Prepared:
    """A campaign of so many pictures, planned."""
    roles = [f"photo{number}" for number in range(case.references)]
    shot: dict[str, Any] = {
        "size": f"{case.size}x{case.size}",
        "references": [f"product.{role}" for role in roles],
        "prompt": {"scene": "{{ product.title }}"},
    }
    if case.steps is not None:
        shot["steps"] = case.steps
    channel = {"name": "master", "width": case.size, "height": case.size, "format": "png"}
    project = Project.of(
        folder,
        products=-(-case.images // case.variations),
        model=_campaign_model(case.model, folder),
        use="research",
        variations=case.variations,
        shots={"hero": shot},
        channels=[channel],
    )
    for number, product in enumerate(project.products, case.first):
        product["title"] = f"Mug {number}"
        names = [f"{product['product_id']}-{role}.jpg" for role in roles]
        for place, name in enumerate(names):
            (folder / name).write_bytes(_jpeg(case.photo, number + place, f"{number}-{place}"))
        product["reference_images"] = [{"uri": name, "role": role} for name, role in zip(names, roles, strict=True)]
    project.write()
    return project.plan()


def _campaign_model(model: str, folder: Path) -> Any:
    if model not in TINY or model == "tiny":
        return model
    build_tiny(folder / "model", TINY[model])
    return {"name": "./model", "weight_precision": "float32"}


def _jpeg(size: tuple[int, int], number: int, comment: str) -> bytes:
    drawn, said = _drawn_jpeg(size, number % DISTINCT), comment.encode()
    return drawn[:2] + b"\xff\xfe" + (len(said) + 2).to_bytes(2, "big") + said + drawn[2:]


@cache
def _drawn_jpeg(size: tuple[int, int], number: int) -> bytes:
    buffer = io.BytesIO()
    photo(size, number).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def requests_of(prepared: Prepared) -> list[RenderRequest]:
    """What a plan asks for, in its order."""
    return [request_of(row) for row in plan_rows(prepared)]


@dataclass(frozen=True)
class Ran:
    """What became of a plan.

    Attributes:
        seconds: of all its shards, without planning.
        made: pictures outside warm-up.
        busy: seconds of the device, with warm-up.
        denoising: of them in the transformer's loop, without warm-up.
        profile: as `tasks.profile.profile_of` sums it up.
    """

    seconds: float
    delivered: int
    failed: int
    made: int
    busy: float
    denoising: float
    profile: dict[str, Any]
    said: str = ""

    def check(self, asked: int) -> None:
        """AssertionError unless all was delivered: pictures that failed take no time."""
        assert (self.delivered, self.failed) == (asked, 0), (
            f"{self.delivered} of {asked} were delivered, {self.failed} failed: {self.said}"
        )


def run(prepared: Prepared, engine: DiffusersEngine) -> Ran:
    """Render a plan in this thread, shard by shard."""

    def made(load: LoadReference) -> DiffusersEngine:
        engine.load_with(load)
        return engine

    started, reports = perf_counter(), []
    for stage in cut_shards(PlanFile(prepared.store, prepared.plan_key), 1e9, 10_000):
        for shard in stage:
            job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
            reports.append(run_shard(job, made, lambda delivered, failed: None))
    seconds = perf_counter() - started
    return Ran(
        seconds=seconds,
        delivered=sum(report.delivered for report in reports),
        failed=sum(report.failed for report in reports),
        made=sum(report.profile["images"] for report in reports),
        busy=sum(spent for r in reports for name, spent in r.profile["seconds"].items() if name != "wait"),
        denoising=sum(report.profile["seconds"].get("denoise", 0.0) for report in reports),
        profile=profile_of([report.as_dict() for report in reports], seconds),
        said="; ".join(f"{reason}: {detail}" for report in reports for reason, detail in report.details.items()),
    )


def masters(prepared: Prepared, requests: Sequence[RenderRequest]) -> list[npt.NDArray[np.uint8]]:
    """The stored pictures of some requests."""
    rows = read_current(prepared.store).to_pylist()
    keys = {(row["seed"], row["prompt"]): row["asset_key"] for row in rows}
    found = []
    for request in requests:
        with Image.open(io.BytesIO(prepared.store.read(keys[request.seed, request.prompt]))) as opened:
            found.append(np.asarray(opened.convert("RGB")))
    return found
