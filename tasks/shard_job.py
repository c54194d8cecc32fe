"""What a shard is told to do, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from catalogs.columns import Row
from catalogs.plans.rows import request_of
from catalogs.plans.sharding import Shard
from catalogs.requests import RenderRequest
from catalogs.storage.store import Store
from inference.engine import EngineOptions, Profile
from tasks.versions import installed

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ShardJob:
    """Everything a shard needs, small enough to send to another machine.

    Attributes:
        plan: key of the plan file in the store.
        run_id: of this start, which is not the plan's when an approved plan is rendered.
        engine: how a local engine uses the machine.
        version: of packshot, on the machine that sends it.
    """

    plan: str
    store: Store
    run_id: str
    shard: Shard
    engine: EngineOptions = field(default_factory=EngineOptions)
    version: str = field(default_factory=installed)


@dataclass
class ShardReport:
    """What became of a shard, in numbers.

    Attributes:
        skipped: assets that were delivered already when it started.
        rendered: images the engine made.
        adopted: masters of an earlier start taken into use.
        rejected: pictures that checks reject.
        engine_seconds: time spent waiting for the engine.
        details: of each reason, what was said of its first failure.
        remarks: on what was delivered, each with how many assets it is of.
        problem: why it ended before its time, "" where it did not.
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
    rejected: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    problem: str = ""
    reasons: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)
    host_seconds: dict[str, float] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=lambda: Profile().as_dict())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Render:
    """One request and the rows its picture is for."""

    request: RenderRequest
    fingerprint: str
    rows: list[Row]


def renders_of(rows: Iterable[Row]) -> list[Render]:
    """The renders that plan rows ask for, each once."""
    renders: dict[str, Render] = {}
    for row in rows:
        fingerprint = row["render_fingerprint"]
        if fingerprint not in renders:
            renders[fingerprint] = Render(request_of(row), fingerprint, [])
        renders[fingerprint].rows.append(row)
    return list(renders.values())
